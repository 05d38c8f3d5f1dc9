"""Video Swin Transformer (Liu et al., CVPR 2022), by torchvision's class."""

from torch import nn
from torchvision.models.video.swin_transformer import SwinTransformer3d


def build(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
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
