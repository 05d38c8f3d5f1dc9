"""A random window of 32 slices as the tensor that a model trains on: read, normalised, cropped, rotated."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
import usual_way
from conversion import convert_ours, convert_usual
from model_input import training_input
from setting import best_seconds, emit, real_series, scratch

from chestct.training.windows.training_input import TrainingInput
from chestct.volume_store import WindowReader

_SLICES = 32
_REPEATS = 40
#: The paper's size.
_SETTINGS = training_input("slow_r50", 224)


class Usual:
    """Windows of the float32 file."""

    def __init__(self, path: Path) -> None:
        self.file = h5py.File(path)
        self.rng = np.random.default_rng(0)

    def __call__(self) -> torch.Tensor:
        start = int(self.rng.integers(len(self.file["s0"]) - _SLICES))
        window = usual_way.window(
            self.file,
            "s0",
            start,
            self.rng,
            num_slices=_SLICES,
            crop_px=_SETTINGS.crop_px,
            low_hu=_SETTINGS.centre_hu - _SETTINGS.width_hu / 2,
            width_hu=_SETTINGS.width_hu,
            degrees=_SETTINGS.max_rotation_degrees,
            mean=_SETTINGS.mean[0],
            std=_SETTINGS.std[0],
        )
        return torch.from_numpy(window)


class Ours:
    """Windows of the shard, as the training step makes them, checksums compared."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.reader = WindowReader()
        self.rng = np.random.default_rng(0)
        self.make_input = TrainingInput(_SETTINGS, torch.Generator().manual_seed(0))
        with h5py.File(path) as file:
            self.num_slices = len(file["s0"])

    def __call__(self) -> torch.Tensor:
        start = int(self.rng.integers(self.num_slices - _SLICES))
        hu_THW = self.reader.read(self.path, "s0", start, start + _SLICES)
        return self.make_input(torch.from_numpy(hu_THW)[None])[0]


def main() -> None:
    torch.set_num_threads(1)
    with scratch() as folder:
        series, words = real_series(folder)
        shard, usual = convert_ours([series], folder), Usual(convert_usual([series], folder))
        ways: dict[str, Callable[[], torch.Tensor]] = {"usual": usual, "ours": Ours(shard)}
        shapes = {name: tuple(way().shape) for name, way in ways.items()}
        assert set(shapes.values()) == {(3, _SLICES, _SETTINGS.crop_px, _SETTINGS.crop_px)}, shapes
        seconds = best_seconds(ways, _REPEATS)
        emit(
            f"Random window of {_SLICES} slices to a 3x{_SLICES}x224x224 tensor",
            baseline="float32 HDF5 by index list, NumPy, ndimage.rotate order 3",
            ours="WindowReader, TrainingInput (bilinear)",
            baseline_value=1000 * seconds["usual"].wall,
            our_value=1000 * seconds["ours"].wall,
            unit="ms",
            ratio=seconds["usual"].wall / seconds["ours"].wall,
            processor_ratio=seconds["usual"].processor / seconds["ours"].processor,
            must=10.0,
            aim=18.0,
            data=f"{words}, stored as 256x256, warm page cache",
        )


if __name__ == "__main__":
    main()
