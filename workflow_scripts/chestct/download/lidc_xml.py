"""Readers' marks of LIDC-IDRI: the XML of one series, and which marks mean the same nodule.

Format: LidcReadMessage / readingSession (one a reader) / unblindedReadNodule / roi / edgeMap; Armato
et al., Medical Physics 38:915-931, 2011.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from chestct.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One reader's outline of one nodule of 3 mm or more.

    Attributes:
        reader: index of the reading session; readers of different series are not the same person.
        nodule_id: the reader's own name of it.
        slices: SOPInstanceUID -> z in mm, of the slices with an outline that includes (not excludes).
        points: outline, shape (n, 3): z in mm, row in px, column in px.
    """

    reader: int
    nodule_id: str
    slices: dict[str, float]
    points: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All readers' marks of one series.

    Attributes:
        series_id: SeriesInstanceUID that the document names, or "".
        num_readers: reading sessions.
        annotations: nodules of 3 mm or more; smaller ones and non-nodules are left out.
    """

    series_id: str
    num_readers: int
    annotations: tuple[Annotation, ...]


def _refuse(path: Path, what: str) -> InputError:
    return InputError(
        f"readers' XML {what}",
        where=path,
        expected="an LidcReadMessage document as The Cancer Imaging Archive publishes it",
        remedy="obtain the file again from its publisher",
    )


def parse_xml(path: Path) -> ElementTree.Element:
    """Parse an XML file that declares no document type, and with it no entities.

    Entities can expand without bound or name other files; LIDC's documents have none.

    Raises:
        InputError: the file does not parse or holds a document type declaration.
    """
    content = path.read_bytes()

    def on_doctype(*_: object) -> None:
        raise _refuse(path, "holds a document type declaration (<!DOCTYPE), which is not admitted")

    scanner = expat.ParserCreate()
    scanner.StartDoctypeDeclHandler = on_doctype
    try:
        scanner.Parse(content, True)
        return ElementTree.fromstring(content)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise _refuse(path, f"does not parse: {error}") from error


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(f"{{*}}{name}")
    return (found.text or "").strip() if found is not None else ""


def _annotation(nodule: ElementTree.Element, reader: int) -> Annotation | None:
    """Read one unblindedReadNodule; None for a point mark, that is a nodule below 3 mm."""
    slices: dict[str, float] = {}
    points: list[tuple[float, float, float]] = []
    outlined = False
    for roi in nodule.iterfind("{*}roi"):
        if _text(roi, "inclusion").upper() != "TRUE":
            continue
        z = float(_text(roi, "imageZposition"))
        edge = [(float(_text(e, "yCoord")), float(_text(e, "xCoord"))) for e in roi.iterfind("{*}edgeMap")]
        outlined |= len(edge) > 1
        slices[_text(roi, "imageSOP_UID")] = z
        points += [(z, row, column) for row, column in edge]
    if not outlined:
        return None
    return Annotation(
        reader=reader, nodule_id=_text(nodule, "noduleID"), slices=slices, points=np.array(points)
    )


def read_xml(path: Path) -> Reading | None:
    """Read a document of readers' marks; None where it is another kind of document.

    Raises:
        InputError: it does not parse, declares a document type, or lacks a coordinate.
    """
    root = parse_xml(path)
    if root.tag.rpartition("}")[2] != "LidcReadMessage":
        return None
    header = root.find("{*}ResponseHeader")
    # Both spellings occur in the published files.
    names = ("SeriesInstanceUid", "SeriesInstanceUID")
    series_id = next((t for n in names if header is not None and (t := _text(header, n))), "")
    sessions = root.findall("{*}readingSession")
    try:
        found = [
            _annotation(nodule, reader)
            for reader, session in enumerate(sessions)
            for nodule in session.iterfind("{*}unblindedReadNodule")
        ]
    except ValueError as error:
        raise _refuse(path, f"holds a coordinate that is not a number: {error}") from error
    return Reading(
        series_id=series_id,
        num_readers=len(sessions),
        annotations=tuple(annotation for annotation in found if annotation is not None),
    )


def outline_distances_mm(
    annotations: tuple[Annotation, ...], pixel_spacing_mm: tuple[float, float]
) -> np.ndarray:
    """Smallest distance between the outlines of every two annotations, mm, shape (n, n)."""
    scale = np.array([1.0, *pixel_spacing_mm])
    clouds = [annotation.points * scale for annotation in annotations]
    trees = [KDTree(cloud) for cloud in clouds]
    distances = np.zeros((len(clouds), len(clouds)))
    for i in range(len(clouds)):
        for j in range(i):
            distances[i, j] = distances[j, i] = trees[i].query(clouds[j])[0].min()
    return distances


def cluster_annotations(
    annotations: tuple[Annotation, ...],
    pixel_spacing_mm: tuple[float, float],
    tolerance_mm: float,
    *,
    max_size: int = 4,
    factor: float = 0.9,
    min_tolerance_mm: float = 0.1,
) -> list[list[Annotation]]:
    """Group annotations that mean the same nodule.

    Annotations closer than a tolerance are connected, connected ones form a cluster; the tolerance
    shrinks by ``factor`` until no cluster holds more annotations than there are readers, or until
    ``min_tolerance_mm``. This is the rule of pylidc (Hancock and Magnan, Journal of Medical Imaging
    3(4):044504, 2016; ``Scan.cluster_annotations`` with metric "min").

    Args:
        annotations: of one series.
        pixel_spacing_mm: (row, column).
        tolerance_mm: distance to begin with; the spacing of slices.
        max_size: largest cluster that is credible.
        factor: by which the tolerance shrinks.
        min_tolerance_mm: where shrinking ends.
    """
    if not annotations:
        return []
    distances = outline_distances_mm(annotations, pixel_spacing_mm)
    tolerance = tolerance_mm
    while True:
        near = coo_array(distances <= tolerance)
        number, group = connected_components(near, directed=False)
        if np.bincount(group).max() <= max_size or tolerance * factor < min_tolerance_mm:
            break
        tolerance *= factor
    return [[a for a, g in zip(annotations, group, strict=True) if g == which] for which in range(number)]


def readers_of(cluster: list[Annotation]) -> int:
    """Number of distinct readers of a cluster."""
    return len({annotation.reader for annotation in cluster})


def readers_by_slice(clusters: list[list[Annotation]]) -> dict[str, tuple[float, int]]:
    """SOPInstanceUID -> (z in mm, readers who outlined the same nodule there).

    Where two nodules share a slice, the one with more readers counts: three readers of three nodules
    are no consensus.
    """
    result: dict[str, tuple[float, int]] = {}
    for cluster in clusters:
        readers: dict[str, set[int]] = {}
        for annotation in cluster:
            for sop, z in annotation.slices.items():
                readers.setdefault(sop, set()).add(annotation.reader)
                result.setdefault(sop, (z, 0))
        for sop, who in readers.items():
            z, number = result[sop]
            result[sop] = (z, max(number, len(who)))
    return result
