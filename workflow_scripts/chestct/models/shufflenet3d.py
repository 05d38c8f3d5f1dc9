"""3D-ShuffleNet (Köpüklü et al., "Resource efficient 3D convolutional neural networks", ICCV workshops 2019).

Written from the paper so that the authors' weights fit: ShuffleNet's units (Zhang et al., CVPR 2018) with
3x3x3 depthwise convolutions between grouped 1x1x1 ones. The authors' code decides three things that the
paper leaves open: the first unit's convolution has groups too, inputs are pixel values less their mean, not
divided by anything, and the first unit of a stage averages over 2 x 3 x 3.
"""

from collections import OrderedDict
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from chestct.models.published_key_names import Published, map_shufflenet3d
from chestct.models.weight_files import parse_training_checkpoint

PUBLISHED = {
    "shufflenet3d_0.5x_jester": Published(
        read=partial(parse_training_checkpoint, state_key="state_dict"),
        num_classes=27,
        rename=map_shufflenet3d,
    )
}

NUM_GROUPS = 3
#: Channels behind the stem and of the three stages at width 1 with three groups, and units of the stages.
CHANNELS, NUM_UNITS = (24, 240, 480, 960), (4, 8, 4)


def shuffle_channels(x_BCTHW: torch.Tensor, num_groups: int) -> torch.Tensor:
    """Deal the channels out anew, so that each group of the next convolution has some of every group.

    Channel i of group g comes to place i * num_groups + g. The memory layout stays what it was.
    """
    if x_BCTHW.is_contiguous():
        return x_BCTHW.unflatten(1, (num_groups, -1)).transpose(1, 2).flatten(1, 2)
    # Channels lie last (chestct.models.cpu): a copy in another order would slow all that follows.
    x_BTHWC = x_BCTHW.permute(0, 2, 3, 4, 1).unflatten(4, (num_groups, -1)).transpose(4, 5).flatten(4, 5)
    return x_BTHWC.permute(0, 4, 1, 2, 3)


def halve(x_BCTHW: torch.Tensor) -> torch.Tensor:
    """Average over 2 x 3 x 3 at stride 2: lengths halved and rounded up, as by a convolution at stride 2.

    The published window (16 frames) is even along time down to its last step. Of an odd number of steps, such
    as the single one that 8 slices come to, the last one is averaged with itself.
    """
    if x_BCTHW.shape[2] % 2:
        x_BCTHW = torch.cat([x_BCTHW, x_BCTHW[:, :, -1:]], dim=2)
    # Padded beforehand, since avg_pool3d refuses maps that are smaller than its kernel without their padding.
    return F.avg_pool3d(F.pad(x_BCTHW, (1, 1, 1, 1)), (2, 3, 3), stride=2)


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    conv = nn.Conv3d(
        in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(out_channels)))


class ShuffleUnit(nn.Module):
    """Grouped 1x1x1 convolution, shuffle, depthwise 3x3x3, grouped 1x1x1, beside the input.

    The first unit of a stage halves all lengths; behind its new channels comes the averaged input.
    """

    def __init__(self, in_channels: int, out_channels: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        middle = out_channels // 4
        new_channels = out_channels - in_channels if first else out_channels
        self.reduce = _convolution(in_channels, middle, 1, 1, NUM_GROUPS)
        self.depthwise = _convolution(middle, middle, 3, 2 if first else 1, middle)
        self.expand = _convolution(middle, new_channels, 1, 1, NUM_GROUPS)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, T, H, W) to (B, out_channels, ...), lengths halved in a first unit."""
        shuffled = shuffle_channels(F.relu(self.reduce(x_BCTHW), inplace=True), NUM_GROUPS)
        new = self.expand(self.depthwise(shuffled))
        return F.relu(torch.cat([new, halve(x_BCTHW)], dim=1) if self.first else new + x_BCTHW)


class ShuffleNet3d(nn.Module):
    """3D-ShuffleNet with three groups, for windows of any size."""

    def __init__(self, num_classes: int, *, width: float, dropout_rate: float = 0.2) -> None:
        super().__init__()
        stem, *stages = (int(width * channels) for channels in CHANNELS)
        conv = nn.Conv3d(3, stem, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.stem = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(stem)))
        self.pool = nn.MaxPool3d(3, stride=2, padding=1)
        self.stages = nn.Sequential()
        for in_channels, out_channels, num_units in zip([stem, *stages], stages, NUM_UNITS, strict=False):
            units = [
                ShuffleUnit(out_channels if i else in_channels, out_channels, first=i == 0)
                for i in range(num_units)
            ]
            self.stages.append(nn.Sequential(*units))
        self.dropout = nn.Dropout(dropout_rate)
        self.head = nn.Linear(stages[-1], num_classes)

    def features(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Mean of the last stage over its window, shape (B, F)."""
        x_BCTHW = self.pool(F.relu(self.stem(x_BCTHW), inplace=True))
        return self.stages(x_BCTHW).mean(dim=(2, 3, 4))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.head(self.dropout(self.features(x_BCTHW)))


def build_half(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """3D-ShuffleNet at half its width. See ``chestct.models.build_model``."""
    return ShuffleNet3d(num_classes, width=0.5)
