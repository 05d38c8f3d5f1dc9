"""Resampling along z: to one spacing of slices (key ``spacing_z_mm``) or one number of them (``num_slices``).

The new slices are centred in the extent of the old ones; where their number is given, they cover it exactly:
N new slices out of n old ones are n / N old ones apart, the first centred n / (2 N) after the lower end.
A wider spacing averages what each new slice covers, weighted by the overlap; a narrower one interpolates
linearly, and repeats the outermost slices at the ends. A single slice is repeated.
"""

from dataclasses import replace

import numpy as np

from chestct.volumes.scan import Scan

_INT16 = np.iinfo(np.int16)
#: A relative difference of spacings below this is rounding in headers: nothing is resampled.
_SAME = 1e-3


def new_positions(num_slices: int, spacing_mm: float, new_spacing_mm: float) -> np.ndarray:
    """Centres of the new slices, in old slices from the centre of the first; at least two.

    >>> new_positions(4, 1.0, 2.0)
    array([0.5, 2.5])
    """
    step = new_spacing_mm / spacing_mm
    number = max(2, round(num_slices / step))
    return (num_slices - 1) / 2 + step * (np.arange(number) - (number - 1) / 2)


def slice_weights(num_slices: int, position: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Old slices that a new one is made of, and their weights, which sum to 1.

    Args:
        num_slices: old slices.
        position: centre of the new slice, in old slices.
        step: spacing of the new slices over that of the old ones.
    """
    if num_slices == 1:
        return np.array([0]), np.array([1.0])
    if step > 1:
        low, high = position - step / 2, position + step / 2
        numbers = np.arange(max(0, round(low)), min(num_slices, round(high) + 1))
        overlap = np.minimum(high, numbers + 0.5) - np.maximum(low, numbers - 0.5)
        numbers, overlap = numbers[overlap > 0], overlap[overlap > 0]
        return numbers, overlap / overlap.sum()
    within = float(np.clip(position, 0, num_slices - 1))
    first = min(int(within), num_slices - 2)
    return np.array([first, first + 1]), np.array([first + 1 - within, within - first])


def resample_z(scan: Scan, spacing_z_mm: float) -> Scan:
    """A scan with slices ``spacing_z_mm`` apart; the scan itself where they are so already.

    Marks on slices keep their place: a new slice has the SOPInstanceUID of the old one nearest to it, and
    every other old one counts as a copy of the new slice nearest to it (``Scan.copies``).
    """
    spacing_mm = scan.spacing_mm[0]
    if abs(spacing_z_mm / spacing_mm - 1) < _SAME:
        return scan
    return _at(scan, new_positions(len(scan.hu), spacing_mm, spacing_z_mm), spacing_z_mm)


def resample_slices(scan: Scan, num_slices: int) -> Scan:
    """A scan with ``num_slices`` slices (2 or more) over its extent; the scan itself where it has as many.

    Marks on slices are treated as in ``resample_z``.
    """
    if num_slices == len(scan.hu):
        return scan
    step = len(scan.hu) / num_slices
    positions = (np.arange(num_slices) + 0.5) * step - 0.5
    return _at(scan, positions, scan.spacing_mm[0] * step)


def _at(scan: Scan, positions: np.ndarray, spacing_z_mm: float) -> Scan:
    """A scan with slices at positions (in old slices from the first one's centre), ``spacing_z_mm`` apart."""
    spacing_mm, num_slices = scan.spacing_mm[0], len(scan.hu)
    step = spacing_z_mm / spacing_mm
    hu = np.empty((len(positions), *scan.hu.shape[1:]), dtype=np.int16)
    for number, position in enumerate(positions):
        sources, weights = slice_weights(num_slices, float(position), step)
        plane = np.zeros(scan.hu.shape[1:], dtype=np.float32)
        for source, weight in zip(sources, weights, strict=True):
            plane += np.float32(weight) * scan.hu[source]
        hu[number] = np.clip(np.rint(plane), _INT16.min, _INT16.max)
    nearest_old = np.clip(np.rint(positions).astype(int), 0, num_slices - 1)
    nearest_new = np.abs(positions[None, :] - np.arange(num_slices)[:, None]).argmin(axis=1)
    copies = {uid: int(nearest_new[old]) for uid, old in scan.copies.items()}
    copies |= {
        uid: int(nearest_new[old])
        for old, uid in enumerate(scan.sop_uids)
        if uid is not None and old not in nearest_old
    }
    z_step = float(scan.z_mm[-1] - scan.z_mm[0]) / (num_slices - 1) if num_slices > 1 else spacing_mm
    x_mm, y_mm, z_mm = scan.origin_mm
    return replace(
        scan,
        hu=hu,
        spacing_mm=(spacing_z_mm, *scan.spacing_mm[1:]),
        origin_mm=(x_mm, y_mm, z_mm + float(positions[0]) * spacing_mm),
        z_mm=scan.z_mm[0] + positions * z_step,
        sop_uids=tuple(scan.sop_uids[old] for old in nearest_old),
        copies=copies,
    )
