"""X3D (Feichtenhofer, CVPR 2020), by pytorchvideo's constructor."""

from pytorchvideo.models.x3d import create_x3d
from torch import nn


def build(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """X3D in narrow form: 8 instead of 12 stem channels, no expansion, half the depth.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    model = create_x3d(
        input_clip_length=num_slices,
        input_crop_size=size_px,
        model_num_class=num_classes,
        stem_dim_in=8,
        width_factor=1.0,
        depth_factor=0.5,
        bottleneck_factor=1.0,
        head_dim_out=64,
        head_activation=None,  # the default is a softmax
    )
    # The constructor's pool is sized for one window; it holds no parameters.
    model.blocks[-1].pool.pool = nn.AdaptiveAvgPool3d(1)
    return model
