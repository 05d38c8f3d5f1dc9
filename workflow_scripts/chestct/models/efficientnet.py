"""EfficientNet-Lite0 on slices: a 2D baseline.

Architecture: efficientnet-lite-pytorch (Tan and Le, ICML 2019, in the Lite form without
squeeze-excitation). A window's logits come from the mean of its slices' features.
"""

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from chestct.models.published_key_names import imagenet_slices
from chestct.models.slices import SliceClassifier

PUBLISHED = {"efficientnet_lite0_imagenet": imagenet_slices("_fc.")}

NUM_FEATURES = 1280


class EfficientNetFeatures(EfficientNet):
    """EfficientNet that ends in its features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, 1280)."""
        return self.extract_features(images).mean(dim=(2, 3))


def create_backbone(size_px: int) -> nn.Module:
    """EfficientNet-Lite0 without its classifier; its SAME padding is laid out for ``size_px``."""
    backbone = EfficientNetFeatures.from_name("efficientnet-lite0", image_size=size_px)
    # Only features are used; a classifier that never ran would be saved as if it had learned.
    backbone._fc = nn.Identity()
    return backbone


def build_full(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """EfficientNet-Lite0 at full size. See ``chestct.models.build_model``."""
    backbone = create_backbone(size_px)
    return SliceClassifier(backbone, NUM_FEATURES, num_classes, slice_step=slice_step, dropout_rate=0.2)
