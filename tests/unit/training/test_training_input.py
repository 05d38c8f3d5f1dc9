"""Full-size windows take another way on a CPU and come to the same."""

import dataclasses

import numpy as np
import pytest
import torch
from engine_data import LUNG
from scipy import ndimage

from chestct.training.windows.augmentation import augment
from chestct.training.windows.display_window import normalise, to_input
from chestct.training.windows.training_input import _LARGE, TrainingInput
from chestct.volume_store import AIR_HU

IMAGENET = dataclasses.replace(LUNG, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def windows(batch=1, slices=8, height=256, width=256, seed=0):
    """Smooth structures up to the edge, so that what enters from outside shows."""
    coarse = np.random.default_rng(seed).normal(size=(batch, slices, height // 16, width // 16))
    smooth = ndimage.zoom(coarse, (1, 1, 16, 16), order=1) * 700
    return torch.from_numpy(np.clip(smooth, AIR_HU, 3000).astype(np.int16))


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("settings", [LUNG, IMAGENET])
@pytest.mark.parametrize(("shape", "crop"), [((1, 9, 256, 256), 224), ((2, 11, 240, 208), 192)])
def test_full_size_windows_are_what_augment_gives(interpolation, settings, shape, crop):
    hu = windows(*shape)
    assert hu[0].numel() >= _LARGE
    settings = dataclasses.replace(settings, crop_px=crop, interpolation=interpolation)
    fast, random = TrainingInput(settings, generator()), generator()
    for _ in range(2):
        expected = to_input(augment(hu, settings, random), settings)
        # grid_sample takes places in float32, which moves steep edges by some hundredths of an HU.
        assert torch.allclose(fast(hu), expected, atol=3e-4)


def test_small_windows_and_their_parameters_are_the_same_to_the_bit():
    hu = windows(8, 16, 48, 48)
    settings = dataclasses.replace(LUNG, crop_px=32)
    fast, random = TrainingInput(settings, generator()), generator()
    for _ in range(3):
        assert torch.equal(fast(hu), to_input(augment(hu, settings, random), settings))


def test_a_flip_is_a_flip():
    hu = windows(6)
    settings = dataclasses.replace(LUNG, max_rotation_degrees=0.0, crop_px=256)
    out = TrainingInput(settings, generator())(hu)[:, 0]
    plain = to_input(hu.float(), settings)[:, 0]
    flipped = [torch.allclose(one, other.flip(-1), atol=1e-4) for one, other in zip(out, plain, strict=True)]
    straight = [torch.allclose(one, other, atol=1e-4) for one, other in zip(out, plain, strict=True)]
    assert [a != b for a, b in zip(flipped, straight, strict=True)] == [True] * 6
    assert any(flipped) and any(straight)


def test_what_enters_from_outside_is_air():
    hu = torch.full((2, 8, 256, 256), 100, dtype=torch.int16)
    settings = dataclasses.replace(LUNG, crop_px=256, max_rotation_degrees=45.0, mean=(0,) * 3, std=(1,) * 3)
    out = TrainingInput(settings, generator())(hu)
    air = (AIR_HU + 1350) / 1500
    assert np.allclose(out[:, :, :, [0, 0, -1, -1], [0, -1, 0, -1]], air, atol=1e-5)
    assert out.min().item() == pytest.approx(air, abs=1e-5)
    assert out[:, :, :, 128, 128].min().item() == pytest.approx((100 + 1350) / 1500, abs=1e-5)


def test_normalisation_is_that_of_every_channel():
    values = torch.rand((2, 4, 8, 8), generator=generator())
    means, stds = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    assert torch.equal(normalise(values, IMAGENET.mean, IMAGENET.std), (values.unsqueeze(1) - means) / stds)


def test_the_display_window_leaves_its_argument_alone():
    hu = windows().float()
    before = hu.clone()
    to_input(hu, LUNG)
    assert torch.equal(hu, before)
