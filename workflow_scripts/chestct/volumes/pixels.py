"""From the stored integers of one DICOM file to HU."""

import numpy as np

from chestct.intensity import AIR_HU
from chestct.volumes.decoders import read_stored
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.slice_header import SliceHeader

_INT16_MAX = np.iinfo(np.int16).max
#: RescaleType values that mean HU; US is "unspecified", which CT scanners write too.
_HOUNSFIELD = ("", "HU", "US", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS")
#: Twice the largest matrix of a CT scanner; beyond lies a damaged header, and memory has an end.
MAX_SIDE_PX = 4096


def check_pixel_format(header: SliceHeader) -> None:
    """Refuse a file that can't be a CT slice in HU.

    Raises:
        RefusedScan: ``multiframe``, ``truncated_file``, ``unsupported_pixels``, ``bad_rescale``,
            ``not_hounsfield``.
    """
    name = header.path.name
    if header.num_frames != 1 or header.fault:
        why = f", {header.fault}" if header.fault else ""
        raise RefusedScan("multiframe", f"{name}: {header.num_frames} frames{why}")
    if not header.has_pixels:
        raise RefusedScan("truncated_file", f"{name}: no pixel data")
    if header.samples != 1 or header.photometric not in ("MONOCHROME2", ""):
        raise RefusedScan("unsupported_pixels", f"{name}: {header.samples} x {header.photometric}")
    if header.bits_allocated not in (8, 16, 32) or not 0 < header.bits_stored <= header.bits_allocated:
        bits = f"{header.bits_stored} of {header.bits_allocated} bits"
        raise RefusedScan("unsupported_pixels", f"{name}: {bits}")
    if header.high_bit != header.bits_stored - 1:
        bits = f"{header.bits_stored} bits, the highest of them bit {header.high_bit}"
        raise RefusedScan("unsupported_pixels", f"{name}: {bits}")
    if not 1 <= min(header.rows, header.columns) <= max(header.rows, header.columns) <= MAX_SIDE_PX:
        raise RefusedScan("unsupported_pixels", f"{name}: {header.rows} x {header.columns} pixels")
    if header.has_lut:
        raise RefusedScan("bad_rescale", f"{name}: a table of values (Modality LUT) instead of a slope")
    if header.slope is None or header.intercept is None or header.slope <= 0:
        raise RefusedScan("bad_rescale", f"{name}: slope {header.slope}, intercept {header.intercept}")
    if header.rescale_type not in _HOUNSFIELD:
        raise RefusedScan("not_hounsfield", f"{name}: RescaleType {header.rescale_type}")


def is_padding_below_air(header: SliceHeader) -> bool:
    """Whether padding, if any is declared, becomes air because it lies as low."""
    assert header.slope is not None and header.intercept is not None
    return header.padding is None or header.padding[1] * header.slope + header.intercept <= AIR_HU


def _is_padding(header: SliceHeader, stored: np.ndarray) -> np.ndarray | None:
    """Mask of padded pixels, or None.

    Padding above -1024 HU is believed only where a corner of the image holds it, since the corners lie
    outside the scan circle. Some scanners declare a value (0) that tissue takes as well.
    """
    if header.padding is None or is_padding_below_air(header):
        return None
    low, high = header.padding
    mask = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask if mask[0, 0] or mask[0, -1] or mask[-1, 0] or mask[-1, -1] else None


def read_hu(header: SliceHeader) -> np.ndarray:
    """Read one slice in HU, shape (rows, columns); padding and what lies below -1024 HU become -1024.

    Returns int16 where slope and intercept are whole, else float64, which is rounded only after averaging
    so that the result stays within 0.5 HU of the exact average.

    Raises:
        RefusedScan: as ``read_stored``, or ``bad_rescale`` for values beyond int16.
    """
    stored = read_stored(header)
    slope, intercept = header.slope, header.intercept
    assert slope is not None and intercept is not None
    padding = _is_padding(header, stored)
    low, high = int(stored.min()), int(stored.max())
    whole = slope.is_integer() and intercept.is_integer()
    hu: np.ndarray
    if max(abs(low * slope + intercept), abs(high * slope + intercept)) > _INT16_MAX:
        # Outliers below are air anyway, and padding may lie above; judge what remains.
        kept = stored if padding is None else stored[~padding]
        highest = int(kept.max()) * slope + intercept if kept.size else 0.0
        if highest > _INT16_MAX:
            raise RefusedScan("bad_rescale", f"{header.path.name}: up to {highest:.0f} HU")
        hu = np.clip(stored.astype(np.float64) * slope + intercept, AIR_HU, _INT16_MAX)
        hu = hu.astype(np.int16) if whole else hu
    elif whole and slope == 1 and max(abs(low), abs(high), abs(intercept)) <= _INT16_MAX:
        hu = stored.astype(np.int16) + np.int16(intercept)
    elif whole:
        hu = (stored.astype(np.int64) * int(slope) + int(intercept)).astype(np.int16)
    else:
        hu = stored.astype(np.float64) * slope + intercept
    np.maximum(hu, hu.dtype.type(AIR_HU), out=hu)
    if padding is not None:
        hu[padding] = AIR_HU
    return hu
