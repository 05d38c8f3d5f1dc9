"""DINOv2 (Oquab et al., TMLR 2024) on slices, by transformers' class: a 2D rival beyond the paper.

A vision transformer that learned from 142 million images without labels (LVD-142M). A slice's features are
the class token and the mean of the patches' tokens, side by side, as in the library's classifier; a window's
logits come from the mean of its slices' features.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import Dinov2Config, Dinov2Model

from chestct.models.published_key_names import Published, map_dinov2
from chestct.models.slices import SliceClassifier
from chestct.models.weight_files import parse_own

#: The file holds no classifier.
PUBLISHED = {"dinov2_small_lvd142m": Published(read=parse_own, num_classes=0, rename=map_dinov2)}


class DinoFeatures(nn.Module):
    """The library's network with images in and features out; it interpolates its positions to any image.

    Images that patches do not divide are continued by their last row and column.

    Args:
        size_px: rows and columns of the images.
        options: of the library's configuration.
    """

    def __init__(self, size_px: int, **options: Any) -> None:
        super().__init__()
        # The mask token belongs to the pretraining: no image here is masked.
        config = Dinov2Config(use_mask_token=False, **options)
        self.network = Dinov2Model(config)
        self.num_features = 2 * config.hidden_size
        patch_size = config.patch_size
        assert isinstance(patch_size, int)  # square patches
        margin = -size_px % patch_size
        self.padding = (0, margin, 0, margin)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, F)."""
        if any(self.padding):
            images_NCHW = pad(images_NCHW, self.padding, mode="replicate")
        tokens_NPF = self.network(pixel_values=images_NCHW).last_hidden_state
        return torch.cat([tokens_NPF[:, 0], tokens_NPF[:, 1:].mean(dim=1)], dim=1)


def _on_slices(backbone: DinoFeatures, num_classes: int, slice_step: int) -> nn.Module:
    return SliceClassifier(backbone, backbone.num_features, num_classes, slice_step=slice_step)


def build_full(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """DINOv2 ViT-S/14 as published, whose positions are of images of 518 x 518.

    See ``chestct.models.build_model``.
    """
    small: dict[str, Any] = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518}
    return _on_slices(DinoFeatures(size_px, **small), num_classes, slice_step)


def build_narrow(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """DINOv2 in narrow form: 48 instead of 384 features, 4 instead of 12 blocks, patches of 8 x 8.

    See ``chestct.models.build_model``.
    """
    narrow: dict[str, Any] = {
        "hidden_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "image_size": 64,
        "patch_size": 8,
    }
    return _on_slices(DinoFeatures(size_px, **narrow), num_classes, slice_step)
