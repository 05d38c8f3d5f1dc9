"""The input kernel against ``to_input(augment(...))``: run with TRITON_INTERPRET=1, which needs no GPU.

By ``test_device_input.py``, in a process of its own: Triton looks at the variable as it is imported.
"""

import os
from dataclasses import replace

import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from chestct.errors import InputError
from chestct.intensity import AIR_HU
from chestct.training.windows import device_input
from chestct.training.windows.augmentation import augment, random_theta
from chestct.training.windows.device_input import fused_input
from chestct.training.windows.display_window import InputSettings, centre_crop, to_input

SETTINGS = InputSettings(
    crop_px=12,
    max_rotation_degrees=20.0,
    max_shift_px=None,
    flip=True,
    interpolation="bilinear",
    centre_hu=40.0,
    width_hu=1500.0,
    fill=AIR_HU,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.double() - theirs).norm() / theirs.norm())


def windows(shape: tuple[int, ...], *, noise: float) -> torch.Tensor:
    """Stored values that vary smoothly, and noise."""
    generator = torch.Generator().manual_seed(0)
    axes = [torch.arange(length) / (3.0 + 2 * axis) for axis, length in enumerate(shape)]
    smooth = sum(torch.sin(grid) for grid in torch.meshgrid(*axes, indexing="ij"))
    return (smooth * 200 + noise * torch.randn(shape, generator=generator)).round().to(torch.int16)


@settings(
    max_examples=2, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(12, 16), st.integers(12, 16)),
    degrees=st.sampled_from([0.0, 20.0, 180.0]),
    channels_last=st.booleans(),
    shift=st.sampled_from([None, 0.0, 1.5]),
    fill=st.sampled_from([AIR_HU, 0]),
)
@example(shape=(2, 5, 16, 13), degrees=20.0, channels_last=True, shift=None, fill=AIR_HU)
def the_kernel_gives_what_the_plain_way_gives(
    shape: tuple[int, int, int, int], degrees: float, channels_last: bool, shift: float | None, fill: int
) -> None:
    chosen = replace(SETTINGS, max_rotation_degrees=degrees, max_shift_px=shift, fill=fill)
    stored = windows(shape, noise=0)
    theta = random_theta(shape[0], *shape[2:], chosen, torch.Generator().manual_seed(1))
    found = fused_input(stored, theta, chosen, dtype=torch.float32, channels_last=channels_last)
    plain = to_input(augment(stored, chosen, torch.Generator().manual_seed(1)), chosen)
    assert found.shape == plain.shape and relative(found, plain.double()) < 1e-6
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)
    crop = fused_input(stored, None, chosen, dtype=torch.float32, channels_last=channels_last)
    assert torch.equal(crop, to_input(centre_crop(stored, chosen.crop_px), chosen))


def noise_is_interpolated_more_exactly_than_in_float32() -> None:
    stored = windows((2, 3, 15, 15), noise=600)
    theta = random_theta(2, 15, 15, SETTINGS, torch.Generator().manual_seed(1))
    grid = F.affine_grid(theta.double(), [2, 1, 12, 12], align_corners=False)
    above = stored.double() - AIR_HU
    exact = to_input(F.grid_sample(above, grid, align_corners=False) + AIR_HU, SETTINGS).double()
    found = fused_input(stored, theta, SETTINGS, dtype=torch.float32, channels_last=True)
    plain = to_input(augment(stored, SETTINGS, torch.Generator().manual_seed(1)), SETTINGS)
    ours, theirs = relative(found, exact), relative(plain, exact)
    assert ours < 5e-7 and 2 * ours < theirs < 1e-5  # 1.3e-7 and, by processor, 6.6e-7 to 6.8e-7
    rounded = fused_input(stored, theta, SETTINGS, dtype=torch.bfloat16, channels_last=True)
    assert rounded.dtype == torch.bfloat16 and relative(rounded, exact) < 5e-3


def a_wrong_input_ends_the_job() -> None:
    """At the first window of its kind."""
    stored, right = windows((2, 3, 15, 15), noise=0), device_input.to_input
    theta = random_theta(2, 15, 15, SETTINGS, torch.Generator().manual_seed(1))
    device_input.to_input = lambda values, settings: 1.1 * right(values, settings)
    for way in (theta, None):
        device_input._compared.clear()
        try:
            fused_input(stored, way, SETTINGS, dtype=torch.bfloat16, channels_last=True)
        except InputError as error:
            assert "bfloat16" in error.what and "fast_forms" in str(error)
        else:
            raise AssertionError("no error")


if __name__ == "__main__":
    assert os.environ["TRITON_INTERPRET"] == "1"
    torch.set_num_threads(1)
    device_input._BLOCK, device_input._SLICES = 128, 4  # of a few pixels several programs
    the_kernel_gives_what_the_plain_way_gives()
    noise_is_interpolated_more_exactly_than_in_float32()
    a_wrong_input_ends_the_job()
