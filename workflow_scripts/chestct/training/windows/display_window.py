"""HU as a model sees them: crop, display window, normalisation.

Shape suffixes: B batch, C channel, T slices (z), H rows (y), W columns (x).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from chestct.catalogue import MODELS
from chestct.intensity import FILL
from chestct.training.settings import FeatureSettings, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """How HU become a model's input.

    Attributes:
        crop_px: rows and columns that the model sees.
        max_rotation_degrees: of the random rotation in training, in plane.
        max_shift_px: of the random crop's centre from the image's; None: as far as the crop stays inside.
        flip: random left-right flips in training.
        interpolation: of the random rotation, bilinear or bicubic.
        centre_hu, width_hu: display window; values are clipped to [0, 1] over it.
        fill: what enters from outside an image, before the display window: air in HU, 0 of display images.
        mean, std: normalisation after the display window, a value a channel.
    """

    crop_px: int
    max_rotation_degrees: float
    max_shift_px: float | None
    flip: bool
    interpolation: str
    centre_hu: float
    width_hu: float
    fill: int
    mean: Sequence[float]
    std: Sequence[float]

    @classmethod
    def of_model(
        cls,
        model: str,
        settings: TrainingSettings | FeatureSettings,
        display_window_hu: Mapping[str, float],
        intensity: str,
    ) -> "InputSettings":
        """What a model of the catalogue sees of a dataset.

        Args:
            model: its name; the catalogue has its normalisation.
            settings: of its training, or of its features.
            display_window_hu: centre and width, of the dataset.
            intensity: what the dataset's values are, hu or display (``chestct.intensity``).
        """
        return cls(
            crop_px=settings.crop_px,
            max_rotation_degrees=settings.max_rotation_degrees,
            max_shift_px=settings.max_shift_px,
            flip=settings.flip,
            interpolation=settings.interpolation,
            centre_hu=display_window_hu["centre"],
            width_hu=display_window_hu["width"],
            fill=FILL[intensity],
            mean=MODELS[model].mean,
            std=MODELS[model].std,
        )


def centre_crop(hu_BTHW: torch.Tensor, crop_px: int) -> torch.Tensor:
    """The central crop_px rows and columns, as float HU."""
    top = (hu_BTHW.shape[-2] - crop_px) // 2
    left = (hu_BTHW.shape[-1] - crop_px) // 2
    return hu_BTHW[..., top : top + crop_px, left : left + crop_px].float()


@cache
def _on_device(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    # Once: a copy to a GPU waits until it is there.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)


def normalise(values_BTHW: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Repeat grey values in [0, 1] over three channels and normalise: (B, 3, T, H, W)."""
    batch, *size = values_BTHW.shape
    means, stds = (_on_device(tuple(values), values_BTHW.device) for values in (mean, std))
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
