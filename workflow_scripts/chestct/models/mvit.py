"""MViT (Fan et al., ICCV 2021), by pytorchvideo's constructor."""

from collections.abc import Sequence
from typing import Any

from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from torch import nn

from chestct.models.published_key_names import ZOO

PUBLISHED = {"mvit_base_32x3_kinetics400": ZOO}

#: Stride of the patch embedding (T, H, W).
PATCH_STRIDE = (2, 4, 4)


def _whole_patches(length: int, stride: int) -> int:
    # The constructor rounds the number of patches down, its convolution rounds it up: without this the
    # position embedding does not fit windows that the stride does not divide.
    return -(-length // stride) * stride


def _create(
    num_slices: int, size_px: int, num_classes: int, *, doubled_in: Sequence[int], **options: Any
) -> nn.Module:
    """MViT that doubles width and heads, and halves the plane, in the blocks of these numbers."""
    return create_multiscale_vision_transformers(
        spatial_size=_whole_patches(size_px, PATCH_STRIDE[1]),
        temporal_size=_whole_patches(num_slices, PATCH_STRIDE[0]),
        conv_patch_embed_stride=PATCH_STRIDE,
        embed_dim_mul=[[block, 2.0] for block in doubled_in],
        atten_head_mul=[[block, 2.0] for block in doubled_in],
        pool_q_stride_size=[[block, 1, 2, 2] for block in doubled_in],
        pool_kv_stride_adaptive=[1, 8, 8],
        pool_kvq_kernel=[3, 3, 3],
        head_num_classes=num_classes,
        **options,
    )


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """MViT-B 32x3 as published, for windows of the given size.

    Its position embeddings are learned, so a model fits windows of one size only; the published ones
    (32 frames of 224 x 224) are resized on loading. See ``chestct.models.build_model``.
    """
    return _create(num_slices, size_px, num_classes, doubled_in=(1, 3, 14))


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """MViT-B in narrow form: 16 instead of 96 channels, 5 instead of 16 blocks, as many scales.

    Fits windows of the given size only: its position embedding is learned.
    See ``chestct.models.build_model``.
    """
    # Five blocks: as in the full model, no pooling in the last.
    options = {"depth": 5, "patch_embed_dim": 16, "num_heads": 1}
    return _create(num_slices, size_px, num_classes, doubled_in=(1, 2, 3), **options)
