"""Whether a volume's numbers are HU: judged by air, soft tissue and range, never by what a header claims.

A chest in HU has air (outside -1000, lungs about -850), soft tissue (fat -100, muscle 50, blood with contrast
agent up to 500) and little that is denser. Numbers that were shifted, scaled, cut to a display window of
soft tissue, or that are no CT at all lack one of them. Limits are wide, so that crops, phantoms, clipped
volumes (-1000 to 400, a lung window) and padding outside the scan circle pass; docs/volumes.md gives reasons.
"""

from collections.abc import Iterator

import numpy as np

from chestct.intensity import AIR_HU, HU, HU_PLUS_1024, OFFSET_HU
from chestct.volumes.refusals import RefusedScan

#: Air or lung lies below, soft tissue within; each must hold so many percent of the voxels. Crops of the
#: mediastinum have little more air than a bronchus.
AIR_BELOW_HU, LEAST_AIR_PERCENT = -600, 0.05
TISSUE_HU, LEAST_TISSUE_PERCENT = (-200, 200), 0.5
#: Most lung and all air lie below.
LUNG_HU = -800
#: Median of what is neither air nor lung (above -400 HU): lung vessels with partial volume, or blood with
#: contrast agent, at the extremes.
TISSUE_ABOVE_HU, TISSUE_MEDIAN_HU = -400, (-350, 500)
#: Bone and metal lie above, and are at most so many percent; of a scan in HU + 1024 it is the whole body.
DENSE_ABOVE_HU, MOST_DENSE_PERCENT = 700, 10
#: Percent of a slice above ``TISSUE_ABOVE_HU`` that is little, and that is much: a chest fills 30 to 60.
LITTLE_TISSUE_PERCENT, MUCH_TISSUE_PERCENT = 10, 20
#: By how much the lowest tenth and the highest thirtieth of a slice may both move to those of the next.
MOST_JUMP_HU = 300
#: Nothing real lies below, but noise and padding; padding is one value, and not counted.
BELOW_AIR_HU, MOST_BELOW_AIR_PERCENT = -1200, 5
#: Fewer voxels have no distribution to speak of: only their range is judged.
LEAST_VOXELS = 4096
#: Voxels that are looked at, evenly spread: a share of 0.5 % of them is exact to 0.02 %.
_SAMPLE = 1 << 17
#: Lines and columns of a slice that are looked at.
_GRID = 16
_INT16_MAX = np.iinfo(np.int16).max
#: Values wholly within this distance of 0 were scaled for a network.
_MIN_EXTENT_HU = 20
#: What has been added to HU by mistake or for storage, in the order in which it is tried.
_OFFSETS = (1024, 1000, -1024, -1000, 8192, -8192, 32768, -32768, 2048, -2048, 512, -512)
#: What HU were multiplied by.
_FACTORS = (10, 0.001, 1 / 1024)
#: Slopes that are wrong by a factor.
_SLOPES = (0.5, 2)


def _sample(values: np.ndarray) -> np.ndarray:
    """Voxels evenly spread over a volume, as a flat array."""
    flat = values.reshape(-1)
    # An odd step meets every column of every plane, whose numbers are even as a rule.
    return np.ascontiguousarray(flat[:: (flat.size // _SAMPLE) | 1])


def _is_narrow(low: float, high: float) -> bool:
    return low > -_MIN_EXTENT_HU and high < _MIN_EXTENT_HU


def _fault(values: np.ndarray) -> str | None:
    """What keeps flat values from being a chest in HU, in words; None where nothing does."""

    def percent(found: np.ndarray) -> float:
        return 100 * float(np.count_nonzero(found)) / values.size

    air = percent(values <= AIR_BELOW_HU)
    if air < LEAST_AIR_PERCENT:
        return f"no air: {air:.2g} % of the voxels at {AIR_BELOW_HU} HU or less"
    low, high = TISSUE_HU
    tissue = percent((values >= low) & (values <= high))
    if tissue < LEAST_TISSUE_PERCENT:
        return f"no soft tissue: {tissue:.2g} % of the voxels from {low} to {high} HU"
    dense = percent(values > DENSE_ABOVE_HU)
    if dense > MOST_DENSE_PERCENT:
        return f"{dense:.0f} % of the voxels above {DENSE_ABOVE_HU} HU, as dense as bone"
    median = float(np.median(values[values > TISSUE_ABOVE_HU]))
    if not TISSUE_MEDIAN_HU[0] <= median <= TISSUE_MEDIAN_HU[1]:
        return f"what is no air has a median of {median:.0f} HU"
    below = values[values < BELOW_AIR_HU]
    if 100 * below.size > MOST_BELOW_AIR_PERCENT * values.size:
        _, counts = np.unique(below, return_counts=True)
        scattered = 100 * (below.size - int(counts.max())) / values.size
        if scattered > MOST_BELOW_AIR_PERCENT:
            return f"{scattered:.0f} % of the voxels below {BELOW_AIR_HU} HU, less than air"
    return None


def _likely_causes(values: np.ndarray, intensity: str) -> Iterator[str]:
    """What may have been done to HU to give these values, the likeliest first, each with its remedy."""
    low, high = float(values.min()), float(values.max())
    much = 100 * np.count_nonzero(values > -LUNG_HU) > MOST_DENSE_PERCENT * values.size
    if low < TISSUE_HU[0] and much and _fault(-values) is None:
        # Bone tells it from HU + 1024, which is its mirror image otherwise.
        yield "looks like HU with the sign turned: write the scan anew in HU"
    # A window cuts at a value of its own, and many voxels lie there; HU that were shifted begin at air.
    is_cut = AIR_BELOW_HU <= low <= -100 and 20 * np.count_nonzero(values == low) > values.size
    for offset in _OFFSETS:
        if _fault(values - offset) is not None or (is_cut and low - offset not in (-1000, AIR_HU)):
            continue
        added = offset + OFFSET_HU[intensity]  # to the HU, in the files
        if added == 0:
            yield "looks like HU as they are: remove `intensity` of the dataset"
        elif added in (1000, 1024):
            yield f"looks like HU + {added}: set intensity: {HU_PLUS_1024} for the dataset"
        elif added > 0:
            yield f"looks like HU + {added}: write the scan anew with {added} taken off"
        elif added in (-1000, -1024):
            yield f"looks like HU - {-added}, as after a rescale applied twice: write the scan anew in HU"
        else:
            yield f"looks like HU - {-added}: write the scan anew with {-added} added"
    if high > _INT16_MAX and _fault(np.where(values > _INT16_MAX, values - 65536, values)) is None:
        yield "looks like negative HU written as unsigned integers: write the scan anew as signed ones"
    if AIR_BELOW_HU <= low <= -100:
        yield "looks like HU cut to a display window without air: take the volume before that"
    if 100 * np.count_nonzero(values <= LUNG_HU) > 95 * values.size:
        yield f"little is above {LUNG_HU} HU: looks like a rescale applied twice, or a slope far too small"
    for slope in _SLOPES:
        if low < 0 and _fault((values - AIR_HU) / slope + AIR_HU) is None:
            yield f"looks like a slope that is {slope:g} times the right one: write the scan anew in HU"
    for factor in _FACTORS:
        if _fault(values / factor) is None:
            yield f"looks like HU times {factor:g}: write the scan anew in HU"
    if _is_narrow(low, high):
        yield "looks like values scaled for a network, or a mask: take the volume in HU that it was made of"
    if low >= 0 and high <= 255:
        yield "looks like grey values or labels: take the volume in HU (grey images: intensity: display)"
    if low >= 0:
        yield "nothing is negative: looks like stored values before their rescale, PET, MR or a mask"
    yield "take the volume in HU, or leave the scan out"


def _largest_jump(few: np.ndarray) -> float:
    """By how much the lowest and the highest values move together from one slice to the next, at most, HU.

    Args:
        few: values of slices, shape (slices, values); those of -1024 HU or less are padding, or cut, and do
            not count.
    """
    ordered, num_padded = np.sort(few, axis=1), np.count_nonzero(few <= AIR_HU, axis=1)
    count = few.shape[1] - num_padded
    ends = np.stack([num_padded + count // 10, few.shape[1] - 1 - count // 32], axis=1)
    jumps = np.diff(np.take_along_axis(ordered, ends, axis=1).astype(np.float64), axis=0)
    together = np.sign(jumps[:, 0]) == np.sign(jumps[:, 1])
    return float(np.where(together, np.abs(jumps).min(axis=1), 0).max(initial=0))


def _check_slices(values: np.ndarray) -> list[str]:
    """Refuse volumes some of whose slices cannot be of the scan that the others are; returns notes.

    - A copy that was cut, or a hole in a file, reads as zeros: slices of one value are refused, but for
      those of air at the ends, which were added to volumes of one depth.
    - Where some slices lost their rescale, the lowest and the highest values jump together from one slice to
      the next. Anatomy moves one or the other.
    - Where some were rescaled twice, tissue is gone between slices with much of it. A neck or an ankle is
      thin, but so is what lies beside it.
    """
    steps = [max(length // _GRID, 1) for length in values.shape[1:]]
    few = values[:, :: steps[0], :: steps[1]].reshape(len(values), -1)
    alike = (few == few[:, :1]).all(axis=1)  # most slices differ in a few voxels
    for i in np.flatnonzero(alike):
        alike[i] = (values[i] == few[i, 0]).all()
    tissue = 100 * np.count_nonzero(few > TISSUE_ABOVE_HU, axis=1) / few.shape[1]
    full = np.flatnonzero(~alike & (tissue >= LITTLE_TISSUE_PERCENT))
    if not full.size:
        return []
    bare = ~alike & (tissue < LITTLE_TISSUE_PERCENT)
    numbers = np.arange(len(values))
    # The tissue of the next slices below and above that have some; 100 beyond the ends.
    steps_up = np.searchsorted(full, numbers)
    below, above = (np.r_[100, tissue[full], 100][steps_up + side] for side in (0, 1))
    between = (numbers > full[0]) & (numbers < full[-1])
    beside_much = np.minimum(below, above) > MUCH_TISSUE_PERCENT
    padding = alike & ~between & (few[:, 0] <= LUNG_HU)
    jump = _largest_jump(few[full])
    if lost := np.count_nonzero(alike & ~padding):
        fault = f"{lost} of {len(values)} slices hold nothing but one value, as of a copy that was cut"
    elif jump > MOST_JUMP_HU:
        fault = (
            f"all values move by {jump:.0f} HU from one slice to the next, as where some lost their rescale"
        )
    elif lost := np.count_nonzero(bare & between & beside_much):
        fault = f"{lost} slices without tissue between others with much, as where they were rescaled twice"
    else:
        num_padded, num_bare = np.count_nonzero(padding), np.count_nonzero(bare & ~between & beside_much)
        notes = [f"{num_padded} slice(s) of one value, air, at the ends"] if num_padded else []
        more = [f"{num_bare} slices without tissue at the ends"] if 4 * num_bare > len(values) else []
        return notes + more
    raise RefusedScan("not_hounsfield", f"{fault}: copy the scan again, or take one without such slices")


def check_hounsfield(values: np.ndarray, *, intensity: str = HU) -> list[str]:
    """Refuse a volume whose values are evidently not HU.

    Args:
        values: shape (z, y, x), integers or floats, finite; of ``hu_plus_1024`` after 1024 was taken off.
        intensity: what the dataset says that its values are, ``hu`` or ``hu_plus_1024``.

    Returns:
        Notes for the ledger.

    Raises:
        RefusedScan: ``not_hounsfield``, with the range, what is amiss, and the likeliest cause.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise RefusedScan("not_hounsfield", f"values from {low:g} to {high:g} HU: nothing else")
    some = _sample(values)
    if high > _INT16_MAX:
        fault: str | None = "beyond 16 bits"
    elif _is_narrow(low, high):
        fault = "no wider than noise"
    elif low > AIR_BELOW_HU and values.size < LEAST_VOXELS:
        fault = "no air"
    elif values.size < LEAST_VOXELS:
        fault = None
    elif ((some == low) | (some == high)).all():
        fault = "two values, as of a mask"
    else:
        fault = _fault(some)
    if fault is not None:
        cause = next(_likely_causes(some.astype(np.float32), intensity))
        raise RefusedScan("not_hounsfield", f"values from {low:g} to {high:g} HU: {fault}; {cause}")
    return _check_slices(values) if values.size >= LEAST_VOXELS else []
