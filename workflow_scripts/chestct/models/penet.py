"""PENet's classifier form (Huang et al., npj Digital Medicine 2020).

Parameters bear the names of the authors' classifier, whose checkpoints put ``module.`` before them, so that
the full-size form loads the released Kinetics-600 weights and the narrow form is the same class.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from chestct.models.published_key_names import Published, map_penet
from chestct.models.weight_files import parse_training_checkpoint

PUBLISHED = {
    "penet_kinetics600": Published(read=parse_training_checkpoint, num_classes=600, rename=map_penet)
}

EXPANSION = 2
SE_REDUCTION = 16
FINAL_SURVIVAL = 0.5


class SqueezeExcitation(nn.Module):
    """Channel weights from the channels' means (Hu et al., CVPR 2018), with LeakyReLU inside."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.Linear(num_channels, num_channels // SE_REDUCTION),
            nn.LeakyReLU(inplace=True),
            nn.Linear(num_channels // SE_REDUCTION, num_channels),
            nn.Sigmoid(),
        )

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        return x_BCTHW * self.excite(x_BCTHW.mean(dim=(2, 3, 4)))[:, :, None, None, None]


class PENetBottleneck(nn.Module):
    """ResNeXt bottleneck with GroupNorm, squeeze-excitation and stochastic depth.

    Stochastic depth (Huang et al., ECCV 2016): in training the residual branch of the whole batch is
    left out with probability ``1 - survival``; at test it is always kept, unscaled.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        num_groups: int,
        norm_channels: int,
        survival: float,
    ) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.survival = survival
        self.conv1 = nn.Conv3d(in_channels, channels, 1, bias=False)
        self.norm1 = nn.GroupNorm(channels // norm_channels, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, stride=stride, padding=1, groups=num_groups, bias=False)
        self.norm2 = nn.GroupNorm(channels // norm_channels, channels)
        self.conv3 = nn.Conv3d(channels, out_channels, 1, bias=False)
        self.norm3 = nn.GroupNorm(out_channels // norm_channels, out_channels)
        self.se_block = SqueezeExcitation(out_channels)
        self.relu = nn.LeakyReLU(inplace=True)
        self.down_sample = None
        if stride != 1 or in_channels != out_channels:
            self.down_sample = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.GroupNorm(out_channels // norm_channels, out_channels),
            )

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, T, H, W) to (B, 2 * channels, T / stride, H / stride, W / stride)."""
        skip = x_BCTHW if self.down_sample is None else self.down_sample(x_BCTHW)
        if self.training and self.survival < 1 and torch.rand(()).item() >= self.survival:
            return skip
        x = self.relu(self.norm1(self.conv1(x_BCTHW)))
        x = self.relu(self.norm2(self.conv2(x)))
        x = self.se_block(self.norm3(self.conv3(x)))
        return self.relu(x + skip)


class PooledLinear(nn.Module):
    """Global average pool, then a linear layer."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(num_features, num_classes)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.fc(x_BCTHW.mean(dim=(2, 3, 4)))


class PENet(nn.Module):
    """PENet classifier; the defaults are the published full size.

    Args:
        num_classes: logits a window.
        stem_channels: of the 7x7x7 stem.
        widths: inner channels of the bottlenecks, a value a stage; outer channels are twice as many.
        depths: blocks a stage.
        num_groups: groups of the 3x3x3 convolutions.
        norm_channels: channels a group of every GroupNorm.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        stem_channels: int = 64,
        widths: Sequence[int] = (128, 256, 512, 1024),
        depths: Sequence[int] = (3, 4, 6, 3),
        num_groups: int = 32,
        norm_channels: int = 16,
    ) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(
            nn.Conv3d(3, stem_channels, 7, stride=(1, 2, 2), padding=3, bias=False),
            nn.GroupNorm(stem_channels // norm_channels, stem_channels),
            nn.LeakyReLU(inplace=True),
        )
        self.max_pool = nn.MaxPool3d(3, stride=2, padding=1)
        channels, block, num_blocks = stem_channels, 0, sum(depths)
        encoders = []
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = []
            for position in range(depth):
                blocks.append(
                    PENetBottleneck(
                        channels,
                        width,
                        stride=2 if stage > 0 and position == 0 else 1,
                        num_groups=num_groups,
                        norm_channels=norm_channels,
                        survival=1 - block / num_blocks * (1 - FINAL_SURVIVAL),
                    )
                )
                channels, block = width * EXPANSION, block + 1
            encoders.append(nn.Sequential(OrderedDict(penet_blocks=nn.Sequential(*blocks))))
        self.encoders = nn.Sequential(*encoders)
        self.classifier = PooledLinear(channels, num_classes)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.classifier(self.encoders(self.max_pool(self.in_conv(x_BCTHW))))


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """PENet as published, for windows of any size; the study gives it 24 slices.

    See ``chestct.models.build_model``.
    """
    return PENet(num_classes)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """PENet in narrow form: an eighth of the channels, a quarter of the groups, two blocks a stage.

    Fits windows of any size. See ``chestct.models.build_model``.
    """
    return PENet(
        num_classes,
        stem_channels=8,
        widths=(16, 32, 64, 128),
        depths=(2, 2, 2, 2),
        num_groups=8,
        norm_channels=4,
    )
