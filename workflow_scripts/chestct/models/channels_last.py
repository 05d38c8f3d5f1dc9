"""Networks whose channels lie last in memory from end to end: those with depthwise 3D convolutions.

Depthwise convolutions run by own kernels, which want that layout, and 1x1x1 ones as matrix products, which
want it too: nothing is laid out anew between them. Parameters, their names and the outputs stay.

Shape suffixes: B batch, C channels, T slices (z), H rows (y), W columns (x).
"""

from typing import TypeGuard

import torch
from torch import nn
from torch.nn import functional as F

from chestct.models.depthwise import Depthwise, depthwise
from chestct.models.kernel_gpus import find_gpus


class DepthwiseConv3d(nn.Conv3d):
    """``nn.Conv3d`` with as many groups as channels, whose channels lie last in memory.

    Parameters and their names are those of ``nn.Conv3d``.
    """

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T', H', W') with channels last in memory."""
        # A compiler takes the kernels as they are (``depthwise_ops``, which ``put_depthwise`` imports).
        apply = torch.ops.chestct.depthwise if torch.compiler.is_compiling() else Depthwise.apply
        x_BTHWC = x_BCTHW.permute(0, 2, 3, 4, 1)
        y_BTHWC = depthwise(x_BTHWC, self.weight, self.stride, self.padding, apply=apply)  # type: ignore[arg-type]
        if self.bias is not None:
            y_BTHWC = y_BTHWC + self.bias.to(y_BTHWC.dtype)
        return y_BTHWC.permute(0, 4, 1, 2, 3)


class PointwiseConv3d(nn.Conv3d):
    """``nn.Conv3d`` of windows of one position as a matrix product of rows of channels.

    Parameters and their names are those of ``nn.Conv3d``.
    """

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C', T', H', W') with channels last in memory."""
        if self.stride != (1, 1, 1):
            x_BCTHW = x_BCTHW[:, :, :: self.stride[0], :: self.stride[1], :: self.stride[2]]
        y_BTHWC = F.linear(x_BCTHW.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
        return y_BTHWC.permute(0, 4, 1, 2, 3)


def _plainly_padded(module: nn.Module) -> TypeGuard[nn.Conv3d]:
    """Whether a module is a 3D convolution as PyTorch has it, padded by zeros."""
    return (
        type(module) is nn.Conv3d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    )


def _is_depthwise(module: nn.Conv3d) -> bool:
    dilated = any(d > 1 and k > 1 for d, k in zip(module.dilation, module.kernel_size, strict=True))
    return module.in_channels == module.out_channels == module.groups > 1 and not dilated


def _turn_into(kind: type[nn.Conv3d], module: nn.Conv3d) -> None:
    module.__class__ = kind
    # pytorchvideo gives some as NumPy's integers, with which no compiler gets on.
    module.stride = tuple(map(int, module.stride))  # type: ignore[assignment]


def put_depthwise(model: nn.Module, mixed: bool) -> int:
    """Put the kernels into models whose grouped 3D convolutions are all depthwise: CSN, X3D, MViT's pooling.

    Others keep their layout, which their other grouped convolutions need; and so do all models where a GPU of
    this machine cannot run the kernels.

    Returns:
        How many convolutions there are.
    """
    grouped = [module for module in model.modules() if isinstance(module, nn.Conv3d) and module.groups > 1]
    if not find_gpus() or not all(_plainly_padded(module) and _is_depthwise(module) for module in grouped):
        return 0
    if grouped:
        import chestct.models.depthwise_ops  # noqa: F401 (not for those who have no use for it)
    for module in grouped:
        _turn_into(DepthwiseConv3d, module)
    return len(grouped)


def put_pointwise(model: nn.Module, mixed: bool) -> int:
    """Make 1x1x1 convolutions matrix products in models that ``put_depthwise`` has changed.

    With both, channels lie last from a model's first convolution to its end, and nothing is laid out anew.

    Returns:
        How many convolutions there are.
    """
    if not any(isinstance(module, DepthwiseConv3d) for module in model.modules()):
        return 0
    found = [
        module
        for module in model.modules()
        if _plainly_padded(module)
        and (module.kernel_size, module.padding, module.groups) == ((1, 1, 1), (0, 0, 0), 1)
    ]
    for module in found:
        _turn_into(PointwiseConv3d, module)
    return len(found)
