"""Depthwise 3D convolutions with channels last in memory: forward and both gradients by own kernels.

cuDNN computes them at a twentieth of a GPU's memory speed. The kernels (``depthwise_kernels``) need Triton
and a GPU of compute capability 8.0; everywhere else PyTorch computes the same.

Shape suffixes: B batch, C channels, T slices (z), H rows (y), W columns (x).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from chestct.models.depthwise_tiles import FORWARD, INPUT, ROWS, WEIGHT, Tile, choose
from chestct.models.kernel_gpus import runs_kernels

Triple = tuple[int, int, int]

_TYPES = (torch.float32, torch.bfloat16, torch.float16)

#: Programs that share the gradient of the weights, about: parts that it is added up from.
_PROGRAMS, _PROGRAM_CHANNELS = 1024, 64


def output_lengths(lengths: tuple[int, ...], kernel: Triple, stride: Triple, padding: Triple) -> Triple:
    """Lengths of the output along T, H and W."""

    def one(axis: int) -> int:
        return (lengths[axis] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1

    return one(0), one(1), one(2)


def _power_of_two(number: int) -> int:
    """The least power of two that is no smaller, and 4 at least."""
    return max(4, 1 << (number - 1).bit_length())


def _block_of_channels(channels: int, most: int) -> int:
    # 96 channels are three blocks of 32, without one that is half empty.
    block = min(most, _power_of_two(channels))
    return block // 2 if channels % block and channels % (block // 2) == 0 and block > 16 else block


def _warps(values: int) -> int:
    return max(1, min(8, values // 256))


def _dense(x_BTHWC: torch.Tensor) -> torch.Tensor:
    """The map such that every sample lies in one piece, wherever the next begins."""
    pieces = x_BTHWC[0].is_contiguous() and (len(x_BTHWC) == 1 or x_BTHWC.stride(0) >= x_BTHWC[0].numel())
    return x_BTHWC if pieces else x_BTHWC.contiguous()


def _taps(weight: torch.Tensor) -> torch.Tensor:
    """Weights (C, 1, KT, KH, KW) as (KT * KH * KW, C) in float32."""
    return weight.detach().flatten(1).t().to(torch.float32).contiguous()


def _forward(
    x_BTHWC: torch.Tensor, taps: torch.Tensor, kernel: Triple, stride: Triple, padding: Triple
) -> torch.Tensor:
    batch, *lengths, channels = x_BTHWC.shape
    assert math.prod(lengths) * channels < 2**31, "a sample has too many values"
    out = output_lengths(tuple(lengths), kernel, stride, padding)
    y_BTHWC = x_BTHWC.new_empty((batch, *out, channels))
    if not y_BTHWC.numel():
        return y_BTHWC
    name = ROWS if kernel[1] == 3 and stride[1] == 1 else FORWARD
    key = (name, tuple(lengths), channels, kernel, stride, x_BTHWC.element_size())

    def launch(tile: Tile) -> None:
        _launch_forward(name, tile, x_BTHWC, taps, y_BTHWC, kernel, stride, padding)

    launch(choose(key, launch, x_BTHWC))
    return y_BTHWC


def _launch_forward(
    name: str,
    tile: Tile,
    x_BTHWC: torch.Tensor,
    taps: torch.Tensor,
    y_BTHWC: torch.Tensor,
    kernel: Triple,
    stride: Triple,
    padding: Triple,
) -> None:
    """Write the output with programs of a tile."""
    from chestct.models.depthwise_kernels import forward_kernel, forward_rows_kernel

    batch, *lengths, channels = x_BTHWC.shape
    out = y_BTHWC.shape[1:4]
    values, most_channels, rows = tile
    block_c = _block_of_channels(channels, most_channels)
    blocks_c = -(-channels // block_c)
    common = (x_BTHWC, taps, y_BTHWC, x_BTHWC.stride(0), *lengths, *out, channels)
    if name == ROWS:
        block_w = min(_power_of_two(out[2]), values // block_c)
        grid = batch * out[0] * -(-out[1] // rows) * -(-out[2] // block_w) * blocks_c
        forward_rows_kernel[(grid,)](
            *common, kernel[0], kernel[2], stride[0], stride[2], *padding, rows, block_w, block_c,
            num_warps=_warps(block_w * block_c),
        )  # fmt: skip
    else:
        block_p = min(_power_of_two(out[1] * out[2]), values // block_c)
        grid = batch * out[0] * -(-out[1] * out[2] // block_p) * blocks_c
        forward_kernel[(grid,)](
            *common, *kernel, *stride, *padding, block_p, block_c, num_warps=_warps(block_p * block_c)
        )


def _input_gradient(
    grad_BTHWC: torch.Tensor,
    taps: torch.Tensor,
    lengths: Triple,
    kernel: Triple,
    stride: Triple,
    padding: Triple,
) -> torch.Tensor:
    if stride == (1, 1, 1) and all(p < k for p, k in zip(padding, kernel, strict=True)):
        # The convolution of the gradient with the taps in the opposite order.
        around = tuple(k - 1 - p for k, p in zip(kernel, padding, strict=True))
        return _forward(grad_BTHWC, taps.flip(0), kernel, stride, around)  # type: ignore[arg-type]
    batch, *_, channels = grad_BTHWC.shape
    grad_x = grad_BTHWC.new_empty((batch, *lengths, channels))
    key = (INPUT, tuple(lengths), channels, kernel, stride, grad_BTHWC.element_size())

    def launch(tile: Tile) -> None:
        _launch_input_gradient(tile, grad_BTHWC, taps, grad_x, kernel, stride, padding)

    launch(choose(key, launch, grad_x))
    return grad_x


def _launch_input_gradient(
    tile: Tile,
    grad_BTHWC: torch.Tensor,
    taps: torch.Tensor,
    grad_x: torch.Tensor,
    kernel: Triple,
    stride: Triple,
    padding: Triple,
) -> None:
    """Write the gradient of the input with programs of a tile."""
    from chestct.models.depthwise_kernels import input_gradient_kernel

    batch, *lengths, channels = grad_x.shape
    out = grad_BTHWC.shape[1:4]
    values, most_channels, _ = tile
    block_c = _block_of_channels(channels, most_channels)
    positions = -(-lengths[1] // stride[1]) * -(-lengths[2] // stride[2])
    block_p = min(_power_of_two(positions), values // block_c)
    tiles = stride[1] * stride[2] * -(-positions // block_p)
    grid = batch * lengths[0] * tiles * -(-channels // block_c)
    input_gradient_kernel[(grid,)](
        grad_BTHWC, taps, grad_x, *lengths, *out, channels, *kernel, *stride, *padding, block_p, block_c,
        num_warps=_warps(block_p * block_c),
    )  # fmt: skip


def _weight_gradient(
    x_BTHWC: torch.Tensor, grad_BTHWC: torch.Tensor, kernel: Triple, stride: Triple, padding: Triple
) -> torch.Tensor:
    """(KT * KH * KW, C), float32."""
    batch, *lengths, channels = x_BTHWC.shape
    # Into how many parts the sum is cut is not the tile's, so that a tile changes no rounding.
    blocks_c = -(-channels // _block_of_channels(channels, _PROGRAM_CHANNELS))
    rows = batch * math.prod(grad_BTHWC.shape[1:3])
    rows_each = -(-rows // max(1, _PROGRAMS // blocks_c))
    parts = x_BTHWC.new_empty((-(-rows // rows_each), math.prod(kernel), channels), dtype=torch.float32)
    key = (WEIGHT, tuple(lengths), channels, kernel, stride, x_BTHWC.element_size())

    def launch(tile: Tile) -> None:
        _launch_weight_gradient(tile, x_BTHWC, grad_BTHWC, parts, rows_each, kernel, stride, padding)

    launch(choose(key, launch, x_BTHWC))
    return parts.sum(0)


def _launch_weight_gradient(
    tile: Tile,
    x_BTHWC: torch.Tensor,
    grad_BTHWC: torch.Tensor,
    parts: torch.Tensor,
    rows_each: int,
    kernel: Triple,
    stride: Triple,
    padding: Triple,
) -> None:
    """Write the parts of the gradient of the weights, of so many rows of the output each."""
    from chestct.models.depthwise_kernels import weight_gradient_kernel

    batch, *lengths, channels = x_BTHWC.shape
    out = grad_BTHWC.shape[1:4]
    _, most_channels, together = tile
    block_c, block_k = _block_of_channels(channels, most_channels), _power_of_two(math.prod(kernel))
    grid = len(parts) * -(-channels // block_c)
    weight_gradient_kernel[(grid,)](
        x_BTHWC, grad_BTHWC, parts, x_BTHWC.stride(0), batch * out[0] * out[1], rows_each, *lengths, *out,
        channels, *kernel, *stride, *padding, block_k, block_c, together,
        num_warps=_warps(block_k * block_c),
    )  # fmt: skip


def convolve(x_BTHWC: torch.Tensor, weight: torch.Tensor, stride: Triple, padding: Triple) -> torch.Tensor:
    """The convolution by the kernels, without gradients: (B, T', H', W', C), of the input's type."""
    return _forward(_dense(x_BTHWC), _taps(weight), tuple(weight.shape[2:]), stride, padding)  # type: ignore[arg-type]


def gradients(
    grad_BTHWC: torch.Tensor,
    x_BTHWC: torch.Tensor,
    weight: torch.Tensor,
    stride: Triple,
    padding: Triple,
    needed: tuple[bool, bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients of the input and of the weight, where they are needed, by the kernels."""
    x_BTHWC, grad_BTHWC = _dense(x_BTHWC), grad_BTHWC.contiguous()
    geometry = tuple(weight.shape[2:]), stride, padding
    grad_x = grad_weight = None
    if needed[0]:
        grad_x = _input_gradient(grad_BTHWC, _taps(weight), x_BTHWC.shape[1:4], *geometry)  # type: ignore[arg-type]
    if needed[1]:
        found = _weight_gradient(x_BTHWC, grad_BTHWC, *geometry)  # type: ignore[arg-type]
        grad_weight = found.t().reshape(weight.shape).to(weight.dtype)
    return grad_x, grad_weight


class Depthwise(torch.autograd.Function):
    """Depthwise convolution by the kernels: ``apply(x_BTHWC, weight, stride, padding)``.

    The input is float32, bfloat16 or float16, the weight (C, 1, KT, KH, KW) of whatever type.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BTHWC: torch.Tensor, weight: torch.Tensor, stride: Triple, padding: Triple
    ) -> torch.Tensor:
        """(B, T', H', W', C), of the input's type."""
        x_BTHWC, ctx.geometry = _dense(x_BTHWC), (stride, padding)
        ctx.save_for_backward(x_BTHWC, weight)
        return convolve(x_BTHWC, weight, stride, padding)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # the kernels' results have no graph
    def backward(ctx: Any, grad_BTHWC: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the input and of the weight, where they are needed."""
        x_BTHWC, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        found = gradients(grad_BTHWC, x_BTHWC, weight, stride, padding, ctx.needs_input_grad[:2])
        return *found, None, None


def depthwise(
    x_BTHWC: torch.Tensor,
    weight: torch.Tensor,
    stride: Triple,
    padding: Triple,
    *,
    apply: Callable[..., torch.Tensor] = Depthwise.apply,
) -> torch.Tensor:
    """Depthwise convolution with zero padding of a map whose channels lie last.

    In autocast it computes in the type that convolutions have there.

    Args:
        x_BTHWC: map; samples in one piece each are read where they lie.
        weight: (C, 1, KT, KH, KW).
        stride: along T, H and W.
        padding: zeros along T, H and W, on either side.
        apply: what calls the kernels.

    Returns:
        (B, T', H', W', C).
    """
    device = x_BTHWC.device
    if torch.is_autocast_enabled(device.type):
        x_BTHWC = x_BTHWC.to(torch.get_autocast_dtype(device.type))
    if x_BTHWC.dtype in _TYPES and runs_kernels(device):
        return apply(x_BTHWC, weight, stride, padding)
    x_BCTHW = x_BTHWC.permute(0, 4, 1, 2, 3)
    if device.type == "cuda":  # cuDNN is three times slower where channels lie last
        x_BCTHW = x_BCTHW.contiguous()
    y_BCTHW = F.conv3d(x_BCTHW, weight, None, stride, padding, groups=len(weight))
    return y_BCTHW.permute(0, 2, 3, 4, 1).contiguous()
