"""Training windows as model input on a CPU: what ``to_input(augment(...))`` gives, sooner.

Large windows go four slices at a time through crop, rotation, display window and normalisation, so that
they stay in the cache; memory is claimed once. Shape suffixes: B batch, C channel, T slices (z), H rows
(y), W columns (x).
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from chestct.training.windows.augmentation import InputSettings, augment, random_theta, to_input
from chestct.volume_store import AIR_HU

#: Voxels of a window from which on this way is the faster one; smaller ones do better a batch at once.
_LARGE = 1 << 19
#: Slices that share a pass: as many as OpenCV keeps in one register.
_GROUP = 4
#: Of Keys's cubic convolution (1981), as in PyTorch.
_KEYS = -0.75


class TrainingInput:
    """Augments windows and makes them the model's input.

    Args:
        settings: sizes, limits, display window, normalisation.
        generator: source of the random parameters (CPU).
    """

    def __init__(self, settings: InputSettings, generator: torch.Generator) -> None:
        self.settings = settings
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
        if hu_BTHW.device.type != "cpu" or hu_BTHW[0].numel() < _LARGE:
            return to_input(augment(hu_BTHW, self.settings, self.generator), self.settings)
        batch, slices, height, width = hu_BTHW.shape
        crop = self.settings.crop_px
        cv2.setNumThreads(torch.get_num_threads())
        theta = random_theta(batch, height, width, self.settings, self.generator)
        out_BCTHW = self._buffer("out", (batch, 3, slices, crop, crop))
        fill = self._bilinear if self.settings.interpolation == "bilinear" else self._bicubic
        for window, matrix, out in zip(hu_BTHW, theta, out_BCTHW, strict=True):
            fill(window, pixel_matrix(matrix, (height, width), crop), out)
        return out_BCTHW

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Memory that stays claimed: fresh pages cost more than the arithmetic on them."""
        found = self._buffers.get(name)
        if found is None or found.shape != shape:
            found = self._buffers[name] = torch.empty(shape, dtype=dtype)
        return found

    def _bilinear(self, hu_THW: torch.Tensor, matrix: np.ndarray, out_CTHW: torch.Tensor) -> None:
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
                borderValue=(AIR_HU,) * _GROUP,
            )
            np.multiply(turned, np.float32(self._scale), out=turned)
            self._shift_and_clip(turned)
            cv2.split(turned, [out[0, i] if i < slices else spare for i in numbers])
            self._fill_channels(out_CTHW[:, start : start + _GROUP])

    def _bicubic(self, hu_THW: torch.Tensor, matrix: np.ndarray, out_CTHW: torch.Tensor) -> None:
        """Weighted sums of rows of a table of pixels: a row holds a pixel of all slices."""
        slices, height, width = hu_THW.shape
        crop, border = out_CTHW.shape[-1], 4
        pixels = self._buffer("pixels", (height, width, slices), torch.int16)
        cv2.transpose(hu_THW.reshape(slices, -1).numpy(), dst=pixels.view(-1, slices).numpy())
        table = self._buffer("table", (height + 2 * border, width + 2 * border, slices))
        table[:border] = table[-border:] = table[:, :border] = table[:, -border:] = AIR_HU
        table[border:-border, border:-border] = pixels
        rows_PK, weights_PK = cubic_taps(matrix, (height, width), crop, border)
        weights_PK *= self._scale
        flat_CTP = out_CTHW.view(3, slices, -1)
        block = 32 * crop
        for start in range(0, crop * crop, block):
            part = slice(start, start + block)
            turned_PT = F.embedding_bag(
                rows_PK[part], table.view(-1, slices), mode="sum", per_sample_weights=weights_PK[part]
            )
            self._shift_and_clip(turned_PT.numpy())
            cv2.transpose(turned_PT.numpy(), dst=flat_CTP[0, :, part].numpy())
            self._fill_channels(flat_CTP[:, :, part])

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


def _cubic_weights(fraction: np.ndarray) -> np.ndarray:
    """Weights of the four pixels around a place that lies this far behind the second, shape (4, ...)."""

    def near(t: np.ndarray) -> np.ndarray:
        return ((_KEYS + 2) * t - (_KEYS + 3)) * t * t + 1

    def far(t: np.ndarray) -> np.ndarray:
        return ((t - 5) * t + 8) * t * _KEYS - 4 * _KEYS

    return np.stack([far(fraction + 1), near(fraction), near(1 - fraction), far(2 - fraction)])


def cubic_taps(
    matrix: np.ndarray, size: tuple[int, int], crop: int, border: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and weights behind every pixel of a crop.

    Args:
        matrix: as ``pixel_matrix`` gives it.
        size: (H, W) of the slices.
        crop: rows and columns of the crop.
        border: pixels around the slices in the table that rows are numbered in, at least 4.

    Returns:
        Row numbers (int32) and weights (float32), shape (crop * crop, 16).
    """
    index = np.arange(crop)
    bases, weights = [], []
    for row, side in zip(matrix, size[::-1], strict=True):
        place = index * row[0] + (index * row[1] + row[2])[:, None]
        before = np.floor(place)
        weights.append(_cubic_weights((place - before).astype(np.float32)))
        # What lies further out has air all around it.
        bases.append(np.clip(before, -3, side + 1).astype(np.int32) + border - 1)
    stride = size[1] + 2 * border
    offsets = torch.arange(4, dtype=torch.int32)
    corners = torch.from_numpy(bases[1] * stride + bases[0])
    rows = corners.view(-1, 1) + (offsets[:, None] * stride + offsets).view(-1)
    products = np.empty((crop, crop, 4, 4), dtype=np.float32)
    for i in range(4):
        for j in range(4):
            np.multiply(weights[1][i], weights[0][j], out=products[..., i, j])
    return rows, torch.from_numpy(products).view(-1, 16)
