"""The volume store: one HDF5 file a shard, one dataset a scan, chunked by slice.

Layout of a shard::

    /{study_id}            int16 HU, shape (z, y, x), chunks (1, y, x), bitshuffle + LZ4
        attrs: spacing_mm (z, y, x), z_mm (z,), sha256, crc32 (z,), patient_id, series_id, of no HU intensity

z ascends in patient coordinates (feet to head). A run of slices is read without touching the rest.
Anything with HDF5 1.10 or later and the bitshuffle filter opens the file (docs/volume_store.md).

``sha256`` is of the voxels, little-endian. ``crc32`` is of every slice as it lies in the file (compressed),
compared whenever it is read. HDF5 keeps checksums of its structures in format 1.10, which is used here. So a
damaged byte either raises an error that names the scan, or lies where nothing is stored.
"""

import hashlib
import resource
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from chestct.errors import InputError
from chestct.intensity import HU
from chestct.open_scan import OpenScan, find_scan, intensity_of, read_text, stored_slice
from chestct.shard_files import damage_named, new_shard, open_shard


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A CT volume.

    Attributes:
        hu: int16, shape (z, y, x), z ascending from feet to head.
        spacing_mm: (z, y, x).
        z_mm: position of every slice along z, shape (z,).
        intensity: what the values are, hu or display (``chestct.intensity``).
    """

    patient_id: str
    study_id: str
    series_id: str
    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    z_mm: np.ndarray
    intensity: str = HU

    @cached_property
    def sha256(self) -> str:
        """Digest of the voxels, computed once."""
        return hashlib.sha256(np.ascontiguousarray(self.hu, dtype="<i2").data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class StoredScan:
    """A scan as it lies in a shard.

    Attributes:
        shape, spacing_mm: (z, y, x).
        z_mm: position of every slice.
        sha256: digest of the voxels.
        crc32: of every slice as stored.
        slices: the slices as stored.
        intensity: as of the volume.
    """

    patient_id: str
    study_id: str
    series_id: str
    shape: Sequence[int]
    spacing_mm: Sequence[float]
    z_mm: Sequence[float]
    sha256: str
    crc32: Sequence[int]
    slices: Sequence[bytes]
    intensity: str = HU


def write_shard(path: str | Path, volumes: Iterable[Volume]) -> None:
    """Write a shard whole or not at all; volumes are written as they come, so memory holds one at a time.

    Raises:
        InputError: the file can't be written.
    """
    with new_shard(path) as file:
        for volume in volumes:
            write_volume(file, volume)


def write_volume(file: h5py.File, volume: Volume) -> StoredScan:
    """Compress a volume into an open shard; returns what was stored."""
    assert volume.hu.dtype == np.int16 and volume.hu.ndim == 3
    dataset = _new_dataset(file, volume.study_id, volume.hu.shape, data=volume.hu)
    if len(volume.hu) == 1:
        dataset.flush()  # else HDF5 1.14 tells no size of a chunk that is the only one
    slices = [stored_slice(dataset, z) for z in range(len(volume.hu))]
    stored = StoredScan(
        patient_id=volume.patient_id,
        study_id=volume.study_id,
        series_id=volume.series_id,
        shape=volume.hu.shape,
        spacing_mm=[float(value) for value in volume.spacing_mm],
        z_mm=[float(value) for value in volume.z_mm],
        sha256=volume.sha256,
        crc32=[zlib.crc32(content) for content in slices],
        slices=slices,
        intensity=volume.intensity,
    )
    _write_attributes(dataset, stored)
    return stored


def write_stored(file: h5py.File, stored: StoredScan) -> None:
    """Write a scan that was stored in another shard, without compressing it again."""
    dataset = _new_dataset(file, stored.study_id, stored.shape)
    for z, content in enumerate(stored.slices):
        dataset.id.write_direct_chunk((z, 0, 0), content)
    _write_attributes(dataset, stored)


def _new_dataset(
    file: h5py.File, study_id: str, shape: Sequence[int], data: np.ndarray | None = None
) -> h5py.Dataset:
    return file.create_dataset(
        study_id,
        data=data,
        shape=tuple(shape),
        dtype=np.int16,
        chunks=(1, *shape[1:]),
        **hdf5plugin.Bitshuffle(cname="lz4"),
    )


def _write_attributes(dataset: h5py.Dataset, stored: StoredScan) -> None:
    dataset.attrs["spacing_mm"] = np.array(stored.spacing_mm)
    dataset.attrs["z_mm"] = np.array(stored.z_mm)
    dataset.attrs["crc32"] = np.array(stored.crc32, dtype=np.uint32)
    more = () if stored.intensity == HU else ("intensity",)
    for name in ("patient_id", "series_id", "sha256", *more):
        content = getattr(stored, name).encode()
        # Text of fixed length: HDF5 keeps that of variable length in a heap without checksums.
        dataset.attrs[name] = np.array(content, dtype=h5py.string_dtype("utf-8", max(len(content), 1)))


def list_scans(path: str | Path) -> list[str]:
    """The study_ids in a shard.

    Raises:
        InputError: the shard does not open, or its list of scans is damaged.
    """
    with open_shard(path) as file, damage_named(path, "(any)"):
        return list(file)


def read_slices(path: str | Path, study_id: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Read slices [start, stop) of one scan: int16 HU, shape (stop - start, y, x).

    Raises:
        InputError: the shard does not open, lacks the scan, or the voxels are damaged.
    """
    with open_shard(path) as file:
        scan = find_scan(file, path, study_id)
        with damage_named(path, study_id):
            return scan.read(*slice(start, stop).indices(len(scan.crc32))[:2])


def read_volume(path: str | Path, study_id: str) -> Volume:
    """Read one scan whole and verify its digest.

    Raises:
        InputError: as ``read_slices``, or the digest does not match.
    """
    with open_shard(path) as file:
        scan = find_scan(file, path, study_id)
        with damage_named(path, study_id):
            attrs = scan.dataset.attrs
            volume = Volume(
                patient_id=read_text(scan.dataset, "patient_id"),
                study_id=study_id,
                series_id=read_text(scan.dataset, "series_id"),
                hu=scan.read(0, len(scan.crc32)),
                spacing_mm=tuple(float(v) for v in attrs["spacing_mm"]),  # type: ignore[arg-type]
                z_mm=np.asarray(attrs["z_mm"], dtype=np.float64),
                intensity=intensity_of(scan.dataset),
            )
            expected = read_text(scan.dataset, "sha256")
            if volume.sha256 != expected:
                raise ValueError(f"digest {volume.sha256} instead of {expected}")
    return volume


def check_shard(path: str | Path) -> dict[str, str]:
    """Compare all that a shard holds with its checksums.

    Returns:
        What is wrong, by study_id; empty where nothing is.

    Raises:
        InputError: the shard does not open, or its list of scans is damaged.
    """
    problems = {}
    for study_id in list_scans(path):
        try:
            read_volume(path, study_id)
        except InputError as error:
            problems[study_id] = error.what
    return problems


class WindowReader:
    """Reads windows from shards through files that stay open in this process, as many as its limit lets.

    Safe to send to worker processes: open files are left behind and opened anew.
    """

    def __init__(self) -> None:
        self._files: dict[str, h5py.File] = {}
        self._scans: dict[tuple[str, str], OpenScan] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"_files": {}, "_scans": {}}

    def _open(self, path: str) -> h5py.File:
        """An open shard; the one that was opened first is closed where there would be too many."""
        if path not in self._files:
            # The process needs some for itself, and batches come through others.
            if len(self._files) >= max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4):
                oldest = next(iter(self._files))
                self._scans = {key: scan for key, scan in self._scans.items() if key[0] != oldest}
                self._files.pop(oldest).close()
            self._files[path] = open_shard(path)
        return self._files[path]

    def read(
        self, path: str, study_id: str, start: int, stop: int, num_slices: int | None = None
    ) -> np.ndarray:
        """Slices [start, stop) of a scan, int16 HU, shape (stop - start, y, x); past its end, air or black.

        Args:
            path: of the shard.
            study_id: of the scan.
            start, stop: the slices.
            num_slices: read at most; where there are more, the middle slice of each of as many equal parts.

        Raises:
            InputError: the shard does not open, lacks the scan, or the voxels are damaged.
        """
        scan = self._scans.get((path, study_id))
        if scan is None:
            scan = self._scans[path, study_id] = find_scan(self._open(path), path, study_id)
        end, *plane = scan.dataset.shape
        with damage_named(path, study_id):
            if num_slices is not None and stop - start > num_slices:
                middles = start + (2 * np.arange(num_slices) + 1) * (stop - start) // (2 * num_slices)
                return np.concatenate([scan.read(z, z + 1) for z in middles.tolist()])
            if stop <= end:
                return scan.read(start, stop)
            window = np.full((stop - start, *plane), scan.fill, dtype=np.int16)
            window[: end - start] = scan.read(start, end)
            return window
