"""X3D (Feichtenhofer, CVPR 2020), by pytorchvideo's constructor."""

from typing import Any

from pytorchvideo.models.x3d import create_x3d
from torch import nn

from chestct.models.published_key_names import ZOO

PUBLISHED = {"x3d_m_kinetics400": ZOO}


def _create(num_slices: int, size_px: int, num_classes: int, **options: Any) -> nn.Module:
    model = create_x3d(
        input_clip_length=num_slices,
        input_crop_size=size_px,
        model_num_class=num_classes,
        head_activation=None,  # the default is a softmax
        **options,
    )
    # The constructor's pool is sized for one window; it holds no parameters.
    head: Any = model.blocks[-1]
    head.pool.pool = nn.AdaptiveAvgPool3d(1)
    return model


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """X3D-M as published (16 frames of 224 x 224), without its softmax, for windows of any size.

    See ``chestct.models.build_model``.
    """
    return _create(num_slices, size_px, num_classes)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """X3D in narrow form: 8 instead of 12 stem channels, no expansion, half the depth.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    return _create(
        num_slices,
        size_px,
        num_classes,
        stem_dim_in=8,
        width_factor=1.0,
        depth_factor=0.5,
        bottleneck_factor=1.0,
        head_dim_out=64,
    )
