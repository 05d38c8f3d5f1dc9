"""A network's input on a GPU: crop, rotation, display window, normalisation, type and layout in one kernel.

What it gives is ``to_input(augment(...))`` or ``to_input(centre_crop(...))``, to rounding. Where the kernel
(``input_kernel``) does not run, these do.

Shape suffixes: B batch, C channel, T slices (z), H rows (y), W columns (x).
"""

import torch
from torch import nn

from chestct.errors import InputError
from chestct.models.fast_forms import input_form
from chestct.models.kernel_gpus import runs_kernels
from chestct.training.windows.augmentation import turn
from chestct.training.windows.display_window import InputSettings, centre_crop, to_input

#: Pixels and slices that a program of the kernel makes; not yet timed on a GPU.
_BLOCK, _SLICES = 256, 8
#: Largest difference from the plain way, relative to its length; rounding to bf16 explains 0.002.
_LIMIT = 0.02
#: Devices, types, layouts and ways (turned or cropped) of which a first window was compared.
_compared: set[tuple[object, ...]] = set()


def pixel_matrices(theta: torch.Tensor, size: tuple[int, int], crop: int) -> torch.Tensor:
    """``F.affine_grid``'s matrices for pixel indices, as ``pixel_matrix``: (B, 2, 3), float64."""
    matrix = theta.double()
    sides = torch.tensor(size[::-1], dtype=torch.float64)
    linear = matrix[:, :, :2] * sides[:, None] / crop
    start = (matrix[:, :, :2].sum(dim=2) * (1 / crop - 1) + matrix[:, :, 2] + 1) * sides / 2 - 0.5
    return torch.cat([linear, start[:, :, None]], dim=2)


def fused_input(
    stored_BTHW: torch.Tensor,
    theta: torch.Tensor | None,
    settings: InputSettings,
    *,
    dtype: torch.dtype,
    channels_last: bool,
) -> torch.Tensor:
    """The input by the kernel.

    Args:
        stored_BTHW: windows as they are stored, on a device that runs the kernel.
        theta: of ``augmentation.random_theta``, on the CPU; None: the central crop.
        settings: sizes, display window, normalisation; interpolation is bilinear.
        dtype: of the input.
        channels_last: its layout.

    Returns:
        (B, 3, T, crop_px, crop_px).

    Raises:
        InputError: the first window of its kind in this process differs from the plain way's.
    """
    from chestct.training.windows.input_kernel import input_kernel

    stored_BTHW = stored_BTHW.contiguous()
    batch, slices, height, width = stored_BTHW.shape
    assert slices * height * width < 2**31, "a window has too many values"
    crop, device = settings.crop_px, stored_BTHW.device
    shape = (batch, slices, crop, crop, 3) if channels_last else (batch, 3, slices, crop, crop)
    out = torch.empty(shape, dtype=dtype, device=device)
    if theta is None:
        matrices = stored_BTHW  # is not read
    else:
        matrices = pixel_matrices(theta, (height, width), crop)
        if device.type == "cuda":  # from pinned memory, so that nothing waits
            matrices = matrices.pin_memory().to(device, non_blocking=True)
    tiles = -(-crop * crop // _BLOCK)
    input_kernel[(batch * -(-slices // _SLICES) * tiles,)](
        stored_BTHW, matrices, out, slices, height, width, (height - crop) // 2, (width - crop) // 2,
        float(settings.fill), settings.centre_hu - settings.width_hu / 2, float(settings.width_hu),
        *map(float, settings.mean), *map(float, settings.std),
        crop, theta is not None, channels_last, _SLICES, _BLOCK, num_warps=4,
    )  # fmt: skip
    found_BCTHW = out.permute(0, 4, 1, 2, 3) if channels_last else out
    kind = (device, dtype, channels_last, theta is None)
    if kind not in _compared:
        _compared.add(kind)
        _compare(found_BCTHW[:1], stored_BTHW[:1], None if theta is None else theta[:1], settings)
    return found_BCTHW


def _compare(
    found_BCTHW: torch.Tensor, stored_BTHW: torch.Tensor, theta: torch.Tensor | None, settings: InputSettings
) -> None:
    """Stop where the kernel gives other numbers than the plain way."""
    crop = settings.crop_px
    plain = centre_crop(stored_BTHW, crop) if theta is None else turn(stored_BTHW, theta, settings)
    expected = to_input(plain, settings)
    apart, length = float((found_BCTHW.float() - expected).norm()), float(expected.norm())
    if not apart <= _LIMIT * (length + 1):
        raise InputError(
            f"the kernel that makes a network's input gives other numbers than PyTorch, by {apart:.2g} of "
            f"{length:.2g}, on {found_BCTHW.device} in {str(found_BCTHW.dtype).removeprefix('torch.')}",
            where="the first window of this job",
            expected=f"a difference of at most {100 * _LIMIT:g} %, several times what rounding explains",
            remedy="set training.fast_forms to never, and report GPU, PyTorch and Triton",
        )


def score_windows(model: nn.Module, hu_BTHW: torch.Tensor, settings: InputSettings) -> torch.Tensor:
    """Logits of windows, centre-cropped: shape (B,); in the type that autocast asks for where it is on."""
    form, device = input_form(model), hu_BTHW.device
    if form.fused and runs_kernels(device):
        mixed = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if mixed else torch.float32
        inputs = fused_input(hu_BTHW, None, settings, dtype=dtype, channels_last=form.channels_last)
    else:
        inputs = to_input(centre_crop(hu_BTHW, settings.crop_px), settings)
    return model(inputs).squeeze(1)
