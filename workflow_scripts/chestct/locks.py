"""Locks between processes, by files; passed over on file systems that have none."""

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; the lock ends with the process, however that ends.

    Where the file system has no locks, a warning says so and nobody waits: callers write whole files only,
    so that at worst work is done twice.

    Args:
        path: of the file that is locked, made if it is not there, and left.

    Raises:
        OSError: the file cannot be opened, or not be locked for another reason.
    """
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logging.warning("%s: the file system has no locks (%s)", path.parent, error.strerror)
        yield
