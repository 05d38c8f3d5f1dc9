"""LRCN (Donahue et al., CVPR 2015) on slices: a frozen 2D network, then a GRU along the slices.

As in the study's 2D-recurrent baseline: a slice's features with their differences to both neighbours,
a one-layer bidirectional GRU of 256, the mean over slices, a linear layer. The recurrence runs along
the slices of a window, or of a whole scan, so that a scan's score does not depend on the others in its batch.
"""

from typing import Self

import torch
from torch import nn

from chestct.models.slices import select_slices, slice_features

GRU_SIZE = 256
#: Images that the frozen network computes at once: batches of whole scans are thousands.
_IMAGES_AT_ONCE = 256


def with_differences(features_BTF: torch.Tensor) -> torch.Tensor:
    """Features, and their differences to the slice before and after (zero at the ends): (B, T, 3 F)."""
    steps = features_BTF.diff(dim=1)
    nothing = torch.zeros_like(features_BTF[:, :1])
    before = torch.cat([nothing, steps], dim=1)
    after = torch.cat([-steps, nothing], dim=1)
    return torch.cat([features_BTF, before, after], dim=2)


class LRCN(nn.Module):
    """Recurrent head on the slice features of a 2D model, whose weights stay as they were loaded."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, *, slice_step: int) -> None:
        super().__init__()
        self.slice_step = slice_step
        self.backbone = backbone.requires_grad_(False)
        self.gru = nn.GRU(3 * num_features, GRU_SIZE, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * GRU_SIZE, num_classes)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the recurrent part; the frozen part stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Frozen features of the chosen slices, shape (B, slices, F)."""
        chosen_BCTHW = select_slices(x_BCTHW, self.slice_step)
        at_once = max(1, _IMAGES_AT_ONCE // chosen_BCTHW.shape[2])
        return torch.cat([slice_features(self.backbone, part) for part in chosen_BCTHW.split(at_once)])

    def classify(self, features_BTF: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes) from slice features."""
        states_BTF, _ = self.gru(with_differences(features_BTF))
        return self.head(states_BTF.mean(dim=1))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.classify(self.features(x_BCTHW))


# Each form imports the 2D network that it needs and no other.


def build_resnext101(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """LRCN on ResNeXt-101-32x8d at full size. See ``chestct.models.build_model``."""
    from torchvision.models.resnet import resnext101_32x8d

    from chestct.models.resnet import create_backbone

    return LRCN(*create_backbone(resnext101_32x8d), num_classes, slice_step=slice_step)


def build_efficientnet_lite0(
    num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1
) -> nn.Module:
    """LRCN on EfficientNet-Lite0 at full size. See ``chestct.models.build_model``."""
    from chestct.models.efficientnet import NUM_FEATURES, create_backbone

    return LRCN(create_backbone(size_px), NUM_FEATURES, num_classes, slice_step=slice_step)
