"""A small 3D network from scratch, as papers on nodules use, after Dou et al., "Multilevel contextual 3-D
CNNs for false positive reduction in pulmonary nodule detection" (IEEE Transactions on Biomedical Engineering
64:1558, 2017).

Kept: three convolutions of 5 x 5 in the plane and 3 along z, a hidden layer, a classifier. Changed: theirs
are three networks for cubes of 20 x 20 x 6 to 40 x 40 x 26 voxels, with 64 channels throughout and no
normalisation. Here is one network for windows of any size, with BatchNorm, 16, 48 and 64 channels, the
plane halved early, and the mean over all places before the hidden layer. At its end a place sees 59 x 59
pixels and 10 slices.
"""

from collections import OrderedDict

import torch
from torch import nn

NUM_HIDDEN = 128


def _convolution(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    strides, padding = (1, stride, stride), (1, 2, 2)
    conv = nn.Conv3d(in_channels, out_channels, (3, 5, 5), strides, padding, bias=False)
    norm, relu = nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, relu=relu))


class NoduleCNN(nn.Module):
    """Three convolutions, mean over all places, a hidden layer, a classifier."""

    def __init__(self, num_classes: int, *, dropout_rate: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(3, 16, stride=2),
            nn.MaxPool3d((1, 2, 2)),
            _convolution(16, 48),
            nn.MaxPool3d(2),
            _convolution(48, 64),
        )
        self.hidden = nn.Linear(64, NUM_HIDDEN)
        self.dropout = nn.Dropout(dropout_rate)
        self.head = nn.Linear(NUM_HIDDEN, num_classes)

    def features(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """The hidden layer, shape (B, NUM_HIDDEN)."""
        return torch.relu(self.hidden(self.layers(x_BCTHW).mean(dim=(2, 3, 4))))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.head(self.dropout(self.features(x_BCTHW)))


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """The nodule network. See ``chestct.models.build_model``."""
    return NoduleCNN(num_classes)
