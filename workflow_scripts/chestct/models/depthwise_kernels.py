"""Triton kernels of depthwise 3D convolutions on maps whose channels lie last in memory.

A map is (B, T, H, W, C). Every kernel adds up in float32, takes any stride, padding and number of channels,
and masks the channels that its last block has too many. The number of channels is known when a kernel is
compiled, so that rows of 54 bfloat16, whose places no 16 bytes divide, are read in the widest words that fit.

``taps`` are the weights as (KT * KH * KW, C) in float32. T, H, W are lengths of the input, TO, HO, WO of the
output; K lengths of the window of weights, S strides, P paddings, of the three axes each. A sample must have
fewer than 2**31 values; where samples begin may be any number of values apart.
"""

import triton
import triton.language as tl

#: Lengths, of which a kernel must not be compiled anew for every kind.
_LENGTHS = ["T", "H", "W", "TO", "HO", "WO"]


@triton.jit(do_not_specialize=_LENGTHS)
def forward_kernel(
    x, taps, y, sample_x, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """The output, a program for BLOCK_P positions of a plane and BLOCK_C channels."""
    blocks_c: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    program = tl.program_id(0)
    c = (program % blocks_c) * BLOCK_C + tl.arange(0, BLOCK_C)
    tiles = tl.cdiv(HO * WO, BLOCK_P)
    tile = (program // blocks_c) % tiles
    plane = program // (blocks_c * tiles)
    t_out = plane % TO
    n = (plane // TO).to(tl.int64)
    position = tile * BLOCK_P + tl.arange(0, BLOCK_P)
    h_out, w_out = position // WO, position % WO
    c_ok, p_ok = c < C, position < HO * WO
    sample = x + n * sample_x
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for kt in tl.static_range(KT):
        t = t_out * ST + kt - PT
        for kh in tl.static_range(KH):
            h = h_out * SH + kh - PH
            row_ok = p_ok & (t >= 0) & (t < T) & (h >= 0) & (h < H)
            for kw in tl.static_range(KW):
                w = w_out * SW + kw - PW
                ok = row_ok & (w >= 0) & (w < W)
                offset = ((t * H + h) * W + w) * C
                mask = ok[:, None] & c_ok[None, :]
                value = tl.load(sample + offset[:, None] + c[None, :], mask=mask, other=0.0)
                tap = tl.load(taps + ((kt * KH + kh) * KW + kw) * C + c, mask=c_ok, other=0.0)
                total += value.to(tl.float32) * tap[None, :]
    place = y + plane.to(tl.int64) * (HO * WO * C) + (position * C)[:, None] + c[None, :]
    tl.store(place, total.to(y.dtype.element_ty), mask=p_ok[:, None] & c_ok[None, :])


@triton.jit(do_not_specialize=_LENGTHS)
def forward_rows_kernel(
    x, taps, y, sample_x, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SW: tl.constexpr, PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """The output of windows 3 rows high at stride 1 along H, a program for ROWS rows one after another.

    Every row that is read serves the three rows of the output that it lies in: a third of the reads.
    """
    blocks_c: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    program = tl.program_id(0)
    c = (program % blocks_c) * BLOCK_C + tl.arange(0, BLOCK_C)
    blocks_w, chunks = tl.cdiv(WO, BLOCK_W), tl.cdiv(HO, ROWS)
    rest = program // blocks_c
    w_out = (rest % blocks_w) * BLOCK_W + tl.arange(0, BLOCK_W)
    first = ((rest // blocks_w) % chunks) * ROWS
    plane = rest // (blocks_w * chunks)
    t_out = plane % TO
    n = (plane // TO).to(tl.int64)
    c_ok, w_ok = c < C, w_out < WO
    sample = x + n * sample_x
    out = y + plane.to(tl.int64) * (HO * WO * C) + (w_out * C)[:, None] + c[None, :]
    # Of the rows of the output two above, one above and at the row that is begun.
    above2 = tl.zeros((BLOCK_W, BLOCK_C), tl.float32)
    above1 = tl.zeros((BLOCK_W, BLOCK_C), tl.float32)
    for row in range(first, tl.minimum(first + ROWS, HO) + 2):
        h = row - PH
        begun = tl.zeros((BLOCK_W, BLOCK_C), tl.float32)
        for kt in tl.static_range(KT):
            t = t_out * ST + kt - PT
            row_ok = w_ok & (t >= 0) & (t < T) & (h >= 0) & (h < H)
            for kw in tl.static_range(KW):
                w = w_out * SW + kw - PW
                ok = row_ok & (w >= 0) & (w < W)
                offset = ((t * H + h) * W + w) * C
                mask = ok[:, None] & c_ok[None, :]
                value = tl.load(sample + offset[:, None] + c[None, :], mask=mask, other=0.0).to(tl.float32)
                tap = taps + (kt * 3 * KW + kw) * C + c
                begun += value * tl.load(tap, mask=c_ok, other=0.0)[None, :]
                above1 += value * tl.load(tap + KW * C, mask=c_ok, other=0.0)[None, :]
                above2 += value * tl.load(tap + 2 * KW * C, mask=c_ok, other=0.0)[None, :]
        ready = w_ok & (row >= first + 2)
        place = out + (row - 2) * (WO * C)
        tl.store(place, above2.to(y.dtype.element_ty), mask=ready[:, None] & c_ok[None, :])
        above2 = above1
        above1 = begun


@triton.jit(do_not_specialize=_LENGTHS)
def input_gradient_kernel(
    grad, taps, grad_x, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """The gradient of the input, a program for positions that lie SH rows and SW columns apart.

    At such positions the same taps meet positions of the output: all others are left out whole.
    """
    blocks_c: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    program = tl.program_id(0)
    c = (program % blocks_c) * BLOCK_C + tl.arange(0, BLOCK_C)
    columns = tl.cdiv(W, SW)
    length = tl.cdiv(H, SH) * columns
    tiles = tl.cdiv(length, BLOCK_P)
    rest = program // blocks_c
    position = (rest % tiles) * BLOCK_P + tl.arange(0, BLOCK_P)
    rest = rest // tiles
    first_h, first_w = (rest // SW) % SH, rest % SW
    plane = rest // (SH * SW)
    t = plane % T
    n = (plane // T).to(tl.int64)
    h = (position // columns) * SH + first_h
    w = (position % columns) * SW + first_w
    c_ok, p_ok = c < C, (position < length) & (h < H) & (w < W)
    sample = grad + n * TO * HO * WO * C
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for kt in tl.static_range(KT):
        t_far = t + PT - kt
        # A multiple of the stride is added, so that no remainder is taken of a negative number.
        if (t_far >= 0) & ((t_far + KT * ST) % ST == 0):
            for kh in tl.static_range(KH):
                if (first_h + PH - kh + KH * SH) % SH == 0:
                    for kw in tl.static_range(KW):
                        if (first_w + PW - kw + KW * SW) % SW == 0:
                            h_far, w_far = h + PH - kh, w + PW - kw
                            t_out, h_out, w_out = t_far // ST, h_far // SH, w_far // SW
                            ok = p_ok & (h_far >= 0) & (w_far >= 0)
                            ok = ok & (t_out < TO) & (h_out < HO) & (w_out < WO)
                            offset = ((t_out * HO + h_out) * WO + w_out) * C
                            mask = ok[:, None] & c_ok[None, :]
                            value = tl.load(sample + offset[:, None] + c[None, :], mask=mask, other=0.0)
                            tap = tl.load(taps + ((kt * KH + kh) * KW + kw) * C + c, mask=c_ok, other=0.0)
                            total += value.to(tl.float32) * tap[None, :]
    place = grad_x + plane.to(tl.int64) * (H * W * C) + ((h * W + w) * C)[:, None] + c[None, :]
    tl.store(place, total.to(grad_x.dtype.element_ty), mask=p_ok[:, None] & c_ok[None, :])


@triton.jit(do_not_specialize=[*_LENGTHS, "rows", "rows_each"])
def weight_gradient_kernel(
    x, grad, parts, sample_x, rows, rows_each, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_C: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """Parts of the gradient of the weights, (parts, taps, C), a program for ``rows_each`` rows of the output.

    A thread keeps its taps and channels to itself, so that nothing is added up between threads; the parts are
    added up afterwards, always in one order.
    """
    blocks_c: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    taps: tl.constexpr = KT * KH * KW
    program = tl.program_id(0)
    c = (program % blocks_c) * BLOCK_C + tl.arange(0, BLOCK_C)
    part = program // blocks_c
    tap = tl.arange(0, BLOCK_K)
    kt, kh, kw = tap // (KH * KW), (tap // KW) % KH, tap % KW
    c_ok, tap_ok = c < C, tap < taps
    total = tl.zeros((BLOCK_K, BLOCK_C), tl.float32)
    for row in range(part * rows_each, tl.minimum((part + 1) * rows_each, rows)):
        t = ((row // HO) % TO) * ST + kt - PT
        h = (row % HO) * SH + kh - PH
        row_ok = tap_ok & (t >= 0) & (t < T) & (h >= 0) & (h < H)
        sample = x + tl.cast(row // (HO * TO), tl.int64) * sample_x
        begin = sample + ((t * H + h) * W * C)[:, None] + c[None, :]
        grad_row = grad + tl.cast(row, tl.int64) * (WO * C) + c
        for w_first in range(0, WO, TOGETHER):
            for i in tl.static_range(TOGETHER):  # several reads under way at once
                w_out = w_first + i
                w = w_out * SW + kw - PW
                ok = row_ok & (w >= 0) & (w < W) & (w_out < WO)
                value = tl.load(begin + (w * C)[:, None], mask=ok[:, None] & c_ok[None, :], other=0.0)
                arriving = tl.load(grad_row + w_out * C, mask=c_ok & (w_out < WO), other=0.0)
                total += value.to(tl.float32) * arriving.to(tl.float32)[None, :]
    place = parts + (part * taps * C).to(tl.int64) + (tap * C)[:, None] + c[None, :]
    tl.store(place, total, mask=tap_ok[:, None] & c_ok[None, :])
