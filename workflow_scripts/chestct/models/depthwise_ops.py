"""The depthwise kernels as operations that a compiler takes as they are.

Traced through, they would be compiled with the sizes of programs that nobody has timed yet; and every network
that is compiled would depend on what a compiler makes of them. Shape suffixes as in ``depthwise``.
"""

from typing import Any

import torch

from chestct.models import depthwise as kernels


def _triple(values: list[int]) -> kernels.Triple:
    one, two, three = values
    return one, two, three


@torch.library.custom_op("chestct::depthwise", mutates_args=())
def depthwise_op(
    x_BTHWC: torch.Tensor, weight: torch.Tensor, stride: list[int], padding: list[int]
) -> torch.Tensor:
    """Depthwise convolution by the kernels, as ``depthwise.Depthwise`` computes it: (B, T', H', W', C)."""
    return kernels.convolve(x_BTHWC, weight, _triple(stride), _triple(padding))


@depthwise_op.register_fake
def _(x_BTHWC: torch.Tensor, weight: torch.Tensor, stride: list[int], padding: list[int]) -> torch.Tensor:
    batch, *lengths, channels = x_BTHWC.shape
    kernel = _triple(list(weight.shape[2:]))
    out = kernels.output_lengths(tuple(lengths), kernel, _triple(stride), _triple(padding))
    return x_BTHWC.new_empty((batch, *out, channels))


@torch.library.custom_op("chestct::depthwise_backward", mutates_args=())
def depthwise_backward_op(
    grad_BTHWC: torch.Tensor,
    x_BTHWC: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    padding: list[int],
    of_input: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the input (empty where it is not needed) and of the weight."""
    grad_x, grad_weight = kernels.gradients(
        grad_BTHWC, x_BTHWC, weight, _triple(stride), _triple(padding), (of_input, True)
    )
    assert grad_weight is not None
    return (x_BTHWC.new_empty(0) if grad_x is None else grad_x), grad_weight.contiguous()


@depthwise_backward_op.register_fake
def _(
    grad_BTHWC: torch.Tensor,
    x_BTHWC: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    padding: list[int],
    of_input: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    grad_x = x_BTHWC.new_empty(x_BTHWC.shape if of_input else (0,))
    return grad_x, weight.new_empty(weight.shape)


def _note(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x_BTHWC, weight, ctx.stride, ctx.padding = inputs
    ctx.save_for_backward(x_BTHWC, weight)


def _backward(ctx: Any, grad_BTHWC: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    of_input = ctx.needs_input_grad[0]
    grad_x, grad_weight = depthwise_backward_op(
        grad_BTHWC, *ctx.saved_tensors, ctx.stride, ctx.padding, of_input
    )
    return (grad_x if of_input else None), grad_weight, None, None


depthwise_op.register_autograd(_backward, setup_context=_note)
