"""From HU to what a model sees and says: augmentation, display window, normalisation, logits.

Shape suffixes: B batch, C channel, T slices (z), H rows (y), W columns (x).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from chestct.catalogue import MODELS
from chestct.training.settings import TrainingSettings
from chestct.volume_store import AIR_HU


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """How HU become a model's input.

    Attributes:
        crop_px: rows and columns that the model sees.
        max_rotation_degrees: of the random rotation in training, in plane.
        flip: random left-right flips in training.
        interpolation: of the random rotation, bilinear or bicubic.
        centre_hu, width_hu: display window; values are clipped to [0, 1] over it.
        mean, std: normalisation after the display window, a value a channel.
    """

    crop_px: int
    max_rotation_degrees: float
    flip: bool
    interpolation: str
    centre_hu: float
    width_hu: float
    mean: Sequence[float]
    std: Sequence[float]

    @classmethod
    def of_model(
        cls, model: str, settings: TrainingSettings, display_window_hu: Mapping[str, float]
    ) -> "InputSettings":
        """What a model of the catalogue sees of a dataset.

        Args:
            model: its name; the catalogue has its normalisation.
            settings: of its training.
            display_window_hu: centre and width, of the dataset.
        """
        return cls(
            crop_px=settings.crop_px,
            max_rotation_degrees=settings.max_rotation_degrees,
            flip=settings.flip,
            interpolation=settings.interpolation,
            centre_hu=display_window_hu["centre"],
            width_hu=display_window_hu["width"],
            mean=MODELS[model].mean,
            std=MODELS[model].std,
        )


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
    shift_x = (uniform[:, 1] * 2 - 1) * (width - crop) / width
    shift_y = (uniform[:, 2] * 2 - 1) * (height - crop) / height
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


def augment(hu_BTHW: torch.Tensor, settings: InputSettings, generator: torch.Generator) -> torch.Tensor:
    """Random crop, rotation and flip, every window with its own parameters, interpolated once.

    Works in HU, so that what enters from outside the image is air and not some grey.

    Args:
        hu_BTHW: windows in HU.
        settings: sizes and limits.
        generator: source of the parameters (CPU).

    Returns:
        Float windows, (B, T, crop_px, crop_px), HU.
    """
    batch, _, height, width = hu_BTHW.shape
    crop = settings.crop_px
    theta = random_theta(batch, height, width, settings, generator).to(hu_BTHW.device)
    grid = F.affine_grid(theta, [batch, 1, crop, crop], align_corners=False)
    above_air = hu_BTHW.float() - AIR_HU
    turned = F.grid_sample(
        above_air, grid, mode=settings.interpolation, padding_mode="zeros", align_corners=False
    )
    return turned + AIR_HU


def centre_crop(hu_BTHW: torch.Tensor, crop_px: int) -> torch.Tensor:
    """The central crop_px rows and columns, as float HU."""
    top = (hu_BTHW.shape[-2] - crop_px) // 2
    left = (hu_BTHW.shape[-1] - crop_px) // 2
    return hu_BTHW[..., top : top + crop_px, left : left + crop_px].float()


def normalise(values_BTHW: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Repeat grey values in [0, 1] over three channels and normalise: (B, 3, T, H, W)."""
    batch, *size = values_BTHW.shape
    means, stds = (torch.tensor(values, device=values_BTHW.device) for values in (mean, std))
    out = torch.empty((batch, 3, *size), dtype=values_BTHW.dtype, device=values_BTHW.device)
    for channel in range(3):
        torch.sub(values_BTHW, means[channel], out=out[:, channel]).div_(stds[channel])
    return out


def to_input(hu_BTHW: torch.Tensor, settings: InputSettings) -> torch.Tensor:
    """Apply the display window to float HU and normalise: (B, 3, T, H, W)."""
    low = settings.centre_hu - settings.width_hu / 2
    # In place: at full size every copy more is as slow as the arithmetic.
    values = (hu_BTHW - low).div_(settings.width_hu).clamp_(0, 1)
    return normalise(values, settings.mean, settings.std)


def score_windows(model: nn.Module, hu_BTHW: torch.Tensor, settings: InputSettings) -> torch.Tensor:
    """Logits of windows, centre-cropped: shape (B,)."""
    return model(to_input(centre_crop(hu_BTHW, settings.crop_px), settings)).squeeze(1)
