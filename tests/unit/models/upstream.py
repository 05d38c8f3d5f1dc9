"""The published networks, by the constructors and arguments of those who published them.

Arguments are those of ``pytorchvideo.models.hub`` and torchvision. Only pools whose size is fixed by the
window are told the test's small one; their sizes for the published windows are in the comments.
"""

import importlib
from typing import Any

import torch
from torch import nn

#: Name in the catalogue: module, constructor, and its arguments for windows of 8 slices of 64 pixels.
CONSTRUCTORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "slow_r50": (
        "pytorchvideo.models.resnet",
        "create_resnet",
        # (8, 7, 7) for 8 frames of 224 pixels
        {"model_depth": 50, "stem_conv_kernel_size": (1, 7, 7), "head_pool_kernel_size": (8, 2, 2)},
    ),
    "slowfast_r50": (
        "pytorchvideo.models.slowfast",
        "create_slowfast",
        # ((8, 7, 7), (32, 7, 7)) for 32 frames of 224 pixels
        {
            "model_depth": 50,
            "slowfast_fusion_conv_kernel_size": (7, 1, 1),
            "head_pool_kernel_sizes": ((2, 2, 2), (8, 2, 2)),
        },
    ),
    "r2plus1d_r50": (
        "pytorchvideo.models.r2plus1d",
        "create_r2plus1d",
        # (4, 7, 7) for 16 frames of 224 pixels
        {"dropout_rate": 0.5, "head_pool_kernel_size": (2, 2, 2)},
    ),
    "csn_r101": (
        "pytorchvideo.models.csn",
        "create_csn",
        # (4, 7, 7) for 32 frames of 224 pixels
        {"model_depth": 101, "stem_pool": nn.MaxPool3d, "head_pool_kernel_size": (1, 2, 2)},
    ),
    "mvit_base_32x3": (
        "pytorchvideo.models.vision_transformers",
        "create_multiscale_vision_transformers",
        {
            "spatial_size": 64,  # 224
            "temporal_size": 8,  # 32
            "embed_dim_mul": [[1, 2.0], [3, 2.0], [14, 2.0]],
            "atten_head_mul": [[1, 2.0], [3, 2.0], [14, 2.0]],
            "pool_q_stride_size": [[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]],
            "pool_kv_stride_adaptive": [1, 8, 8],
            "pool_kvq_kernel": [3, 3, 3],
        },
    ),
    "x3d_m": (
        "pytorchvideo.models.x3d",
        "create_x3d",
        {"input_clip_length": 8, "input_crop_size": 64},  # 16 and 224
    ),
    "swin3d_t": ("torchvision.models.video.swin_transformer", "swin3d_t", {}),
    "resnet18": ("torchvision.models.resnet", "resnet18", {}),
    "resnext101_32x8d": ("torchvision.models.resnet", "resnext101_32x8d", {}),
}

#: Networks that end in a softmax as published.
WITH_SOFTMAX = ("r2plus1d_r50", "x3d_m")


def build_upstream(name: str) -> nn.Module:
    """The published network with its classifier, in evaluation mode."""
    module, constructor, arguments = CONSTRUCTORS[name]
    return getattr(importlib.import_module(module), constructor)(**arguments).eval()


def run_upstream(name: str, upstream: nn.Module, x_BCTHW: torch.Tensor) -> torch.Tensor:
    """What the published network says of windows, each in the form that it takes."""
    if name.startswith("slowfast"):
        return upstream([x_BCTHW[:, :, [0, 4]], x_BCTHW])
    if name.startswith("resn"):
        # One layer on the mean of features: the mean of the slices' logits.
        return torch.stack([upstream(image) for image in x_BCTHW.unbind(2)]).mean(dim=0)
    return upstream(x_BCTHW)
