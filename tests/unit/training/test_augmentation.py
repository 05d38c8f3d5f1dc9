"""Windows as a model sees them: augmentation, display window, and the way of full-size windows on a CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_data import LUNG
from scipy import ndimage

from chestct.intensity import AIR_HU
from chestct.training.windows.augmentation import augment, random_theta
from chestct.training.windows.display_window import centre_crop, normalise, to_input
from chestct.training.windows.training_input import _LARGE, TrainingInput

IMAGENET = replace(LUNG, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SMALL = replace(LUNG, crop_px=24)


def small_windows(batch=4, size=32, seed=0):
    noise = np.random.default_rng(seed).normal(size=(batch, 3, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2, 2)) * 2000
    return torch.from_numpy(np.clip(smooth - 500, -1024, 2000).astype(np.int16))


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def test_without_rotation_and_flip_a_crop_is_a_piece_of_the_image():
    hu = small_windows(batch=1)
    plain = replace(SMALL, max_rotation_degrees=0.0, flip=False, crop_px=32)
    assert torch.allclose(augment(hu, plain, generator()), hu.float(), atol=0.05)


def test_what_enters_from_outside_is_air():
    hu = torch.full((8, 2, 32, 32), 100, dtype=torch.int16)
    out = augment(hu, replace(SMALL, crop_px=32, max_rotation_degrees=45.0), generator())
    assert out.min().item() == pytest.approx(AIR_HU)
    assert out.max().item() == pytest.approx(100, abs=0.01)


def test_a_rotation_equals_scipys_bilinear_rotation():
    hu = small_windows(batch=1, size=33)
    turned = augment(hu, replace(SMALL, crop_px=33, flip=False), generator(3))
    uniform = torch.rand((1, 4), generator=generator(3))
    degrees = float((uniform[0, 0] * 2 - 1) * 20)
    expected = ndimage.rotate(
        hu[0].numpy().astype(float), degrees, axes=(1, 2), reshape=False, order=1, cval=AIR_HU
    )
    inside = np.s_[:, 8:25, 8:25]
    assert np.abs(turned[0].numpy()[inside] - expected[inside]).max() < 2


def test_windows_of_a_batch_have_their_own_parameters_and_slices_share_them():
    one = small_windows(batch=1)[:, :1]
    hu = one.expand(6, 3, -1, -1)
    out = augment(hu, SMALL, generator())
    assert not torch.allclose(out[0], out[1])
    assert torch.allclose(out[:, 0], out[:, 2])


def test_the_same_generator_gives_the_same_windows():
    hu = small_windows()
    assert torch.equal(augment(hu, SMALL, generator(5)), augment(hu, SMALL, generator(5)))
    assert not torch.equal(augment(hu, SMALL, generator(5)), augment(hu, SMALL, generator(6)))


def test_centre_crop_takes_the_middle():
    hu = small_windows(batch=1)
    assert torch.equal(centre_crop(hu, 24), hu[..., 4:28, 4:28].float())


def test_display_window_and_normalisation():
    hu = torch.tensor([-2000.0, -1350.0, -600.0, 150.0, 900.0]).view(1, 5, 1, 1)
    out = to_input(hu, replace(SMALL, mean=(0.0, 0.5, 0.0), std=(1.0, 0.5, 2.0)))
    assert out.shape == (1, 3, 5, 1, 1)
    assert out[0, 0, :, 0, 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert out[0, 1, :, 0, 0].tolist() == pytest.approx([-1, -1, 0, 1, 1])
    assert out[0, 2, :, 0, 0].tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.5])


# --- Full-size windows take another way on a CPU and come to the same


def windows(batch=1, slices=8, height=256, width=256, seed=0):
    """Smooth structures up to the edge, so that what enters from outside shows."""
    coarse = np.random.default_rng(seed).normal(size=(batch, slices, height // 16, width // 16))
    smooth = ndimage.zoom(coarse, (1, 1, 16, 16), order=1) * 700
    return torch.from_numpy(np.clip(smooth, AIR_HU, 3000).astype(np.int16))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("settings", [LUNG, IMAGENET])
@pytest.mark.parametrize(("shape", "crop"), [((1, 9, 256, 256), 224), ((2, 11, 240, 208), 192)])
def test_full_size_windows_are_what_augment_gives(interpolation, settings, shape, crop):
    hu = windows(*shape)
    assert hu[0].numel() >= _LARGE
    settings = replace(settings, crop_px=crop, interpolation=interpolation)
    fast, random = TrainingInput(settings, generator()), generator()
    for _ in range(2):
        found, expected = fast(hu), to_input(augment(hu, settings, random), settings)
        # grid_sample takes places in float32, which moves steep edges by some hundredths of an HU (2e-4).
        assert torch.allclose(found, expected, rtol=0, atol=2e-3)
        assert (found - expected).norm() < 1e-5 * expected.norm()  # 1e-6


def test_small_windows_and_their_parameters_are_the_same_to_the_bit():
    hu = windows(8, 16, 48, 48)
    settings = replace(LUNG, crop_px=32)
    fast, random = TrainingInput(settings, generator()), generator()
    for _ in range(3):
        assert torch.equal(fast(hu), to_input(augment(hu, settings, random), settings))


def test_a_flip_is_a_flip():
    hu = windows(6)
    settings = replace(LUNG, max_rotation_degrees=0.0, crop_px=256)
    out = TrainingInput(settings, generator())(hu)[:, 0]
    plain = to_input(hu.float(), settings)[:, 0]
    flipped = [torch.allclose(one, other.flip(-1), atol=1e-4) for one, other in zip(out, plain, strict=True)]
    straight = [torch.allclose(one, other, atol=1e-4) for one, other in zip(out, plain, strict=True)]
    assert [a != b for a, b in zip(flipped, straight, strict=True)] == [True] * 6
    assert any(flipped) and any(straight)


def test_normalisation_is_that_of_every_channel():
    values = torch.rand((2, 4, 8, 8), generator=generator())
    means, stds = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    assert torch.equal(normalise(values, IMAGENET.mean, IMAGENET.std), (values.unsqueeze(1) - means) / stds)


def test_the_display_window_leaves_its_argument_alone():
    hu = small_windows().float()
    before = hu.clone()
    to_input(hu, LUNG)
    assert torch.equal(hu, before)


@pytest.mark.parametrize(("limit", "expected"), [(None, 16), (3.5, 3.5), (0, 0), (40, 16)])
def test_a_crop_stays_as_near_the_centre_as_it_is_told(limit, expected):
    settings = replace(SMALL, crop_px=32, max_shift_px=limit)
    theta = random_theta(2000, 64, 80, settings, generator())
    # In grid units the whole image is 2.
    shift_x, shift_y = theta[:, 0, 2] * 80 / 2, theta[:, 1, 2] * 64 / 2
    assert shift_y.abs().max() == pytest.approx(expected, rel=0.01)
    assert shift_x.abs().max() == pytest.approx(24 if limit in (None, 40) else expected, rel=0.01)
