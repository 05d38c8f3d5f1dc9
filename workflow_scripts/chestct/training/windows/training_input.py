"""Training windows as model input: what ``to_input(augment(...))`` gives, sooner.

On a GPU one kernel makes it (``device_input``), for networks that want it so.

Large windows go four slices at a time through crop, rotation, display window and normalisation on a CPU, so
that they stay in the cache; memory is claimed once. Shape suffixes: B batch, C channel, T slices (z), H rows
(y), W columns (x).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from chestct.models.fast_forms import InputForm
from chestct.models.kernel_gpus import runs_kernels
from chestct.training.budget import Batches
from chestct.training.machine.device import computing_type
from chestct.training.windows.augmentation import augment, random_theta
from chestct.training.windows.device_input import fused_input
from chestct.training.windows.display_window import InputSettings, to_input

#: Voxels of a window from which on this way is the faster one; smaller ones do better a batch at once.
_LARGE = 1 << 19
#: Slices that share a pass: as many as OpenCV keeps in one register.
_GROUP = 4
#: Random numbers that a window's augmentation takes.
_NUMBERS_OF_A_WINDOW = 4


class TrainingInput:
    """Augments windows and makes them the model's input.

    Args:
        settings: sizes, limits, display window, normalisation.
        generator: source of the random parameters (CPU).
        form: how the network wants its input.
        precision: of the training: the kernel gives the type that first layers compute in.
    """

    def __init__(
        self,
        settings: InputSettings,
        generator: torch.Generator,
        form: InputForm | None = None,
        precision: str = "32-true",
    ) -> None:
        self.settings, self.form, self.dtype = settings, form or InputForm(), computing_type(precision)
        self.generator = generator
        self._buffers: dict[str, torch.Tensor] = {}
        channels = set(zip(settings.mean, settings.std, strict=True))
        self._same = len(channels) == 1
        # out = values * scale + shift, clipped: display window and normalisation (of one channel) in one.
        mean, std = channels.pop() if self._same else (0.0, 1.0)
        self._scale = 1 / (settings.width_hu * std)
        low = settings.centre_hu - settings.width_hu / 2
        self._shift = (-low / settings.width_hu - mean) / std
        self._limits = -mean / std, (1 - mean) / std

    def __call__(self, hu_BTHW: torch.Tensor) -> torch.Tensor:
        """Return the input, (B, 3, T, crop_px, crop_px); on a CPU the next call may write over it."""
        bilinear = self.settings.interpolation == "bilinear"
        if self.form.fused and bilinear and runs_kernels(hu_BTHW.device):
            batch, _, height, width = hu_BTHW.shape
            theta = random_theta(batch, height, width, self.settings, self.generator)
            return fused_input(
                hu_BTHW, theta, self.settings, dtype=self.dtype, channels_last=self.form.channels_last
            )
        on_cpu = hu_BTHW.device.type == "cpu" and bilinear
        if not on_cpu or hu_BTHW[0].numel() < _LARGE:
            return to_input(augment(hu_BTHW, self.settings, self.generator), self.settings)
        batch, slices, height, width = hu_BTHW.shape
        crop = self.settings.crop_px
        cv2.setNumThreads(torch.get_num_threads())
        theta = random_theta(batch, height, width, self.settings, self.generator)
        out_BCTHW = self._buffer("out", (batch, 3, slices, crop, crop))
        for window, matrix, out in zip(hu_BTHW, theta, out_BCTHW, strict=True):
            self._fill(window, pixel_matrix(matrix, (height, width), crop), out)
        return out_BCTHW

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Memory that stays claimed: fresh pages cost more than the arithmetic on them."""
        found = self._buffers.get(name)
        if found is None or found.shape != shape:
            found = self._buffers[name] = torch.empty(shape, dtype=dtype)
        return found

    def _fill(self, hu_THW: torch.Tensor, matrix: np.ndarray, out_CTHW: torch.Tensor) -> None:
        source, out = hu_THW.numpy(), out_CTHW.numpy()
        slices, crop = len(source), out.shape[-1]
        spare = self._buffer("spare", (crop, crop)).numpy()
        for start in range(0, slices, _GROUP):
            numbers = range(start, start + _GROUP)
            group = cv2.merge([source[min(i, slices - 1)] for i in numbers]).astype(np.float32)
            turned = cv2.warpAffine(
                group,
                matrix,
                (crop, crop),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=(self.settings.fill,) * _GROUP,
            )
            np.multiply(turned, np.float32(self._scale), out=turned)
            self._shift_and_clip(turned)
            cv2.split(turned, [out[0, i] if i < slices else spare for i in numbers])
            self._fill_channels(out_CTHW[:, start : start + _GROUP])

    def _shift_and_clip(self, values: np.ndarray) -> None:
        values += np.float32(self._shift)
        np.clip(values, *(np.float32(limit) for limit in self._limits), out=values)

    def _fill_channels(self, out: torch.Tensor) -> None:
        """Make the other two channels out of the first, shape (3, ...)."""
        if self._same:
            out[1:] = out[0]
            return
        for channel in (1, 2, 0):
            torch.sub(out[0], self.settings.mean[channel], out=out[channel]).div_(self.settings.std[channel])


def pixel_matrix(theta: torch.Tensor, size: tuple[int, int], crop: int) -> np.ndarray:
    """``F.affine_grid``'s matrix for pixel indices: (x, y, 1) of the crop to (x, y) of a (H, W) slice."""
    matrix = theta.numpy().astype(np.float64)
    sides = np.array(size[::-1])
    linear = matrix[:, :2] * sides[:, None] / crop
    # Index 0 lies at half a pixel, in grid units at 1 / side - 1.
    start = (matrix[:, :2].sum(axis=1) * (1 / crop - 1) + matrix[:, 2] + 1) * sides / 2 - 0.5
    return np.column_stack([linear, start])


class WindowInput:
    """Turns a piece of a batch of windows into the model's input and targets, on the windows' device.

    The generator lies on the CPU and draws for the whole batch, whatever piece of it is computed here.

    Args:
        settings: sizes and limits.
        batches: this process's piece of a batch.
        seed: of the augmentation.
        form: how the network wants its input (``chestct.models.fast_forms.input_form``).
        precision: of the training.
    """

    def __init__(
        self,
        settings: InputSettings,
        batches: Batches,
        *,
        seed: int,
        form: InputForm | None = None,
        precision: str = "32-true",
    ) -> None:
        self.batches = batches
        self.generator = torch.Generator().manual_seed(seed)
        self.training_input = TrainingInput(settings, self.generator, form, precision)

    def _pass_over(self, num_windows: int) -> None:
        torch.rand((num_windows, _NUMBERS_OF_A_WINDOW), generator=self.generator)

    def __call__(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (input_BCTHW, targets of shape (B, 1))."""
        hu_BTHW, labels = batch
        self._pass_over(self.batches.before)
        inputs = self.training_input(hu_BTHW)
        self._pass_over(self.batches.after)
        return inputs, labels.float().unsqueeze(1)
