"""A whole zip archive on disk, and what ``zipfile`` raises where it is damaged."""

import struct
import zipfile
import zlib
from pathlib import Path

from chestct.errors import InputError

#: Of a damaged directory; none of it is documented but the first.
DIRECTORY_ERRORS = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError, EOFError)
#: Of a damaged member (a disk that fails raises OSError).
MEMBER_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError)


def open_zip(path: Path, *, expected: str, remedy: str, where: str | None = None) -> zipfile.ZipFile:
    """Open an archive to read members.

    Args:
        path: of the archive.
        expected, remedy: for the message where it does not open.
        where: for that message, if not the path.

    Raises:
        InputError: it is no whole zip archive.
    """
    try:
        return zipfile.ZipFile(path)
    except DIRECTORY_ERRORS as error:
        raise InputError(
            f"the archive does not open, it is no whole zip archive: {error}",
            where=where or path,
            expected=expected,
            remedy=remedy,
        ) from error
