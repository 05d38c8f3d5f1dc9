"""Video Swin Transformer (Liu et al., CVPR 2022), by torchvision's class."""

from torch import nn
from torchvision.models.video.swin_transformer import SwinTransformer3d, swin3d_t

from chestct.models.published_key_names import Published
from chestct.models.weight_files import parse_torch

PUBLISHED = {"swin3d_t_kinetics400": Published(read=parse_torch, num_classes=400)}


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """Swin-T as published (32 frames of 224 x 224), for windows of any size.

    Below 224 pixels the last stage has fewer than 7 x 7 positions. Torchvision, like the original, then
    shrinks its attention windows and takes the first rows of the table of relative positions, which are
    no longer the positions that they were trained for. From 224 pixels on this does not arise.
    See ``chestct.models.build_model``.
    """
    return swin3d_t(weights=None, num_classes=num_classes)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """Swin-T in narrow form: 12 instead of 96 channels, 5 instead of 12 blocks, smaller windows.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    return SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=12,
        depths=[1, 1, 2, 1],
        num_heads=[1, 2, 4, 8],
        window_size=[4, 4, 4],
        stochastic_depth_prob=0.1,
        num_classes=num_classes,
    )
