"""In-plane resampling.

The rule, for an image of side n (an image that is not square is first padded with air, a display image with
black, evenly on both sides, the odd line last) and a target side m:

- n = k m with whole k: every pixel is the average of its k x k pixels, rounded once to int16 (exact
  halves: up for k = 2 and whole HU, where OpenCV computes with integers, otherwise to the even number);
- n > m otherwise: average weighted by the area of overlap;
- n < m: bilinear, pixel centres spread evenly over the same field of view.

Along z nothing changes.
"""

import cv2
import numpy as np

from chestct.intensity import AIR_HU

_INT16 = np.iinfo(np.int16)
#: Up to this factor, sums of 16-bit values over a block are exact in the 32-bit floats that OpenCV uses.
_MAX_EXACT_FACTOR = 16


def _pad_lengths(shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    side = max(shape)
    y, x = ((side - length) // 2 for length in shape)
    return (y, side - shape[0] - y), (x, side - shape[1] - x)


def _to_int16(plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.int16:
        return plane
    return np.clip(np.rint(plane), _INT16.min, _INT16.max).astype(np.int16)


def resample_plane(hu: np.ndarray, size_px: int | None, fill: int = AIR_HU) -> np.ndarray:
    """Resample one slice (y, x) of int16 or float HU, at least -1024, to int16 (size_px, size_px).

    ``size_px`` None keeps the pixels (and only rounds). At most 0.5 HU from the exact average where the
    factor is whole. ``fill`` is what a slice that is not square is padded with.
    """
    if size_px is None:
        return _to_int16(hu)
    if hu.shape[0] != hu.shape[1]:
        hu = np.pad(hu, _pad_lengths(hu.shape), constant_values=fill)  # type: ignore[arg-type]
    side = hu.shape[0]
    if side == size_px:
        return _to_int16(hu)
    target = (size_px, size_px)
    if side < size_px:
        return _to_int16(cv2.resize(hu.astype(np.float64), target, interpolation=cv2.INTER_LINEAR))
    factor = side / size_px
    if hu.dtype == np.int16 and factor.is_integer() and factor <= _MAX_EXACT_FACTOR:
        return cv2.resize(hu, target, interpolation=cv2.INTER_AREA)
    return _to_int16(cv2.resize(hu.astype(np.float64), target, interpolation=cv2.INTER_AREA))


def resampled_grid(
    shape: tuple[int, int], spacing_mm: tuple[float, float], size_px: int | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the spacing (y, x) after resampling, and how far the first pixel's centre moves (y, x), mm."""
    if size_px is None:
        return spacing_mm, (0.0, 0.0)
    factor = max(shape) / size_px
    before = [pair[0] for pair in _pad_lengths(shape)]
    shifts = [((factor - 1) / 2 - pad) * step for pad, step in zip(before, spacing_mm, strict=True)]
    return (spacing_mm[0] * factor, spacing_mm[1] * factor), (shifts[0], shifts[1])
