"""Random crop, rotation and flip of training windows.

Shape suffixes: B batch, T slices (z), H rows (y), W columns (x).
"""

import math

import torch
import torch.nn.functional as F

from chestct.training.windows.display_window import InputSettings


def random_theta(
    batch: int, height: int, width: int, settings: InputSettings, generator: torch.Generator
) -> torch.Tensor:
    """Draw a crop, a rotation and a flip for every window.

    Args:
        batch: number of windows.
        height, width: of their slices.
        settings: sizes and limits.
        generator: source of the parameters (CPU).

    Returns:
        Shape (batch, 2, 3): from the crop to the slice, in the units of ``F.affine_grid``.
    """
    crop = settings.crop_px
    uniform = torch.rand((batch, 4), generator=generator)
    angle = (uniform[:, 0] * 2 - 1) * math.radians(settings.max_rotation_degrees)
    # Offset of the crop's centre from the image's, in grid units (2 = the whole image).
    shift_x, shift_y = (
        (uniform[:, i] * 2 - 1) * _farthest(side - crop, settings.max_shift_px) / side
        for i, side in ((1, width), (2, height))
    )
    mirror = torch.where((uniform[:, 3] < 0.5) & torch.tensor(settings.flip), -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Unequal sides would shear a rotation given in grid units: scale by the aspect ratio.
    return torch.stack(
        [
            torch.stack([cos * crop / width * mirror, -sin * crop / width, shift_x], dim=1),
            torch.stack([sin * crop / height * mirror, cos * crop / height, shift_y], dim=1),
        ],
        dim=1,
    )


def _farthest(room: int, max_shift_px: float | None) -> float:
    """Twice the largest distance, px, of a crop's centre from that of an image that is larger by ``room``."""
    return room if max_shift_px is None else min(room, 2 * max_shift_px)


def augment(hu_BTHW: torch.Tensor, settings: InputSettings, generator: torch.Generator) -> torch.Tensor:
    """Random crop, rotation and flip, every window with its own parameters, interpolated once.

    Works in HU, so that what enters from outside the image is air and not some grey (of display images: in
    their values, and black).

    Args:
        hu_BTHW: windows in HU.
        settings: sizes and limits, and what fills from outside.
        generator: source of the parameters (CPU).

    Returns:
        Float windows, (B, T, crop_px, crop_px), HU.
    """
    batch, _, height, width = hu_BTHW.shape
    return turn(hu_BTHW, random_theta(batch, height, width, settings, generator), settings)


def turn(hu_BTHW: torch.Tensor, theta: torch.Tensor, settings: InputSettings) -> torch.Tensor:
    """As ``augment``, with the parameters that ``random_theta`` drew."""
    batch, crop = len(hu_BTHW), settings.crop_px
    if hu_BTHW.device.type == "cuda":
        # From pinned memory, so that nothing waits; in float64, since TF32 may be off by a tenth of a pixel.
        theta = theta.double().pin_memory().to(hu_BTHW.device, non_blocking=True)
    grid = F.affine_grid(theta, [batch, 1, crop, crop], align_corners=False).float()
    above_fill = hu_BTHW.float() - settings.fill
    turned = F.grid_sample(
        above_fill, grid, mode=settings.interpolation, padding_mode="zeros", align_corners=False
    )
    return turned + settings.fill
