"""The input that benchmarks of training give to models. Apart from setting.py, since this imports torch."""

from chestct.catalogue import MODELS
from chestct.intensity import AIR_HU
from chestct.training.windows.display_window import InputSettings


def training_input(model: str, crop_px: int) -> InputSettings:
    """Augmentation and lung window of the studies, with the normalisation of a model."""
    return InputSettings(
        crop_px=crop_px,
        max_rotation_degrees=20.0,
        max_shift_px=None,
        flip=True,
        interpolation="bilinear",
        centre_hu=-600.0,
        width_hu=1500.0,
        fill=AIR_HU,
        mean=MODELS[model].mean,
        std=MODELS[model].std,
    )
