"""VideoMAE (Tong et al., NeurIPS 2022), by transformers' class: beyond the paper.

A plain vision transformer over tubelets of 2 x 16 x 16 voxels. Its position embeddings are a fixed table of
sines and cosines over the tubelets' numbers in the published window, counted row by row; tokens of another
window take the place that they have in that window, not their own number.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, pad
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from chestct.models.published_key_names import Published, map_videomae
from chestct.models.weight_files import parse_own

PUBLISHED = {"videomae_base_kinetics400": Published(read=parse_own, num_classes=400, rename=map_videomae)}

#: Tubelets of the published window (16 frames of 224 x 224) along T, H, W.
PUBLISHED_GRID = (8, 14, 14)
#: Slices of a tubelet.
TUBELET = 2


def published_positions(num_features: int) -> torch.Tensor:
    """Position embeddings of the published window: float32, shape (T, H, W, F) in tubelets."""
    numbers = np.arange(np.prod(PUBLISHED_GRID))
    rates = 10_000.0 ** (-2 * (np.arange(num_features) // 2) / num_features)
    angles = numbers[:, None] * rates
    table = np.where(np.arange(num_features) % 2 == 0, np.sin(angles), np.cos(angles))
    return torch.from_numpy(table.astype(np.float32)).unflatten(0, PUBLISHED_GRID)


def stretch_positions(table_THWF: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """Resample position embeddings over their whole extent to another grid of tubelets.

    Bicubic in the plane (antialiased where there are fewer positions than before), linear along z; a table
    of this grid already stays as it is.
    """
    table = table_THWF
    if table.shape[1:3] != grid[1:]:
        planes = table.permute(0, 3, 1, 2)
        planes = interpolate(planes, grid[1:], mode="bicubic", align_corners=False, antialias=True)
        table = planes.permute(0, 2, 3, 1)
    if len(table) != grid[0]:
        lines = table.permute(1, 2, 3, 0).flatten(0, 1)
        lines = interpolate(lines, grid[0], mode="linear", align_corners=False)
        table = lines.unflatten(0, grid[1:]).permute(3, 0, 1, 2)
    return table.contiguous()


class VideoMAE(nn.Module):
    """The library's classifier with the study's interface, for windows of one size.

    Windows that tubelets do not divide are continued by their last slice, row and column.

    Args:
        num_slices, size_px: of the windows.
        num_classes: logits a window.
        patch_px: rows and columns of a tubelet.
        widths: the library's names of the network's widths and depth.
    """

    def __init__(
        self, num_slices: int, size_px: int, num_classes: int, *, patch_px: int, **widths: Any
    ) -> None:
        super().__init__()
        grid = (-(-num_slices // TUBELET), -(-size_px // patch_px), -(-size_px // patch_px))
        # The library computes its table number by number in Python, seconds for a window: it gets a window
        # of one tubelet to begin with.
        options: dict[str, Any] = {
            "num_frames": TUBELET,
            "tubelet_size": TUBELET,
            "image_size": patch_px,
            "patch_size": patch_px,
            "num_labels": num_classes,
        }
        config = VideoMAEConfig(**options, **widths)
        self.network = VideoMAEForVideoClassification(config)
        embeddings = self.network.videomae.embeddings
        embeddings.patch_embeddings.image_size = (grid[1] * patch_px, grid[2] * patch_px)
        embeddings.num_patches = embeddings.patch_embeddings.num_patches = int(np.prod(grid))
        positions = stretch_positions(published_positions(config.hidden_size), grid)
        # A plain attribute there, copied to the device at every step; a buffer moves with the model.
        del embeddings.position_embeddings
        embeddings.register_buffer("position_embeddings", positions.flatten(0, 2)[None], persistent=False)
        margin = grid[1] * patch_px - size_px
        self.padding = (0, margin, 0, margin, 0, grid[0] * TUBELET - num_slices)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, num_classes)."""
        if any(self.padding):
            x_BCTHW = pad(x_BCTHW, self.padding, mode="replicate")
        return self.network(pixel_values=x_BCTHW.transpose(1, 2)).logits


def build_full(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """VideoMAE-B as published (16 frames of 224 x 224), for windows of the given size.

    See ``chestct.models.build_model``.
    """
    return VideoMAE(num_slices, size_px, num_classes, patch_px=16)


def build_narrow(num_slices: int, size_px: int, num_classes: int) -> nn.Module:
    """VideoMAE in narrow form: 48 instead of 768 features, 4 instead of 12 blocks, tubelets of 2 x 8 x 8.

    Fits windows of the given size. See ``chestct.models.build_model``.
    """
    return VideoMAE(
        num_slices,
        size_px,
        num_classes,
        patch_px=8,
        hidden_size=48,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
    )
