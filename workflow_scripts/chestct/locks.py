"""Locks between processes, by files; passed over on file systems that have none."""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
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
