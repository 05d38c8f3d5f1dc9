"""A scan in an open shard of ``volume_store``: found, and read with its checksums."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from chestct.errors import InputError
from chestct.intensity import FILL, HU
from chestct.near_words import near
from chestct.shard_files import damage_named, remedy_of

_SHOWN = 5


def read_text(dataset: h5py.Dataset, name: str) -> str:
    """An attribute of text."""
    value = dataset.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def intensity_of(dataset: h5py.Dataset) -> str:
    """What the values of a scan are (``chestct.intensity``)."""
    return read_text(dataset, "intensity") if "intensity" in dataset.attrs else HU


def stored_slice(dataset: h5py.Dataset, z: int) -> bytes:
    """The bytes of a slice as they lie in the file."""
    return dataset.id.read_direct_chunk((z, 0, 0))[1]


@dataclass(frozen=True)
class OpenScan:
    """An open scan, whose voxels are returned only if their checksums hold."""

    dataset: h5py.Dataset
    crc32: np.ndarray
    fill: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Slices [start, stop), checked: int16 HU."""
        for z in range(start, stop):
            if zlib.crc32(stored_slice(self.dataset, z)) != self.crc32[z]:
                raise ValueError(f"slice {z} does not match its checksum")
        return self.dataset[start:stop]


def not_there(path: str | Path, study_id: str, scans: Sequence[str], more: str = "") -> InputError:
    """The error of a scan that a shard lacks.

    Args:
        path: of the shard.
        study_id: that was asked for.
        scans: that the shard holds.
        more: what else may help.
    """
    similar = near(study_id, scans)
    shown = list(dict.fromkeys([*similar, *scans]))[:_SHOWN]
    listed = f"{', '.join(shown)}{', ...' * (len(scans) > _SHOWN)}"
    return InputError(
        f"scan {study_id} is not in its shard",
        where=path,
        expected=f"one of {len(scans)} scans: {listed}",
        remedy=(f"did you mean {similar[0]}? Else " if similar else "") + f"name one of them{more}",
    )


def find_scan(file: h5py.File, path: str | Path, study_id: str) -> OpenScan:
    """A scan of an open shard.

    Args:
        file: the shard.
        path: of the shard, for messages.
        study_id: of the scan.

    Raises:
        InputError: the shard lacks the scan, or what it says of it is damaged.
    """
    with damage_named(path, study_id):
        # HDF5 takes dots and slashes for ways through the file.
        if study_id in ("", ".") or "/" in study_id or study_id not in file:
            raise not_there(
                path, study_id, list(file), f"; where the study itself asks for this scan, {remedy_of(path)}"
            )
        dataset = file[study_id]
        crc32 = dataset.attrs["crc32"]
        if dataset.dtype != np.int16 or dataset.ndim != 3 or crc32.shape != dataset.shape[:1]:
            raise ValueError(f"shape {dataset.shape} of {dataset.dtype}, {crc32.shape} checksums")
        return OpenScan(dataset, crc32, FILL[intensity_of(dataset)])
