"""Locks between processes, by files; passed over on file systems that have none."""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def open_lock(path: str | Path, *, mode: int = 0o666, folder: int | None = None) -> int:
    """Open the file of a lock, made if it is not there: never one that a link leads to, and none is emptied.

    Args:
        path: of the file.
        mode: of a new file, before the umask.
        folder: descriptor of an open folder that a relative path starts from.

    Returns:
        Its descriptor.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, mode, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return handle


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Only one process at a time is inside; the lock ends with the process, however that ends.

    Where the file system has no locks, a warning says so and nobody waits: callers write whole files only,
    so that at worst work is done twice.

    Args:
        path: of the file that is locked, made if it is not there, and left.

    Yields:
        Whether there is a lock.

    Raises:
        OSError: the file cannot be opened, or not be locked for another reason.
    """
    handle = open_lock(path)
    try:
        there = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            there = False
            logging.warning("%s: the file system has no locks (%s)", path.parent, error.strerror)
        yield there
    finally:
        os.close(handle)


@contextmanager
def new_locked(path: Path, make: Callable[[Path], int] = open_lock) -> Iterator[None]:
    """Make a file or folder whose lock tells other processes that this one lives (``left_over``).

    Before it is locked another process may take it for a leftover and remove it: then it is made again. Where
    the file system has no locks, it is made all the same.

    Args:
        path: to make, a name of this process's own.
        make: makes it and returns its descriptor.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        handle = make(path)
        try:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_there(path, handle):
                yield
                return
        finally:
            os.close(handle)


def _is_there(path: Path, handle: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(handle))
    return False


@contextmanager
def left_over(path: Path) -> Iterator[None]:
    """Hold the lock of what a process made by ``new_locked`` that has ended since, so as to remove it.

    Raises:
        OSError: the process lives, the path is gone, or the file system has no locks.
    """
    # A lock on a network needs a file that is open for writing.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
