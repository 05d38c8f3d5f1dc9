"""Triton kernel that makes stored windows a network's input in one pass.

Each stored value is read where it is needed, and the input is written once, in its type and layout. Sums run
in float32, places in a slice are computed in float64: in float32 they are off by a hundred-thousandth of a
pixel, in TF32 by nearly a tenth.
"""

import triton
import triton.language as tl


@triton.jit
def _tap(plane, row, column, weight, ok, H, W, fill):
    """What a stored value above ``fill`` adds to an interpolated one; nothing outside the slice."""
    inside = ok & (row >= 0) & (row < H) & (column >= 0) & (column < W)
    value = tl.load(plane + row * W + column, mask=inside, other=0).to(tl.float32)
    return tl.where(inside, (value - fill) * weight, 0.0)


@triton.jit(do_not_specialize=["T", "H", "W", "top", "left"])
def input_kernel(
    stored, matrices, out, T, H, W, top, left, fill, low, width, mean0, mean1, mean2, std0, std1, std2,
    CROP: tl.constexpr, TURNED: tl.constexpr, CHANNELS_LAST: tl.constexpr,
    SLICES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The input of a network, a program for BLOCK pixels of SLICES slices of a window.

    ``stored`` is (B, T, H, W), ``out`` (B, T, CROP, CROP, 3), or (B, 3, T, CROP, CROP) without CHANNELS_LAST.
    ``matrices``, (B, 2, 3) in float64, take (column, row, 1) of the input to (column, row) of a slice;
    without TURNED the crop begins at (top, left).
    """
    pixels: tl.constexpr = CROP * CROP
    tiles: tl.constexpr = (pixels + BLOCK - 1) // BLOCK
    groups = tl.cdiv(T, SLICES)
    program = tl.program_id(0)
    pixel = (program % tiles) * BLOCK + tl.arange(0, BLOCK)
    first = ((program // tiles) % groups) * SLICES
    n = program // (tiles * groups)
    row, column = pixel // CROP, pixel % CROP
    begin = stored + n.to(tl.int64) * T * H * W
    if TURNED:
        matrix = matrices + n * 6
        across, down = column.to(tl.float64), row.to(tl.float64)
        x = tl.load(matrix) * across + tl.load(matrix + 1) * down + tl.load(matrix + 2)
        y = tl.load(matrix + 3) * across + tl.load(matrix + 4) * down + tl.load(matrix + 5)
        x_floor, y_floor = tl.floor(x), tl.floor(y)
        right, lower = (x - x_floor).to(tl.float32), (y - y_floor).to(tl.float32)
        column, row = x_floor.to(tl.int32), y_floor.to(tl.int32)
    else:
        column, row = column + left, row + top
    for i in range(SLICES):
        t = first + i
        ok = (pixel < pixels) & (t < T)
        plane = begin + t * H * W
        if TURNED:
            value = _tap(plane, row, column, (1 - right) * (1 - lower), ok, H, W, fill)
            value += _tap(plane, row, column + 1, right * (1 - lower), ok, H, W, fill)
            value += _tap(plane, row + 1, column, (1 - right) * lower, ok, H, W, fill)
            value += _tap(plane, row + 1, column + 1, right * lower, ok, H, W, fill)
            value += fill
        else:
            value = tl.load(plane + row * W + column, mask=ok, other=0).to(tl.float32)
        grey = tl.minimum(tl.maximum((value - low) / width, 0.0), 1.0)
        if CHANNELS_LAST:
            place = out + (n.to(tl.int64) * T + t) * (pixels * 3) + pixel * 3
            apart = 1
        else:
            place = out + (n.to(tl.int64) * 3 * T + t) * pixels + pixel
            apart = T * pixels
        kind = out.dtype.element_ty
        tl.store(place, ((grey - mean0) / std0).to(kind), mask=ok)
        tl.store(place + apart, ((grey - mean1) / std1).to(kind), mask=ok)
        tl.store(place + 2 * apart, ((grey - mean2) / std2).to(kind), mask=ok)
