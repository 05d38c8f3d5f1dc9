"""Display images become a model's input as HU do, but what enters from outside them is black."""

from dataclasses import replace

import pytest
import torch
from engine_data import LUNG, SETTINGS

from chestct.catalogue import MODELS
from chestct.intensity import AIR_HU, DISPLAY, HU
from chestct.training.windows.augmentation import augment
from chestct.training.windows.display_window import InputSettings, to_input
from chestct.training.windows.training_input import TrainingInput

WINDOW = {"centre": 127.5, "width": 255}
GREY = replace(LUNG, crop_px=56, centre_hu=127.5, width_hu=255.0, fill=0, mean=(0.0,) * 3, std=(1.0,) * 3)


def windows(batch=6, slices=8, side=64, value=255):
    return torch.full((batch, slices, side, side), value, dtype=torch.int16)


def test_settings_follow_from_what_the_values_are():
    entry = MODELS["swin_narrow"]
    for intensity, fill in ((HU, AIR_HU), (DISPLAY, 0)):
        settings = InputSettings.of_model("swin_narrow", SETTINGS, WINDOW, intensity)
        assert (settings.fill, settings.mean) == (fill, entry.mean)
    with pytest.raises(KeyError):
        InputSettings.of_model("swin_narrow", SETTINGS, WINDOW, "grey")


def test_the_display_window_takes_grey_levels_to_the_unit_interval():
    values = torch.tensor([0, 51, 255]).reshape(1, 1, 1, 3).float()
    assert to_input(values, GREY)[0, 0].flatten().tolist() == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_corners_that_enter_are_black_and_no_darker(interpolation):
    settings = replace(GREY, interpolation=interpolation, max_rotation_degrees=45.0, crop_px=64)
    turned = augment(windows(), settings, torch.Generator().manual_seed(0))
    assert turned.max() <= 255 * 1.2
    assert turned[:, :, 0, 0].min() == 0
    # Filled with air, the edge would be 1,279 below white, and all of it cut off by the display window.
    if interpolation == "bilinear":
        assert turned.min() >= 0
        assert ((turned > 1) & (turned < 254)).any()


def test_black_images_stay_black():
    turned = augment(windows(value=0), GREY, torch.Generator().manual_seed(1))
    assert (turned == 0).all()


@pytest.mark.parametrize("fill", [0, AIR_HU])
def test_large_windows_take_the_other_way_to_the_same_input(fill):
    settings = replace(GREY, crop_px=224, max_rotation_degrees=30.0, fill=fill)
    values = torch.randint(0, 256, (2, 12, 224, 224), generator=torch.Generator().manual_seed(2))
    values = values.to(torch.int16)
    fast = TrainingInput(settings, torch.Generator().manual_seed(3))(values)
    plain = to_input(augment(values, settings, torch.Generator().manual_seed(3)), settings)
    torch.testing.assert_close(fast, plain, atol=0.02, rtol=0)
