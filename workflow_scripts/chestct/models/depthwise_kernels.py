"""Triton kernels of depthwise 3D convolutions on maps whose channels lie last in memory.

A map is (B, T, H, W, C). A thread computes a patch of ROWS x COLUMNS positions of two channels, one plane
after another, and keeps in registers what it needs for that: taps, and sums of all the planes that a plane
adds to. So it reads each value once for all products that it is in, and most of what it does are products.

Every kernel adds up in float32, in an order that no size of a patch changes, takes any stride, padding and
number of channels, and masks the channels that its last block has too many. The number of channels is known
when a kernel is compiled, so that rows of 54 bfloat16, whose places no 16 bytes divide, are read in pairs.

``taps`` are the weights as (KT * KH * KW, C) in float32. T, H, W are lengths of the input, TO, HO, WO of the
output; K lengths of the window of weights, S strides, P paddings, of the three axes each. A sample must have
fewer than 2**31 values; where samples begin may be any number of values apart.

Loops over ``static_range`` are unrolled: what their variables decide is decided as a kernel is compiled.
"""

# ruff: noqa: RUF005 (Triton does not compile tuples with a star)
# mypy: disable-error-code=assignment

import triton
import triton.language as tl

#: Lengths, of which a kernel must not be compiled anew for every kind; PLANES depends on the batch.
_LENGTHS = ["T", "H", "W", "TO", "HO", "WO", "PLANES"]


@triton.jit
def _zeros(NUMBER: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    """A tuple of zeros, (BLOCK_P, BLOCK_C) each."""
    found = ()
    for _ in tl.static_range(NUMBER):
        found = found + (tl.zeros((BLOCK_P, BLOCK_C), tl.float32),)
    return found


@triton.jit
def _add_product(sums, held, value, OF_TAPS: tl.constexpr, OUTPUT: tl.constexpr, TAP: tl.constexpr):
    """The sums, with the value times a tap at a place of the output, or times a gradient at a tap."""
    AT: tl.constexpr = TAP if OF_TAPS else OUTPUT
    OTHER: tl.constexpr = OUTPUT if OF_TAPS else TAP
    return sums[:AT] + (sums[AT] + value * held[OTHER],) + sums[AT + 1 :]


@triton.jit
def _load_taps(taps, c, c_ok, C: tl.constexpr, NUMBER: tl.constexpr):
    """A tuple of all taps of some channels, (1, BLOCK_C) each."""
    found = ()
    for k in tl.static_range(NUMBER):
        found = found + (tl.load(taps + k * C + c, mask=c_ok, other=0.0)[None, :],)
    return found


@triton.jit
def _begin(
    program, length_t, length_h, length_w,
    C: tl.constexpr, PLANES, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """What a program computes of a map: channels, sample, first plane, rows and columns of its patches.

    A patch beyond the last has the row ``length_h``.
    """
    BLOCKS_C: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    c = (program % BLOCKS_C) * BLOCK_C + tl.arange(0, BLOCK_C)
    across = tl.cdiv(length_w, COLUMNS)
    patches = tl.cdiv(length_h, ROWS) * across
    tiles, chunks = tl.cdiv(patches, BLOCK_P), tl.cdiv(length_t, PLANES)
    rest = program // BLOCKS_C
    patch = (rest % tiles) * BLOCK_P + tl.arange(0, BLOCK_P)
    first = ((rest // tiles) % chunks) * PLANES
    row = tl.where(patch < patches, (patch // across) * ROWS, length_h)
    return c, rest // (tiles * chunks), first, row, (patch % across) * COLUMNS


@triton.jit
def _add_products(
    sums, held, OF_TAPS: tl.constexpr, sample, step, p_ok, c_ok, h_in, w_in, T, H, W,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PT: tl.constexpr,
    SETS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The sums, with all products of the values that a step reads: of the output, or OF_TAPS.

    Sums of the output (by set, row and column) take products with taps, which are then ``held``; sums of
    taps take those with gradients of the output. Each value is read once, from (``h_in``, ``w_in``) on.
    """
    for s in tl.static_range(ST if ST < KT else KT):
        t = step * ST - PT + s
        t_ok = p_ok & (t >= 0) & (t < T)
        for r in tl.static_range((ROWS - 1) * SH + KH):
            row = sample + t * (H * W * C) + r * W * C
            row_ok = t_ok & (h_in + r >= 0) & (h_in + r < H)
            for q in tl.static_range((COLUMNS - 1) * SW + KW):
                ok = row_ok & (w_in + q >= 0) & (w_in + q < W)
                value = tl.load(row + q * C, mask=ok[:, None] & c_ok, other=0.0).to(tl.float32)
                sums = _add_products_of(
                    sums, held, OF_TAPS, value, s, r, q, KT, KH, KW, ST, SH, SW, SETS, ROWS, COLUMNS
                )
    return sums


@triton.jit
def _add_products_of(
    sums, held, OF_TAPS: tl.constexpr, value, s: tl.constexpr, r: tl.constexpr, q: tl.constexpr,
    KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    SETS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The sums, with all products of the value at plane s, row r and column q of a step."""
    for i in tl.static_range(ROWS):
        if (r - i * SH >= 0) and (r - i * SH < KH):
            for j in tl.static_range(COLUMNS):
                if (q - j * SW >= 0) and (q - j * SW < KW):
                    for d in tl.static_range(SETS):
                        if s + d * ST < KT:
                            sums = _add_product(
                                sums, held, value, OF_TAPS,
                                (d * ROWS + i) * COLUMNS + j,
                                ((s + d * ST) * KH + r - i * SH) * KW + q - j * SW,
                            )  # fmt: skip
    return sums


@triton.jit(do_not_specialize=_LENGTHS)
def forward_kernel(
    x, taps, y, sample_x, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    PLANES, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """The output, a program for BLOCK_P patches of it, BLOCK_C channels and PLANES planes.

    At each step ST planes of the input are read. They add to the plane of the output with the step's number
    and to those before it, SETS in all, of which the earliest is then complete.
    """
    SIZE: tl.constexpr = ROWS * COLUMNS
    SETS: tl.constexpr = (KT + ST - 1) // ST
    c, n, first, h_out, w_out = _begin(
        tl.program_id(0), TO, HO, WO, C, PLANES, ROWS, COLUMNS, BLOCK_P, BLOCK_C
    )
    last = tl.minimum(first + PLANES, TO)
    c_ok, p_ok = (c < C)[None, :], h_out < HO
    h_in, w_in = h_out * SH - PH, w_out * SW - PW
    sample = x + n.to(tl.int64) * sample_x + ((h_in * W + w_in) * C)[:, None] + c[None, :]
    place = y + n.to(tl.int64) * TO * HO * WO * C + ((h_out * WO + w_out) * C)[:, None] + c[None, :]
    held = _load_taps(taps, c, c < C, C, KT * KH * KW)
    sums = _zeros(SETS * SIZE, BLOCK_P, BLOCK_C)
    for step in range(first, last + SETS - 1):
        sums = _add_products(
            sums, held, False, sample, step, p_ok, c_ok, h_in, w_in, T, H, W,
            C, KT, KH, KW, ST, SH, SW, PT, SETS, ROWS, COLUMNS,
        )  # fmt: skip
        t_out = step - (SETS - 1)
        for i in tl.static_range(ROWS):
            for j in tl.static_range(COLUMNS):
                ok = p_ok & (t_out >= first) & (h_out + i < HO) & (w_out + j < WO)
                done = sums[(SETS - 1) * SIZE + i * COLUMNS + j].to(y.dtype.element_ty)
                tl.store(place + t_out * (HO * WO * C) + (i * WO + j) * C, done, mask=ok[:, None] & c_ok)
        sums = _zeros(SIZE, BLOCK_P, BLOCK_C) + sums[: (SETS - 1) * SIZE]


@triton.jit(do_not_specialize=_LENGTHS)
def input_gradient_kernel(
    grad, taps, grad_x, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    PLANES, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """The gradient of the input, a program for BLOCK_P patches of it, BLOCK_C channels and PLANES planes.

    ROWS is a multiple of SH and COLUMNS of SW, so that each position meets the same taps in all patches. At
    each step a plane of the output is read. It adds to KT planes of the input, of which the ST earliest are
    then complete.
    """
    SIZE: tl.constexpr = ROWS * COLUMNS
    SETS: tl.constexpr = KT if KT > ST else ST
    # Rows and columns of the output that meet a patch, before those at its own place.
    ABOVE: tl.constexpr = (KH - 1 - PH) // SH
    BEFORE: tl.constexpr = (KW - 1 - PW) // SW
    c, n, first, h, w = _begin(tl.program_id(0), T, H, W, C, PLANES, ROWS, COLUMNS, BLOCK_P, BLOCK_C)
    last = tl.minimum(first + PLANES, T)
    c_ok, p_ok = (c < C)[None, :], h < H
    h_out, w_out = h // SH - ABOVE, w // SW - BEFORE
    sample = grad + n.to(tl.int64) * TO * HO * WO * C + ((h_out * WO + w_out) * C)[:, None] + c[None, :]
    place = grad_x + n.to(tl.int64) * T * H * W * C + ((h * W + w) * C)[:, None] + c[None, :]
    held = _load_taps(taps, c, c < C, C, KT * KH * KW)
    sums = _zeros(SETS * SIZE, BLOCK_P, BLOCK_C)
    # Planes that no window meets, where windows are shorter than strides, are written too. A multiple of the
    # stride is added, so that no negative number is divided.
    begin = (first + PT - (SETS - 1) + ST * SETS + ST - 1) // ST - SETS
    for t_out in range(begin, (last - 1 + PT) // ST + 1):
        t_ok = p_ok & (t_out >= 0) & (t_out < TO)
        for a in tl.static_range((ROWS - 1 + PH) // SH + ABOVE + 1):
            row = sample + t_out * (HO * WO * C) + a * WO * C
            row_ok = t_ok & (h_out + a >= 0) & (h_out + a < HO)
            for b in tl.static_range((COLUMNS - 1 + PW) // SW + BEFORE + 1):
                ok = row_ok & (w_out + b >= 0) & (w_out + b < WO)
                value = tl.load(row + b * C, mask=ok[:, None] & c_ok, other=0.0).to(tl.float32)
                sums = _add_input_gradients(
                    sums, value, held, PH - (a - ABOVE) * SH, PW - (b - BEFORE) * SW,
                    KT, KH, KW, ROWS, COLUMNS,
                )  # fmt: skip
        for s in tl.static_range(ST):
            t = t_out * ST - PT + s
            for i in tl.static_range(ROWS):
                for j in tl.static_range(COLUMNS):
                    ok = p_ok & (t >= first) & (t < last) & (h + i < H) & (w + j < W)
                    done = sums[s * SIZE + i * COLUMNS + j].to(grad_x.dtype.element_ty)
                    tl.store(place + t * (H * W * C) + (i * W + j) * C, done, mask=ok[:, None] & c_ok)
        sums = sums[ST * SIZE :] + _zeros(ST * SIZE, BLOCK_P, BLOCK_C)


@triton.jit
def _add_input_gradients(
    sums, value, held, kh: tl.constexpr, kw: tl.constexpr,
    KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The sums, with all products of a gradient that meets the patch's first position at tap (kh, kw)."""
    for i in tl.static_range(ROWS):
        if (i + kh >= 0) and (i + kh < KH):
            for j in tl.static_range(COLUMNS):
                if (j + kw >= 0) and (j + kw < KW):
                    for d in tl.static_range(KT):
                        sums = _add_product(
                            sums, held, value, False,
                            (d * ROWS + i) * COLUMNS + j,
                            (d * KH + i + kh) * KW + j + kw,
                        )  # fmt: skip
    return sums


@triton.jit(do_not_specialize=[*_LENGTHS, "items", "items_each"])
def weight_gradient_kernel(
    x, grad, parts, sample_x, items, items_each, T, H, W, TO, HO, WO,
    C: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PT: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    PLANES, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Parts of the gradient of the weights, (parts, taps, C), a program for ``items_each`` items.

    An item is what a program of ``forward_kernel`` computes. A thread keeps sums of all taps, and the
    gradients of the output in the planes that a plane of the input meets. Parts are added up afterwards.
    """
    BLOCKS_C: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    TAPS: tl.constexpr = KT * KH * KW
    SIZE: tl.constexpr = ROWS * COLUMNS
    SETS: tl.constexpr = (KT + ST - 1) // ST
    program = tl.program_id(0)
    part = program // BLOCKS_C
    sums = _zeros(TAPS, BLOCK_P, BLOCK_C)
    for item in range(part * items_each, tl.minimum((part + 1) * items_each, items)):
        c, n, first, h_out, w_out = _begin(
            item * BLOCKS_C + program % BLOCKS_C, TO, HO, WO, C, PLANES, ROWS, COLUMNS, BLOCK_P, BLOCK_C
        )
        last = tl.minimum(first + PLANES, TO)
        c_ok, p_ok = (c < C)[None, :], h_out < HO
        h_in, w_in = h_out * SH - PH, w_out * SW - PW
        sample = x + tl.cast(n, tl.int64) * sample_x + ((h_in * W + w_in) * C)[:, None] + c[None, :]
        arriving = grad + tl.cast(n, tl.int64) * TO * HO * WO * C
        arriving = arriving + ((h_out * WO + w_out) * C)[:, None] + c[None, :]
        held = _zeros(SETS * SIZE, BLOCK_P, BLOCK_C)  # of the step's plane of the output, and those before it
        for step in range(first, last + SETS - 1):
            fresh = ()
            for i in tl.static_range(ROWS):
                for j in tl.static_range(COLUMNS):
                    ok = p_ok & (step < last) & (h_out + i < HO) & (w_out + j < WO)
                    place = arriving + step * (HO * WO * C) + (i * WO + j) * C
                    fresh = fresh + (tl.load(place, mask=ok[:, None] & c_ok, other=0.0).to(tl.float32),)
            held = fresh + held[: (SETS - 1) * SIZE]
            sums = _add_products(
                sums, held, True, sample, step, p_ok, c_ok, h_in, w_in, T, H, W,
                C, KT, KH, KW, ST, SH, SW, PT, SETS, ROWS, COLUMNS,
            )  # fmt: skip
    c = (program % BLOCKS_C) * BLOCK_C + tl.arange(0, BLOCK_C)
    place = parts + (part * TAPS * C).to(tl.int64) + c
    for k in tl.static_range(TAPS):
        tl.store(place + k * C, tl.sum(sums[k], axis=0), mask=c < C)
