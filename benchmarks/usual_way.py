"""The usual way of doing it, as scripts of such studies do: what the benchmarks compare with."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pydicom
from scipy import ndimage


def convert(series: Path, target: Path, name: str, size_px: int) -> None:
    """pydicom in full, HU in float64, cv2 INTER_AREA, one float32 HDF5 dataset."""
    slices = [pydicom.dcmread(path) for path in sorted(series.glob("*.dcm"))]
    slices.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    planes = []
    for dataset in slices:
        hu = dataset.pixel_array.astype(np.float64) * float(dataset.RescaleSlope)
        hu += float(dataset.RescaleIntercept)
        planes.append(cv2.resize(hu, (size_px, size_px), interpolation=cv2.INTER_AREA))
    with h5py.File(target, "a") as file:
        file.create_dataset(name, data=np.stack(planes).astype(np.float32))


def window(
    file: h5py.File, name: str, start: int, rng: np.random.Generator, *, num_slices: int, crop_px: int,
    low_hu: float, width_hu: float, degrees: float, mean: float, std: float,
) -> np.ndarray:  # fmt: skip
    """Slices by a list of indices, display window, crop, scipy.ndimage.rotate (order 3), three channels."""
    hu = file[name][list(range(start, start + num_slices))]
    values = (np.clip(hu, low_hu, low_hu + width_hu) - low_hu) / width_hu
    y, x = rng.integers(0, hu.shape[1] - crop_px + 1, 2)
    values = values[:, y : y + crop_px, x : x + crop_px]
    angle = rng.uniform(-degrees, degrees)
    values = ndimage.rotate(values, angle, axes=(1, 2), reshape=False, order=3)
    values = (values - mean) / std
    return np.repeat(values[None], 3, axis=0).astype(np.float32)
