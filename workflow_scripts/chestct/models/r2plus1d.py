"""R(2+1)D (Tran et al., CVPR 2018), by pytorchvideo's constructor."""

from typing import Any

from pytorchvideo.models.r2plus1d import create_r2plus1d
from torch import nn

from chestct.models.published_key_names import ZOO
from chestct.models.stages import shorten_stages

PUBLISHED = {"r2plus1d_r50_kinetics400": ZOO}

_R50: dict[str, Any] = {
    "model_depth": 50,
    "dropout_rate": 0.5,
    "head_pool": nn.AdaptiveAvgPool3d,
    "head_activation": None,  # the default is a softmax
}


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """R(2+1)D-R50 as published (16 frames), without its softmax, with a pool that fits any window.

    See ``chestct.models.build_model``.
    """
    return create_r2plus1d(model_num_class=num_classes, **_R50)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """R(2+1)D-R50 in narrow form: 8 instead of 64 stem channels, two bottlenecks a stage.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    model = create_r2plus1d(model_num_class=num_classes, stem_dim_out=8, **_R50)
    shorten_stages(model)
    return model
