"""Slices of the usual kind, from a file's bytes to HU without an unnecessary copy.

The usual kind: uncompressed, 16 bits, slope 1 and a whole intercept, square, kept as it is or halved.
OpenCV averages 2 x 2 whole numbers by integer arithmetic and rounds halves up, so that adding a number
before or after averaging gives the same: the intercept is added after it, to a quarter of the pixels. The
result equals that of ``pixels.read_hu`` and ``resample.resample_plane`` bit by bit
(``tests/unit/volumes/test_volumes_fast_planes.py``) in a fifth of the time, most of which goes there into
allocating memory.
"""

import cv2
import numpy as np

from chestct.intensity import AIR_HU
from chestct.volumes.decoders import fits_bits, plain_pixels
from chestct.volumes.pixels import is_padding_below_air
from chestct.volumes.slice_header import SliceHeader

_INT16_MAX = np.iinfo(np.int16).max


def is_usual(header: SliceHeader, size_px: int | None) -> bool:
    """Whether ``convert_plane`` may manage the slice, which has passed ``check_pixel_format``."""
    return (
        header.bits_allocated == 16
        and header.pixel_span is not None
        and header.pixel_span[1] == 2 * header.rows * header.columns
        and header.slope == 1
        and header.intercept is not None
        and header.intercept.is_integer()
        and header.rows == header.columns
        and size_px in (None, header.rows, header.rows / 2)
        and is_padding_below_air(header)
    )


def convert_plane(
    header: SliceHeader, content: memoryview, out: np.ndarray, scratch: dict[str, np.ndarray]
) -> bool:
    """Write one slice in HU, at least -1024, to ``out``.

    Args:
        header: for which ``is_usual`` holds.
        content: every byte of the file.
        out: int16, contiguous, shape (side, side) or half of that.
        scratch: memory kept from slice to slice; start with an empty one.

    Returns:
        False where the slice needs the general way; ``out`` holds anything then.
    """
    stored = plain_pixels(header, content)
    if stored is None:
        return False
    low, high = int(stored.min()), int(stored.max())
    assert header.intercept is not None
    intercept = int(header.intercept)
    air = AIR_HU - intercept
    if not fits_bits(header, low, high) or high < air or high + intercept > _INT16_MAX:
        return False
    if low < air:
        name = stored.dtype.name
        if name not in scratch or scratch[name].shape != stored.shape:
            scratch[name] = np.empty(stored.shape, stored.dtype)
        # A line of air, since NumPy takes the maximum of two arrays nine times as fast as with a number.
        line = np.full(stored.shape[1], air, stored.dtype)
        stored = np.maximum(stored, line, out=scratch[name])
    target = out.view(stored.dtype)
    if out.shape == stored.shape:
        np.copyto(target, stored)
    else:
        cv2.resize(stored, out.shape, dst=target, interpolation=cv2.INTER_AREA)
    # Modulo 2^16, as unsigned integers add; the sum itself lies within int16.
    shifted = out.view(np.uint16)
    np.add(shifted, np.uint16(intercept % (1 << 16)), out=shifted)
    return True
