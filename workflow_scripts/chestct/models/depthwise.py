"""Depthwise 3D convolutions with channels last in memory: forward and both gradients by own kernels.

cuDNN computes them at a twentieth of a GPU's memory speed. The kernels (``depthwise_kernels``) need Triton
and a GPU of compute capability 8.0; everywhere else PyTorch computes the same.

Shape suffixes: B batch, C channels, T slices (z), H rows (y), W columns (x).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from chestct.models.kernel_gpus import runs_kernels

Triple = tuple[int, int, int]

_TYPES = (torch.float32, torch.bfloat16, torch.float16)

#: Of a program: channels, patches, and planes one after another, the first of these with which there are
#: programs enough to fill a GPU.
_CHANNELS, _PATCHES, _PLANES, _PROGRAMS = 64, 4, (32, 16, 8), 1024
#: Channels of a thread: in bfloat16 the four bytes that are the least a GPU reads at once.
_CHANNELS_EACH = 2
#: Columns of a patch, at most, and of one whose values lie a stride apart: with more, a thread's sums take so
#: many registers that few warps run at once.
_COLUMNS, _COLUMNS_APART = 8, 4
#: Registers of a thread, at most: 12 warps share those of a processor, from Ampere on.
_REGISTERS = 168


def output_lengths(lengths: tuple[int, ...], kernel: Triple, stride: Triple, padding: Triple) -> Triple:
    """Lengths of the output along T, H and W."""

    def one(axis: int) -> int:
        return (lengths[axis] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1

    return one(0), one(1), one(2)


def _power_of_two(number: int) -> int:
    """The least power of two that is no smaller, and 4 at least."""
    return max(4, 1 << (number - 1).bit_length())


def _block_of_channels(channels: int) -> int:
    # 96 channels are three blocks of 32, without one that is half empty.
    block = min(_CHANNELS, _power_of_two(channels))
    return block // 2 if channels % block and channels % (block // 2) == 0 and block > 16 else block


def _columns(length: int, most: int, stride: int = 1) -> int:
    """Columns of a patch, whole strides, with which values of rows this long are read twice the least."""
    columns = range(max(most // stride, 1) * stride, 0, -stride)
    return min(columns, key=lambda columns: -(-length // columns) * (columns + 2))


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """How a map is shared among programs.

    Attributes:
        items: programs for one block of channels.
        blocks: of channels.
        sizes: PLANES, ROWS, COLUMNS, BLOCK_P and BLOCK_C of the kernels.
    """

    items: int
    blocks: int
    sizes: tuple[int, int, int, int, int]

    @classmethod
    def of(cls, batch: int, lengths: Sequence[int], channels: int, rows: int, columns: int) -> "_Grid":
        """The grid of a map (batch, *lengths, channels) whose patches have so many rows and columns."""
        block = _block_of_channels(channels)
        blocks = -(-channels // block)
        in_plane = -(-lengths[1] // rows) * -(-lengths[2] // columns)
        at_once = batch * blocks * -(-in_plane // _PATCHES)
        enough = (planes for planes in _PLANES if at_once * -(-lengths[0] // planes) >= _PROGRAMS)
        planes = next(enough, _PLANES[-1])
        items = at_once // blocks * -(-lengths[0] // planes)
        return cls(items=items, blocks=blocks, sizes=(planes, rows, columns, _PATCHES, block))

    @classmethod
    def of_output(cls, batch: int, lengths: Sequence[int], channels: int, stride: Triple) -> "_Grid":
        """The grid of an output, whose windows lie a stride apart."""
        columns = _columns(lengths[2], _COLUMNS if stride[2] == 1 else _COLUMNS_APART)
        return cls.of(batch, lengths, channels, 1, columns)

    @property
    def options(self) -> dict[str, int]:
        """Of a launch."""
        values = self.sizes[3] * self.sizes[4]
        return {"num_warps": max(1, values // (32 * _CHANNELS_EACH)), "maxnreg": _REGISTERS}


def _dense(x_BTHWC: torch.Tensor) -> torch.Tensor:
    """The map such that every sample lies in one piece, wherever the next begins."""
    if not len(x_BTHWC):
        return x_BTHWC
    pieces = x_BTHWC[0].is_contiguous() and (len(x_BTHWC) == 1 or x_BTHWC.stride(0) >= x_BTHWC[0].numel())
    return x_BTHWC if pieces else x_BTHWC.contiguous()


def _taps(weight: torch.Tensor) -> torch.Tensor:
    """Weights (C, 1, KT, KH, KW) as (KT * KH * KW, C) in float32."""
    return weight.detach().flatten(1).t().to(torch.float32).contiguous()


def _forward(
    x_BTHWC: torch.Tensor, taps: torch.Tensor, kernel: Triple, stride: Triple, padding: Triple
) -> torch.Tensor:
    from chestct.models.depthwise_kernels import forward_kernel

    batch, *lengths, channels = x_BTHWC.shape
    assert math.prod(lengths) * channels < 2**31, "a sample has too many values"
    out = output_lengths(tuple(lengths), kernel, stride, padding)
    y_BTHWC = x_BTHWC.new_empty((batch, *out, channels))
    if not y_BTHWC.numel():
        return y_BTHWC
    grid = _Grid.of_output(batch, out, channels, stride)
    forward_kernel[(grid.items * grid.blocks,)](
        x_BTHWC, taps, y_BTHWC, x_BTHWC.stride(0), *lengths, *out, channels, *kernel, *stride, *padding,
        *grid.sizes, **grid.options,
    )  # fmt: skip
    return y_BTHWC


def _input_gradient(
    grad_BTHWC: torch.Tensor,
    taps: torch.Tensor,
    lengths: Triple,
    kernel: Triple,
    stride: Triple,
    padding: Triple,
) -> torch.Tensor:
    from chestct.models.depthwise_kernels import input_gradient_kernel

    if stride == (1, 1, 1) and all(p < k for p, k in zip(padding, kernel, strict=True)):
        # The convolution of the gradient with the taps in the opposite order.
        around = tuple(k - 1 - p for k, p in zip(kernel, padding, strict=True))
        return _forward(grad_BTHWC, taps.flip(0), kernel, stride, around)  # type: ignore[arg-type]
    batch, *out, channels = grad_BTHWC.shape
    grad_x = grad_BTHWC.new_empty((batch, *lengths, channels))
    columns = _columns(lengths[2], max(_COLUMNS, stride[2]), stride[2])
    grid = _Grid.of(batch, lengths, channels, stride[1], columns)
    input_gradient_kernel[(grid.items * grid.blocks,)](
        grad_BTHWC, taps, grad_x, *lengths, *out, channels, *kernel, *stride, *padding,
        *grid.sizes, **grid.options,
    )  # fmt: skip
    return grad_x


def _weight_gradient(
    x_BTHWC: torch.Tensor, grad_BTHWC: torch.Tensor, kernel: Triple, stride: Triple, padding: Triple
) -> torch.Tensor:
    """(KT * KH * KW, C), float32."""
    from chestct.models.depthwise_kernels import weight_gradient_kernel

    batch, *lengths, channels = x_BTHWC.shape
    out = grad_BTHWC.shape[1:4]
    grid = _Grid.of_output(batch, out, channels, stride)
    items_each = -(-grid.items * grid.blocks // (2 * _PROGRAMS))
    num_parts = -(-grid.items // items_each)
    parts = x_BTHWC.new_empty((num_parts, math.prod(kernel), channels), dtype=torch.float32)
    weight_gradient_kernel[(num_parts * grid.blocks,)](
        x_BTHWC, grad_BTHWC, parts, x_BTHWC.stride(0), grid.items, items_each, *lengths, *out, channels,
        *kernel, *stride, *padding, *grid.sizes, **grid.options,
    )  # fmt: skip
    return parts.sum(0)


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
    if not grad_BTHWC.numel():
        grad_x, grad_weight = x_BTHWC.new_zeros(x_BTHWC.shape), weight.new_zeros(weight.shape)
        return (grad_x if needed[0] else None), (grad_weight if needed[1] else None)
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
