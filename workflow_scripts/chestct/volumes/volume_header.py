"""What the header of a volume file says, judged alike in every format before a library reads it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chestct.volumes.refusals import RefusedScan

#: Rows, columns or slices at most, and voxels in all (2 GiB of int16): what a scanner makes is less, and a
#: header that announces more asks for memory that no job has.
MAX_SIDE, MAX_VOXELS = 4096, 1 << 30
#: Distance of pixels and of slices, mm: 0.17 is the finest of a chest's field of view, 10 to 20 the widest
#: gap of old examinations; what lies outside is in other units.
LEAST_SPACING_MM, MOST_SPACING_MM = 0.1, 50
#: How mm are written, or that nothing is known.
_MM = ("", "mm", "millimeter", "millimetre", "?", "???")
#: Other units, as files write them.
_OTHER_UNITS = re.compile(
    r"(u|\u00b5|\u03bc|n|c|d|k)?m|(micro|nano|centi|deci|kilo)?met(er|re)s?|microns?|inch(es)?|in|ft|feet|s|sec|ms|us|"
    r"hz|ppm|rads?|unit \d+|pixels?|voxels?|none"
)
#: Relative difference of two spacings, and cosine between axes, that are rounding.
_ROUNDING = 0.01
#: Directions that are the same: within a degree.
_SAME_COSINE = math.cos(math.radians(1))


@dataclass(frozen=True, kw_only=True)
class VolumeHeader:
    """What a header announces.

    Attributes:
        num_voxels: in all dimensions.
        notes: remarks for the ledger.
        crc32: of the voxels as they lie in the file, unpacked; None where they are text, or scaled.
    """

    num_voxels: int
    notes: tuple[str, ...] = ()
    crc32: int | None = None


def check_size(size: Sequence[int]) -> int:
    """The number of voxels of a volume of this size.

    Raises:
        RefusedScan: ``too_large``, ``unreadable_file``.
    """
    shown = " x ".join(str(length)[:12] for length in size[:8])
    if not size or min(size) < 1:
        raise RefusedScan("unreadable_file", f"damaged, size {shown}")
    if max(size) > MAX_SIDE or math.prod(size) > MAX_VOXELS:
        limit = f"{MAX_SIDE} voxels a side and {MAX_VOXELS} in all"
        raise RefusedScan(
            "too_large", f"size {shown}, at most {limit}: write the scan anew in fewer voxels, or crop it"
        )
    return math.prod(size)


def check_finite(name: str, values: Sequence[float] | np.ndarray) -> None:
    """Refuse coordinates that are no numbers, as ``bad_geometry``."""
    if not np.isfinite(np.asarray(values, dtype=float)).all():
        shown = np.asarray(values, dtype=float).ravel().tolist()
        raise RefusedScan("bad_geometry", f"{name} {shown}: correct the header")


def check_count(name: str, values: Sequence[float], count: int) -> None:
    """Refuse a statement on place that has not one number an axis, as ``bad_geometry``; none is none."""
    if values and len(values) != count:
        raise RefusedScan(
            "bad_geometry", f"{name} of {len(values)} numbers, expected {count}: correct the header"
        )


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Refuse spacings of voxels that no CT has, as ``bad_geometry``."""
    check_finite("spacing", spacing_mm)
    if not LEAST_SPACING_MM <= min(spacing_mm) <= max(spacing_mm) <= MOST_SPACING_MM:
        shown = " x ".join(f"{value:g}" for value in spacing_mm)
        limits = f"{LEAST_SPACING_MM:g} to {MOST_SPACING_MM:g} mm"
        detail = f"voxels of {shown} mm, expected {limits}: are they in other units? Correct the header"
        raise RefusedScan("bad_geometry", detail)


def check_units(units: Sequence[str]) -> None:
    """Refuse lengths that are not in mm, as ``other_units``; what is empty or unknown counts as mm."""
    other = sorted({unit for unit in units if unit.strip().lower() not in _MM})
    if other:
        # Whatever else stands there may be a name.
        shown = ", ".join(
            sorted({unit if _OTHER_UNITS.fullmatch(unit.strip().lower()) else "(text)" for unit in other})
        )
        raise RefusedScan("other_units", f"lengths in {shown}, expected mm: write the scan anew in mm")


def check_axes(what: str, columns: np.ndarray) -> None:
    """Refuse axes that are not at right angles.

    Args:
        what: names them in the detail.
        columns: shape (3, 3), the step of a voxel along each axis as a column, of any length.

    Raises:
        RefusedScan: ``bad_geometry`` for an axis without length, ``sheared_axes``.
    """
    check_finite(what, columns)
    lengths = np.linalg.norm(columns, axis=0)
    if lengths.min() == 0:
        raise RefusedScan("bad_geometry", f"{what}: an axis without direction: correct the header")
    cosines = (columns / lengths).T @ (columns / lengths)
    worst = float(np.abs(cosines - np.eye(3)).max())
    if worst > _ROUNDING:
        degrees = math.degrees(math.asin(min(worst, 1)))
        raise RefusedScan(
            "sheared_axes",
            f"{what}: axes {degrees:.1f} degrees from right angles, as of a tilted gantry: "
            "take a reconstruction without tilt",
        )


def check_same_axes(names: tuple[str, str], first: np.ndarray, second: np.ndarray) -> None:
    """Refuse two statements on the axes that differ, as ``contradicting_header``.

    Args:
        names: of the two.
        first, second: shape (3, 3), steps of a voxel as columns, mm.
    """
    lengths = np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=0)
    check_same_spacing(names, lengths[0], lengths[1])
    cosines = (first / lengths[0] * (second / lengths[1])).sum(axis=0)
    if cosines.min() < _SAME_COSINE:
        axis = "xyz"[int(cosines.argmin())]
        degrees = math.degrees(math.acos(max(float(cosines.min()), -1)))
        raise RefusedScan(
            "contradicting_header",
            f"{names[0]} and {names[1]} turn axis {axis} {degrees:.0f} degrees apart: "
            "write the scan anew with the one that is right",
        )


def check_same_spacing(
    names: tuple[str, str], first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> None:
    """Refuse two statements on the spacing of voxels that differ, as ``contradicting_header``."""
    if not np.allclose(first, second, rtol=_ROUNDING, atol=0):
        shown = [" x ".join(f"{value:.4g}" for value in values) for values in (first, second)]
        raise RefusedScan(
            "contradicting_header",
            f"voxels of {shown[0]} mm by {names[0]}, {shown[1]} mm by {names[1]}: "
            "write the scan anew with the one that is right",
        )


def add_field(fields: dict[str, str], name: str, value: str) -> None:
    """Keep a field of a header of text.

    Raises:
        RefusedScan: ``contradicting_header``, where it is there already and says something else.
    """

    def meaning(text: str) -> object:
        try:
            return [float(word) for word in text.split()]
        except ValueError:
            return text

    known = fields.setdefault(name, value)
    if known != value and meaning(known) != meaning(value):
        raise RefusedScan(
            "contradicting_header", f"{name[:40]} is there twice, and differs: correct the header"
        )


def not_3d(size: Sequence[int]) -> RefusedScan:
    """The refusal of what is no single volume."""
    shown = " x ".join(map(str, size))
    return RefusedScan(
        "not_3d", f"size {shown}, expected three dimensions: write one volume of one value a voxel"
    )


def wrong_length(found: int | str, expected: int) -> RefusedScan:
    """The refusal of voxels whose bytes are not as many as the header says."""
    return RefusedScan(
        "wrong_length",
        f"{found} bytes of voxels, {expected} by the header: copy the file again, or correct its header",
    )
