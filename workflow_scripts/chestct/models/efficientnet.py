"""EfficientNet-Lite0 on slices: the 2D baseline.

Architecture: efficientnet-lite-pytorch (Tan and Le, ICML 2019, in the Lite form without
squeeze-excitation). A window's logits come from the mean of its slices' features.
"""

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

NUM_FEATURES = 1280


def create_backbone(size_px: int) -> EfficientNet:
    """EfficientNet-Lite0 without its classifier; its SAME padding is laid out for ``size_px``."""
    backbone = EfficientNet.from_name("efficientnet-lite0", image_size=size_px)
    # Only extract_features is used; a classifier that never ran would be saved as if it had learned.
    backbone._fc = nn.Identity()
    return backbone


def select_slices(x_BCTHW: torch.Tensor, slice_step: int) -> torch.Tensor:
    """Every n-th slice, as far from one end of the window as from the other."""
    start = (x_BCTHW.shape[2] - 1) % slice_step // 2
    return x_BCTHW[:, :, start::slice_step]


def slice_features(backbone: EfficientNet, x_BCTHW: torch.Tensor) -> torch.Tensor:
    """Features of every slice alone, shape (B, T, 1280)."""
    num_windows, _, num_slices = x_BCTHW.shape[:3]
    images = x_BCTHW.transpose(1, 2).flatten(0, 1)  # (B * T, C, H, W)
    # Depthwise convolutions run twice as fast on CPUs with channels last.
    images = images.contiguous(memory_format=torch.channels_last)
    features = backbone.extract_features(images).mean(dim=(2, 3))
    return features.unflatten(0, (num_windows, num_slices))


class SliceEfficientNet(nn.Module):
    """EfficientNet-Lite0 on every ``slice_step``-th slice, mean over slices, one linear layer."""

    def __init__(self, size_px: int, num_classes: int, *, slice_step: int, dropout_rate: float = 0.2) -> None:
        super().__init__()
        self.slice_step = slice_step
        self.backbone = create_backbone(size_px)
        self.dropout = nn.Dropout(dropout_rate)
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Features of the chosen slices, shape (B, slices, 1280)."""
        return slice_features(self.backbone, select_slices(x_BCTHW, self.slice_step))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.head(self.dropout(self.features(x_BCTHW).mean(dim=1)))


def build(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """EfficientNet-Lite0 at full size. See ``chestct.models.build_model``."""
    return SliceEfficientNet(size_px, num_classes, slice_step=slice_step)
