"""What the 2D models share: features of single slices, averaged or read by a recurrent network."""

import torch
from torch import nn


def select_slices(x_BCTHW: torch.Tensor, slice_step: int) -> torch.Tensor:
    """Every n-th slice, as far from one end of the window as from the other."""
    start = (x_BCTHW.shape[2] - 1) % slice_step // 2
    return x_BCTHW[:, :, start::slice_step]


def slice_features(backbone: nn.Module, x_BCTHW: torch.Tensor) -> torch.Tensor:
    """Features of every slice alone, shape (B, T, F).

    Args:
        backbone: maps images (N, C, H, W) to features (N, F).
        x_BCTHW: windows.
    """
    num_windows, _, num_slices = x_BCTHW.shape[:3]
    images = x_BCTHW.transpose(1, 2).flatten(0, 1)  # (B * T, C, H, W)
    # Depthwise convolutions run twice as fast on CPUs with channels last.
    images = images.contiguous(memory_format=torch.channels_last)
    return backbone(images).unflatten(0, (num_windows, num_slices))


class SliceClassifier(nn.Module):
    """A 2D network on every ``slice_step``-th slice, mean over slices, one linear layer."""

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        *,
        slice_step: int,
        dropout_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.slice_step = slice_step
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout_rate)
        self.head = nn.Linear(num_features, num_classes)

    def features(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Features of the chosen slices, shape (B, slices, F)."""
        return slice_features(self.backbone, select_slices(x_BCTHW, self.slice_step))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.head(self.dropout(self.features(x_BCTHW).mean(dim=1)))
