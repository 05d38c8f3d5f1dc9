"""Opens and writes the HDF5 files of ``volume_store``; each failure becomes one message."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from chestct.errors import InputError
from chestct.files import atomic_path

#: Files of HDF5 1.10, the first version with checksums over all that leads to the data.
_LIBVER = ("v110", "v110")
#: What h5py raises for damaged files, depending on where the damage is.
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)


@contextmanager
def write_errors(path: str | Path) -> Iterator[None]:
    """Turn the errors of a full disk and the like into one message about the shard that is written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"a shard cannot be written: {error}",
            where=path,
            expected="permission to write, and room on the disk",
            remedy="make room and run again; scans that are converted already are kept",
        ) from error


class _Disk(io.FileIO):
    """A file that keeps its first failure for later, since HDF5 crashes on an error while it writes."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        rest = memoryview(content)
        while self.error is None and len(rest):
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return len(content)

    def readinto(self, buffer: Any) -> int:
        if self.error is None:
            return super().readinto(buffer)
        return len(buffer)


@contextmanager
def new_shard(path: str | Path) -> Iterator[h5py.File]:
    """Open a new shard, which appears whole or not at all."""
    with (
        atomic_path(path, private=True) as temporary,
        write_errors(path),
        _Disk(str(temporary), "w+") as disk,
    ):
        try:
            with h5py.File(disk, "w", libver=_LIBVER) as file:
                yield file
        finally:
            if disk.error is not None:
                raise disk.error


def open_shard(path: str | Path) -> h5py.File:
    """Open a shard for reading, without a lock: shards appear whole, and some file systems have no locks.

    Raises:
        InputError: it does not open.
    """
    try:
        # A slice is a chunk and is read once: a cache of chunks would only take memory.
        return h5py.File(path, "r", rdcc_nbytes=0, locking=False)
    except OSError as error:
        raise _unopened(path, error) from error


def _unopened(path: str | Path, error: OSError) -> InputError:
    """The message for a shard that does not open; HDF5's own errors seldom tell what the system said."""
    what, expected, remedy = (
        f"volume shard does not open: {error}",
        "an HDF5 file written by the volumes step",
        remedy_of(path),
    )
    try:
        with open(path, "rb"):
            pass
    except OSError as cause:
        what = f"volume shard cannot be read: {cause.strerror}"
        if cause.errno in (errno.EMFILE, errno.ENFILE):
            expected = "fewer open files than the system's limit (ulimit -n)"
            remedy = "raise that limit, or lower training.num_workers; the shard itself is not at fault"
        elif cause.errno in (errno.EACCES, errno.EPERM):
            expected, remedy = "a file that this user may read", "give this user permission to read it"
    return InputError(what, where=path, expected=expected, remedy=remedy)


def remedy_of(path: str | Path) -> str:
    """What helps against a damaged shard."""
    return f"write it again: snakemake --cores all --forcerun {path} (with the study's --configfile)"


@contextmanager
def damage_named(path: str | Path, study_id: str) -> Iterator[None]:
    """Turn the errors of h5py into one that names the scan."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"voxels of scan {study_id} are damaged: {error}",
            where=path,
            expected="an undamaged shard",
            remedy=remedy_of(path),
        ) from error
