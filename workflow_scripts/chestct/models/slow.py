"""Slow: SlowFast's slow pathway alone (Feichtenhofer et al., ICCV 2019), by pytorchvideo's constructor."""

from typing import Any

from pytorchvideo.models.resnet import create_resnet
from torch import nn

from chestct.models.published_key_names import ZOO
from chestct.models.stages import shorten_stages

PUBLISHED = {"slow_r50_kinetics400": ZOO}

_SLOW_R50: dict[str, Any] = {
    "model_depth": 50,
    "stem_conv_kernel_size": (1, 7, 7),
    "head_pool": nn.AdaptiveAvgPool3d,
}


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """Slow-R50 as published (8 frames at a step of 8), with a pool that fits windows of any size.

    See ``chestct.models.build_model``.
    """
    return create_resnet(model_num_class=num_classes, **_SLOW_R50)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """Slow-R50 in narrow form: 8 instead of 64 stem channels, two bottlenecks a stage.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    model = create_resnet(model_num_class=num_classes, stem_dim_out=8, **_SLOW_R50)
    shorten_stages(model)
    return model
