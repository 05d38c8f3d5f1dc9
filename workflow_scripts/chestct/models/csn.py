"""CSN, channel-separated convolutions (Tran et al., ICCV 2019), by pytorchvideo's constructor."""

from typing import Any

from pytorchvideo.models.csn import create_csn
from torch import nn

from chestct.models.published_key_names import ZOO
from chestct.models.stages import shorten_stages

PUBLISHED = {"csn_r101_kinetics400": ZOO}

_POOLS: dict[str, Any] = {"stem_pool": nn.MaxPool3d, "head_pool": nn.AdaptiveAvgPool3d}


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """CSN-R101 as published (32 frames), with a pool that fits windows of any size.

    See ``chestct.models.build_model``.
    """
    return create_csn(model_depth=101, model_num_class=num_classes, **_POOLS)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """CSN in narrow form: 8 instead of 64 stem channels, two depthwise bottlenecks a stage.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    # Depth 50 is the constructor's shallowest; CSN-R101 differs from it only in the blocks of a stage.
    model = create_csn(model_depth=50, model_num_class=num_classes, stem_dim_out=8, **_POOLS)
    shorten_stages(model)
    return model
