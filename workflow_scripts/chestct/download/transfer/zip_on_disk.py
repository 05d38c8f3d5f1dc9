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
#: A member that is read into memory is at most as long: a slice has half a megabyte, RSPECT's table 0.3 GB.
MAX_MEMBER_BYTES = 1 << 30


def read_member(file: zipfile.ZipFile, name: str, most: int = MAX_MEMBER_BYTES) -> bytes:
    """A member's content, of which no more is unpacked than ``most`` bytes.

    Raises:
        zipfile.BadZipFile: it announces more.
        OSError, MEMBER_ERRORS: it is damaged, or cannot be read.
    """
    announced = file.getinfo(name).file_size  # of which zipfile unpacks no more
    if announced > most:
        raise zipfile.BadZipFile(f"{announced} bytes unpacked, expected at most {most}")
    return file.read(name)


def open_zip(path: Path, *, expected: str, remedy: str, where: str | None = None) -> zipfile.ZipFile:
    """Open an archive to read members.

    Args:
        path: of the archive.
        expected, remedy: for the message where it does not open.
        where: for that message, if not the path.

    Raises:
        InputError: it is not a complete zip archive.
    """
    try:
        return zipfile.ZipFile(path)
    except DIRECTORY_ERRORS as error:
        raise InputError(
            f"the archive does not open: it is not a complete zip archive: {error}",
            where=where or path,
            expected=expected,
            remedy=remedy,
        ) from error
