import numpy as np
import pytest
import torch
from scipy import ndimage

from chestct.training.windows.augmentation import augment
from chestct.training.windows.display_window import InputSettings, centre_crop, to_input
from chestct.volume_store import AIR_HU


def settings(**changes):
    values = {
        "crop_px": 24,
        "max_rotation_degrees": 20.0,
        "flip": True,
        "interpolation": "bilinear",
        "centre_hu": -600.0,
        "width_hu": 1500.0,
        "mean": (0.45, 0.45, 0.45),
        "std": (0.225, 0.225, 0.225),
    }
    return InputSettings(**(values | changes))


def windows(batch=4, size=32, seed=0):
    noise = np.random.default_rng(seed).normal(size=(batch, 3, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2, 2)) * 2000
    return torch.from_numpy(np.clip(smooth - 500, -1024, 2000).astype(np.int16))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_without_rotation_and_flip_a_crop_is_a_piece_of_the_image():
    hu = windows(batch=1)
    plain = settings(max_rotation_degrees=0.0, flip=False, crop_px=32)
    assert torch.allclose(augment(hu, plain, generator()), hu.float(), atol=0.05)


def test_what_enters_from_outside_is_air():
    hu = torch.full((8, 2, 32, 32), 100, dtype=torch.int16)
    out = augment(hu, settings(crop_px=32, max_rotation_degrees=45.0), generator())
    assert out.min().item() == pytest.approx(AIR_HU)
    assert out.max().item() == pytest.approx(100, abs=0.01)


def test_a_rotation_equals_scipys_bilinear_rotation():
    hu = windows(batch=1, size=33)
    turned = augment(hu, settings(crop_px=33, flip=False), generator(3))
    uniform = torch.rand((1, 4), generator=generator(3))
    degrees = float((uniform[0, 0] * 2 - 1) * 20)
    expected = ndimage.rotate(
        hu[0].numpy().astype(float), degrees, axes=(1, 2), reshape=False, order=1, cval=AIR_HU
    )
    inside = np.s_[:, 8:25, 8:25]
    assert np.abs(turned[0].numpy()[inside] - expected[inside]).max() < 2


def test_windows_of_a_batch_have_their_own_parameters_and_slices_share_them():
    one = windows(batch=1)[:, :1]
    hu = one.expand(6, 3, -1, -1)
    out = augment(hu, settings(), generator())
    assert not torch.allclose(out[0], out[1])
    assert torch.allclose(out[:, 0], out[:, 2])


def test_the_same_generator_gives_the_same_windows():
    hu = windows()
    assert torch.equal(augment(hu, settings(), generator(5)), augment(hu, settings(), generator(5)))
    assert not torch.equal(augment(hu, settings(), generator(5)), augment(hu, settings(), generator(6)))


def test_centre_crop_takes_the_middle():
    hu = windows(batch=1)
    assert torch.equal(centre_crop(hu, 24), hu[..., 4:28, 4:28].float())


def test_display_window_and_normalisation():
    hu = torch.tensor([-2000.0, -1350.0, -600.0, 150.0, 900.0]).view(1, 5, 1, 1)
    out = to_input(hu, settings(mean=(0.0, 0.5, 0.0), std=(1.0, 0.5, 2.0)))
    assert out.shape == (1, 3, 5, 1, 1)
    assert out[0, 0, :, 0, 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert out[0, 1, :, 0, 0].tolist() == pytest.approx([-1, -1, 0, 1, 1])
    assert out[0, 2, :, 0, 0].tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.5])
