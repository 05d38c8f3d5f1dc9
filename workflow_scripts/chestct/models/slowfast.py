"""SlowFast (Feichtenhofer et al., ICCV 2019), by pytorchvideo's constructor."""

from typing import Any

import torch
from pytorchvideo.models.slowfast import create_slowfast
from torch import nn

from chestct.models.published_key_names import ZOO
from chestct.models.stages import shorten_stages

PUBLISHED = {"slowfast_r50_kinetics400": ZOO}

#: The fast pathway sees this many times the slices of the slow one, as in the published R50.
ALPHA = 4
_R50: dict[str, Any] = {
    "model_depth": 50,
    "slowfast_fusion_conv_kernel_size": (7, 1, 1),
    "slowfast_fusion_conv_stride": (ALPHA, 1, 1),
    "head_pool": nn.AdaptiveAvgPool3d,
    "head_output_size": (1, 1),  # a size for each pathway
}


class SlowFast(nn.Module):
    """SlowFast that takes a single clip and makes the two pathways' inputs itself.

    The slow pathway sees every fourth slice from the first on: evenly spaced, and those that the lateral
    convolutions (stride 4) of the fast pathway are centred on. The usual packing code instead rounds
    positions spread from the first to the last slice (of 32: 0, 4, 8, 13, 17, 22, 26, 31), which on CT
    would be a spacing that changes within the window.
    """

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        # Under this name parameters are called as in the published checkpoints.
        self.blocks = blocks

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        pathways = [x_BCTHW[:, :, ::ALPHA], x_BCTHW]
        for block in self.blocks[:-1]:  # the last but one pools and joins the pathways
            pathways = block(pathways)
        return self.blocks[-1](pathways)


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """SlowFast-R50 as published (8x8: 32 frames, 8 of them slow), with pools that fit windows of any size.

    See ``chestct.models.build_model``.
    """
    model = create_slowfast(model_num_class=num_classes, **_R50)
    return SlowFast(model.blocks)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """SlowFast-R50 in narrow form: 8 and 1 instead of 64 and 8 stem channels, two bottlenecks a stage.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    model = create_slowfast(model_num_class=num_classes, stem_dim_outs=(8, 1), **_R50)
    shorten_stages(model)
    return SlowFast(model.blocks)
