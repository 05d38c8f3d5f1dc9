"""Order, spacing and orientation of the slices of one series.

Coordinates are DICOM's patient coordinates (LPS, mm): x to the patient's left, y to the back, z to the
head. A converted volume is an array (z, y, x) whose indices ascend along these axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Report
from chestct.volumes.slice_header import SliceHeader

#: How far rows, columns and normal may lie from the patient's axes, degrees.
AXIS_TOLERANCE_DEGREES = 1.0
#: A tilt that the header declares, degrees; smaller ones are rounding.
TILT_TOLERANCE_DEGREES = 0.5
#: In-plane shift of a slice against the first, mm.
SHIFT_TOLERANCE_MM = 1.0
#: Slices nearer to each other than this lie at one position, mm.
SAME_POSITION_MM = 0.01
#: Relative difference of pixel spacings, absolute difference of direction cosines: rounding in headers.
_ROUNDING = 1e-3


def spacing_tolerance_mm(spacing_mm: float) -> float:
    """How far one gap may lie from the slice spacing (the median gap).

    5 % of it, but at least 0.1 mm, since scanners round positions to a tenth of a millimetre; never
    more than a quarter of it, so that a missing slice can't hide.
    """
    return max(0.05 * spacing_mm, min(0.1, 0.25 * spacing_mm))


@dataclass(frozen=True, kw_only=True)
class Plane:
    """How a stored slice (rows, columns) becomes (y, x), and where it lies.

    Attributes:
        transpose, flip_y, flip_x: applied in this order; flips refer to the transposed slice.
        spacing_mm: (y, x).
        corner_mm: in-plane offset (x, y) from the first stored pixel's centre to voxel (0, 0)'s.
    """

    transpose: bool
    flip_y: bool
    flip_x: bool
    spacing_mm: tuple[float, float]
    corner_mm: tuple[float, float]

    @property
    def turns(self) -> bool:
        """Whether ``apply`` changes anything."""
        return self.transpose or self.flip_y or self.flip_x

    def apply(self, stored: np.ndarray) -> np.ndarray:
        """Return a view of one slice with axes (y, x) ascending in patient coordinates."""
        plane = stored.T if self.transpose else stored
        return plane[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices feet to head; files at one position stand together, the one to keep first."""

    positions: tuple[tuple[SliceHeader, ...], ...]
    plane: Plane
    spacing_z_mm: float
    z_mm: np.ndarray

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of voxel (0, 0, 0) as (x, y, z)."""
        position = self.positions[0][0].position
        assert position is not None
        dx, dy = self.plane.corner_mm
        return position[0] + dx, position[1] + dy, float(self.z_mm[0])


def _check_alike(headers: Sequence[SliceHeader]) -> None:
    """Refuse slices without geometry, or of different sizes, orientations or pixel spacings."""
    for header in headers:
        if header.position is None or header.orientation is None or header.pixel_spacing is None:
            detail = (
                f"{header.path.name}: position {header.position}, orientation {header.orientation}, "
                f"pixel spacing {header.pixel_spacing}"
            )
            raise RefusedScan("bad_geometry", detail)
        row, column = np.array(header.orientation[:3]), np.array(header.orientation[3:])
        lengths = np.linalg.norm(row), np.linalg.norm(column)
        if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(row @ column)) > 0.01:
            detail = f"{header.path.name}: orientation {header.orientation} is not orthonormal"
            raise RefusedScan("bad_geometry", detail)
        if not 0.01 < min(header.pixel_spacing) <= max(header.pixel_spacing) < 100:
            raise RefusedScan("bad_geometry", f"{header.path.name}: pixel spacing {header.pixel_spacing} mm")
    sizes = sorted({(header.rows, header.columns) for header in headers})
    if len(sizes) > 1:
        raise RefusedScan("mixed_sizes", " and ".join(f"{rows}x{columns}" for rows, columns in sizes[:5]))
    orientations = np.array([header.orientation for header in headers])
    if np.abs(orientations - orientations[0]).max() > _ROUNDING:
        shown = np.unique(orientations.round(4), axis=0)[:3].tolist()
        raise RefusedScan("mixed_orientation", f"{shown}")
    spacings = np.array([header.pixel_spacing for header in headers])
    if (np.abs(spacings - spacings[0]) / spacings[0]).max() > _ROUNDING:
        shown = np.unique(spacings.round(6), axis=0)[:3].tolist()
        raise RefusedScan("mixed_spacing", f"{shown} mm")


def _check_tilt(headers: Sequence[SliceHeader], along: np.ndarray, shift: np.ndarray, report: Report) -> None:
    """Refuse sheared stacks; ``along`` (n,) and ``shift`` (n, 2) are positions, mm, in the slices' frame."""
    tilt = max((header.tilt_degrees for header in headers), key=abs)
    if abs(tilt) > TILT_TOLERANCE_DEGREES:
        report.refuse("gantry_tilt", f"header says {tilt:g} degrees")
    off = np.abs(shift - shift[0]).max()
    if off <= SHIFT_TOLERANCE_MM:
        return
    design = np.stack([along - along.mean(), np.ones_like(along)], axis=1)
    slope, *_ = np.linalg.lstsq(design, shift, rcond=None)
    if np.abs(shift - design @ slope).max() <= SHIFT_TOLERANCE_MM / 2:
        degrees = float(np.degrees(np.arctan(np.linalg.norm(slope[0]))))
        report.refuse("gantry_tilt", f"slices shift by {off:.1f} mm: sheared by {degrees:.1f} degrees")
        return
    raise RefusedScan("shifted_slices", f"in-plane positions differ by up to {off:.1f} mm")


def orient(
    row: np.ndarray, column: np.ndarray, shape: tuple[int, int], spacing: tuple[float, float]
) -> Plane:
    """Find transposition and flips that turn stored rows and columns into ascending y and x.

    Args:
        row, column: directions of increasing column index and of increasing row index.
        shape: stored (rows, columns).
        spacing: mm between rows, between columns.

    Raises:
        RefusedScan: ``not_axial``, beyond ``AXIS_TOLERANCE_DEGREES``.
    """
    transpose = bool(abs(row[1]) > abs(row[0]))
    along_y, along_x = (row, column) if transpose else (column, row)
    num_y, num_x = shape[::-1] if transpose else shape
    spacing_y, spacing_x = spacing[::-1] if transpose else spacing
    cosines = [abs(along_x[0]), abs(along_y[1]), abs(np.cross(row, column)[2])]
    degrees = float(np.degrees(np.arccos(np.clip(min(cosines), 0, 1))))
    if degrees > AXIS_TOLERANCE_DEGREES:
        detail = f"{degrees:.1f} degrees from the patient's axes: {row.tolist()}, {column.tolist()}"
        raise RefusedScan("not_axial", detail)
    flip_y, flip_x = bool(along_y[1] < 0), bool(along_x[0] < 0)
    corner = flip_y * (num_y - 1) * spacing_y * along_y + flip_x * (num_x - 1) * spacing_x * along_x
    return Plane(
        transpose=transpose,
        flip_y=flip_y,
        flip_x=flip_x,
        spacing_mm=(spacing_y, spacing_x),
        corner_mm=(float(corner[0]), float(corner[1])),
    )


def slice_spacing(along: np.ndarray, report: Report | None = None) -> float:
    """Return the mean spacing of ascending, distinct positions, mm; across accepted holes, the median.

    Args:
        along: positions, mm, shape (n,).
        report: says what the user accepts by hand; None: nothing.

    Raises:
        RefusedScan: ``missing_slices``, ``irregular_spacing``.
    """
    report = report or Report()
    gaps = np.diff(along)
    spacing = float(np.median(gaps))
    tolerance = spacing_tolerance_mm(spacing)
    multiples = np.rint(gaps / spacing)
    regular = np.abs(gaps - multiples * spacing) <= tolerance
    holes = (multiples > 1) & regular
    if not (regular & (multiples >= 1)).all():
        odd = int(np.argmax(np.abs(gaps - spacing)))
        detail = (
            f"gaps of {gaps.min():.3f} to {gaps.max():.3f} mm, median {spacing:.3f}, "
            f"tolerance {tolerance:.3f}; the oddest after {along[odd]:.3f} mm"
        )
        report.refuse("irregular_spacing", detail)
        return spacing
    if holes.any():
        shown = ", ".join(
            f"{int(multiples[i]) - 1} after {along[i]:.3f} mm (gap {gaps[i]:.3f})"
            for i in np.flatnonzero(holes)[:5]
        )
        num_missing = int(multiples.sum() - len(gaps))
        report.refuse("missing_slices", f"{num_missing} at a spacing of {spacing:.3f} mm: {shown}")
        return spacing
    return float(along[-1] - along[0]) / len(gaps)


def arrange(headers: Sequence[SliceHeader], report: Report | None = None) -> Stack:
    """Order the slices of one series along its normal, feet to head, and check that they form a volume.

    Args:
        headers: of its files.
        report: says what the user accepts by hand, and receives it; None: nothing.

    Raises:
        RefusedScan: every reason of geometry in ``refusals``.
    """
    report = report or Report()
    if len(headers) < 2:
        raise RefusedScan("too_few_slices", f"{len(headers)} slice(s)")
    _check_alike(headers)
    first = headers[0]
    assert first.orientation is not None and first.pixel_spacing is not None
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
    normal = np.cross(row, column)
    if normal[2] < 0:
        normal = -normal  # distances along it then ascend towards the head
    positions = np.array([header.position for header in headers])
    along = positions @ normal
    _check_tilt(headers, along, positions @ np.stack([row, column], axis=1), report)
    spacing_yx = (first.pixel_spacing[0], first.pixel_spacing[1])
    plane = orient(row, column, (first.rows, first.columns), spacing_yx)

    order = sorted(range(len(headers)), key=lambda i: (along[i], headers[i].instance_number, headers[i].path))
    groups: list[list[int]] = []
    for i in order:
        if groups and along[i] - along[groups[-1][0]] <= SAME_POSITION_MM:
            groups[-1].append(i)
        else:
            groups.append([i])
    for group in groups:
        group.sort(key=lambda i: (headers[i].instance_number, headers[i].path))
    if len(groups) < 2:
        raise RefusedScan("too_few_slices", f"{len(headers)} files at one position")
    seen: dict[str, int] = {}
    for number, group in enumerate(groups):
        for i in group:
            uid = headers[i].sop_uid
            if uid and seen.setdefault(uid, number) != number:
                raise RefusedScan("duplicate_identifiers", f"SOPInstanceUID {uid}")
    kept = [group[0] for group in groups]
    return Stack(
        positions=tuple(tuple(headers[i] for i in group) for group in groups),
        plane=plane,
        spacing_z_mm=slice_spacing(along[kept], report),
        z_mm=positions[kept, 2],
    )
