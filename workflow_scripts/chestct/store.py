"""The volume store: one HDF5 file a shard, one dataset a scan, chunked by slice.

Layout of a shard::

    /{study_id}            int16 HU, shape (z, y, x), chunks (1, y, x), bitshuffle + LZ4
        attrs: spacing_mm (z, y, x), z_mm (z,), sha256, patient_id, series_id

z ascends in patient coordinates (feet to head). A run of slices is read without touching the rest.
Any HDF5 reader with the hdf5plugin filters opens the file.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from chestct.errors import InputError
from chestct.files import atomic_path

#: Radiodensity of air, HU: what padding means anywhere in the study.
AIR_HU = -1024


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A CT volume.

    Attributes:
        hu: int16, shape (z, y, x), z ascending from feet to head.
        spacing_mm: (z, y, x).
        z_mm: position of every slice along z, shape (z,).
    """

    patient_id: str
    study_id: str
    series_id: str
    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    z_mm: np.ndarray

    def sha256(self) -> str:
        """Digest of the voxels."""
        return hashlib.sha256(np.ascontiguousarray(self.hu, dtype="<i2").data).hexdigest()


def write_shard(path: str | Path, volumes: Iterable[Volume]) -> None:
    """Write a shard whole or not at all.

    Args:
        path: file to write.
        volumes: any iterable; volumes are written as they come, so memory holds one at a time.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for volume in volumes:
            assert volume.hu.dtype == np.int16 and volume.hu.ndim == 3
            dataset = file.create_dataset(
                volume.study_id,
                data=volume.hu,
                chunks=(1, *volume.hu.shape[1:]),
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            dataset.attrs["spacing_mm"] = volume.spacing_mm
            dataset.attrs["z_mm"] = volume.z_mm
            dataset.attrs["sha256"] = volume.sha256()
            dataset.attrs["patient_id"] = volume.patient_id
            dataset.attrs["series_id"] = volume.series_id


def _open(path: str | Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"volume shard does not open: {error}",
            where=path,
            expected="an HDF5 file written by the volumes step",
            remedy="delete the file and rerun; the workflow writes it again",
        ) from error


def _decode(
    dataset: h5py.Dataset, path: str | Path, study_id: str, start: int, stop: int | None
) -> np.ndarray:
    try:
        return dataset[start:stop]
    except OSError as error:
        raise InputError(
            f"voxels of scan {study_id} do not decode: {error}",
            where=path,
            expected="an undamaged shard",
            remedy="delete the shard and rerun the volumes step",
        ) from error


def read_slices(path: str | Path, study_id: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Read slices [start, stop) of one scan: int16 HU, shape (stop - start, y, x).

    Raises:
        InputError: the shard does not open, lacks the scan, or the voxels do not decode.
    """
    with _open(path) as file:
        if study_id not in file:
            raise InputError(
                f"scan {study_id} is not in its shard",
                where=path,
                expected=f"one of {len(file)} scans",
                remedy="delete the shard and rerun the volumes step",
            )
        return _decode(file[study_id], path, study_id, start, stop)


def read_volume(path: str | Path, study_id: str) -> Volume:
    """Read one scan whole and verify its digest.

    Raises:
        InputError: as ``read_slices``, or the digest does not match.
    """
    hu = read_slices(path, study_id)
    with _open(path) as file:
        attrs = dict(file[study_id].attrs)
    volume = Volume(
        patient_id=str(attrs["patient_id"]),
        study_id=study_id,
        series_id=str(attrs["series_id"]),
        hu=hu,
        spacing_mm=tuple(float(v) for v in attrs["spacing_mm"]),  # type: ignore[arg-type]
        z_mm=np.asarray(attrs["z_mm"], dtype=np.float64),
    )
    if volume.sha256() != attrs["sha256"]:
        raise InputError(
            f"voxels of scan {study_id} do not match their digest",
            where=path,
            expected=str(attrs["sha256"]),
            remedy="delete the shard and rerun the volumes step",
        )
    return volume


class WindowReader:
    """Reads windows from shards through files that stay open in this process.

    Safe to send to worker processes: open files are left behind and opened anew.
    """

    def __init__(self) -> None:
        self._files: dict[str, h5py.File] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"_files": {}}

    def read(self, path: str, study_id: str, start: int, stop: int) -> np.ndarray:
        """Slices [start, stop) of a scan, int16 HU, shape (stop - start, y, x); past its end, air.

        Raises:
            InputError: the shard does not open, lacks the scan, or the voxels do not decode.
        """
        if path not in self._files:
            self._files[path] = _open(path)
        dataset = self._files[path].get(study_id)
        if dataset is None:
            return read_slices(path, study_id, start, stop)  # raises with the full message
        num_slices = dataset.shape[0]
        if stop <= num_slices:
            return _decode(dataset, path, study_id, start, stop)
        window = np.full((stop - start, *dataset.shape[1:]), AIR_HU, dtype=np.int16)
        window[: num_slices - start] = _decode(dataset, path, study_id, start, num_slices)
        return window
