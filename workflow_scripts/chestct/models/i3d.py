"""I3D: Inception-v1 inflated to 3D (Carreira and Zisserman, CVPR 2017).

Written from the published architecture so that the released Kinetics-400 weights fit: TensorFlow's SAME
padding, BatchNorm with a shift but no scale and an epsilon of 1e-3, input in [-1, 1].
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from chestct.models.published_key_names import Published, map_i3d
from chestct.models.weight_files import parse_numpy_pickle

PUBLISHED = {"i3d_kinetics400": Published(read=parse_numpy_pickle, num_classes=400, rename=map_i3d)}

#: Output channels of the branches of every Inception module: 1x1; 1x1 then 3x3; 1x1 then 3x3; pool then 1x1.
MIXED = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}


def _triple(values: int | Sequence[int]) -> tuple[int, int, int]:
    t, h, w = (values,) * 3 if isinstance(values, int) else values
    return t, h, w


def pad_same(x_BCTHW: torch.Tensor, kernel: Sequence[int], stride: Sequence[int]) -> torch.Tensor:
    """Pad with zeros as TensorFlow's SAME does: output length ceil(length / stride), the odd one behind.

    Zeros serve the max pools too: what they pool is never negative.
    """
    padding: list[int] = []
    for length, k, s in zip(x_BCTHW.shape[2:], kernel, stride, strict=True):
        total = max((-(-length // s) - 1) * s + k - length, 0)
        padding = [total // 2, total - total // 2, *padding]  # F.pad wants the last axis first
    return F.pad(x_BCTHW, padding) if any(padding) else x_BCTHW


class ShiftBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm with a learned shift and a scale fixed at one."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=1e-3)
        del self.weight
        # A buffer, not None: cuDNN's BatchNorm wants a scale. Not saved: it is no weight.
        self.register_buffer("weight", torch.ones(num_features), persistent=False)


class Unit3D(nn.Module):
    """Convolution with SAME padding, BatchNorm, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int | Sequence[int] = 1, stride: int = 1
    ) -> None:
        super().__init__()
        self.kernel, self.stride = _triple(kernel), _triple(stride)
        # With stride 1 and odd kernels SAME is symmetric, and the convolution pads for itself.
        padding = _triple([k // 2 if stride == 1 else 0 for k in self.kernel])
        self.conv = nn.Conv3d(
            in_channels, out_channels, self.kernel, stride=stride, padding=padding, bias=False
        )
        self.norm = ShiftBatchNorm3d(out_channels)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, T, H, W) to (B, out_channels, ...), lengths over stride, rounded up."""
        if self.stride != (1, 1, 1):
            x_BCTHW = pad_same(x_BCTHW, self.kernel, self.stride)
        return F.relu(self.norm(self.conv(x_BCTHW)), inplace=True)


class MaxPoolSame(nn.Module):
    """Max pool with SAME padding, for inputs that are never negative."""

    def __init__(self, kernel: int | Sequence[int], stride: int | Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride = _triple(kernel), _triple(stride)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Shape divided by the stride, rounded up."""
        return F.max_pool3d(pad_same(x_BCTHW, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Inception module: four branches, concatenated."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3 = channels

        def units(**named: Unit3D) -> nn.Sequential:
            return nn.Sequential(OrderedDict(named))

        self.branch_0 = units(conv3d_0a_1x1=Unit3D(in_channels, b0))
        self.branch_1 = units(conv3d_0a_1x1=Unit3D(in_channels, b1a), conv3d_0b_3x3=Unit3D(b1a, b1b, 3))
        self.branch_2 = units(conv3d_0a_1x1=Unit3D(in_channels, b2a), conv3d_0b_3x3=Unit3D(b2a, b2b, 3))
        self.branch_3 = units(conv3d_0b_1x1=Unit3D(in_channels, b3))
        self.pool = nn.MaxPool3d(3, stride=1, padding=1)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Map (B, in_channels, T, H, W) to (B, sum of branches, T, H, W)."""
        # First, as backpropagation adds up the branches' gradients in the reverse order.
        pooled = self.pool(x_BCTHW)
        branches = [branch(x_BCTHW) for branch in (self.branch_0, self.branch_1, self.branch_2)]
        return torch.cat([*branches, self.branch_3(pooled)], dim=1)


class I3D(nn.Module):
    """I3D for windows of any size from 8 slices and 32 pixels.

    The published head averages windows of (2, 7, 7) at stride 1 and then over time, so that of more than two
    steps the first and the last count half. Here so too; in the plane, which the published window covers
    whole at 224 pixels, the average is over the whole plane at any size.
    """

    def __init__(self, num_classes: int, *, dropout_rate: float = 0.5) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "conv3d_1a_7x7": Unit3D(3, 64, 7, stride=2),
            "maxpool3d_2a_3x3": MaxPoolSame((1, 3, 3), (1, 2, 2)),
            "conv3d_2b_1x1": Unit3D(64, 64),
            "conv3d_2c_3x3": Unit3D(64, 192, 3),
            "maxpool3d_3a_3x3": MaxPoolSame((1, 3, 3), (1, 2, 2)),
        }
        in_channels = 192
        for name, channels in MIXED.items():
            if name == "mixed_4b":
                layers["maxpool3d_4a_3x3"] = MaxPoolSame(3, 2)
            if name == "mixed_5b":
                layers["maxpool3d_5a_2x2"] = MaxPoolSame(2, 2)
            layers[name] = Mixed(in_channels, channels)
            in_channels = channels[0] + channels[2] + channels[4] + channels[5]
        self.layers = nn.Sequential(OrderedDict(layers))
        self.dropout = nn.Dropout(dropout_rate)
        self.logits = nn.Linear(in_channels, num_classes)

    def features(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Mean over the plane and over pairs of time steps of the last layer, shape (B, 1024)."""
        x_BCT = self.layers(x_BCTHW).mean(dim=(3, 4))
        if x_BCT.shape[2] > 2:
            x_BCT = (x_BCT[:, :, 1:] + x_BCT[:, :, :-1]) / 2
        return x_BCT.mean(dim=2)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        return self.logits(self.dropout(self.features(x_BCTHW)))


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """I3D at full size. See ``chestct.models.build_model``."""
    return I3D(num_classes)
