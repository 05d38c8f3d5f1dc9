"""The files of voxels that a header names beside itself (``.mhd``, ``.nhdr``): place and length."""

import bz2
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from chestct.volumes.file_content import unfetched
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.volume_header import MAX_SIDE, wrong_length

_BLOCK = 1 << 20
#: ``slice%03d.raw 1 24 1``: a name with a number, its first and last value and its step.
_PATTERN = re.compile(r"(?P<name>[^%]*%0?\d{0,2}[di][^%]*?)\s+(?P<numbers>-?\d+\s+-?\d+(\s+-?\d+)?)(\s+\d+)?")


def listed_names(text: str) -> list[str] | None:
    """The names that a pattern with numbers stands for, at most one more than a volume may have slices.

    None where the text is no pattern.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    first, last, *step = (int(number[:9]) for number in match["numbers"].split())
    numbers = range(first, last + (1 if last >= first else -1), step[0] if step and step[0] else 1)
    return [match["name"] % number for number in numbers[: MAX_SIDE + 1]]


def data_path(header: Path, name: str) -> Path:
    """The file of voxels that a header names.

    Raises:
        RefusedScan: ``outside_file``, where it lies outside the header's folder or is a pipe or a device;
            ``missing_files``.
    """
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts or "\\" in name or PureWindowsPath(name).drive:
        raise RefusedScan(
            "outside_file",
            "the header names a file of voxels outside its own folder: put both into one folder, "
            "and name the file alone in the header",
        )
    path = header.parent / name
    try:
        missing = unfetched(path)
    except OSError as error:
        raise RefusedScan(
            "missing_files", f"the file of voxels that the header names: {error.strerror}"
        ) from error
    if missing is not None and "pipe" in missing:
        raise RefusedScan("outside_file", f"the header names {missing}: put its voxels into a file")
    if missing is not None or path.is_dir():
        raise RefusedScan(
            "missing_files", f"the file of voxels that the header names: {missing or 'a folder'}"
        )
    return path


def read_list(paths: Sequence[Path], num_files: int, num_bytes: int, skip: int) -> int:
    """Check that a list names as many files as there are slices, and that each holds one.

    Args:
        paths: of uncompressed voxels.
        num_files: that there must be.
        num_bytes: of voxels in all.
        skip: bytes before the voxels of each; -1: as many as there are more.

    Returns:
        CRC-32 of all voxels.

    Raises:
        RefusedScan: ``wrong_length``.
    """
    different = len(set(paths))
    if len(paths) != num_files or different != num_files:
        named = f"{different} different of {len(paths)}" if different != len(paths) else str(different)
        raise RefusedScan(
            "wrong_length",
            f"the header names {named} files of slices, and has {num_files} slices: correct it",
        )
    crc32 = 0
    for path in paths:
        crc32 = read_plain(path, 0, num_bytes // num_files, skip, crc32)
    return crc32


def read_plain(path: Path, start: int, num_bytes: int, skip: int, crc32: int = 0) -> int:
    """Check the length of uncompressed voxels, and go on with their CRC-32.

    Args:
        path: file that holds them.
        start, skip: bytes before them; skip -1: as many as there are more.
        num_bytes: expected.
        crc32: of what came before.

    Raises:
        RefusedScan: ``wrong_length``.
    """
    size = path.stat().st_size
    found = size - start - max(skip, 0)
    if found < num_bytes or (found > num_bytes and skip != -1):
        raise wrong_length(found, num_bytes)
    with open(path, "rb") as file:
        file.seek(size - num_bytes)
        while block := file.read(_BLOCK):
            crc32 = zlib.crc32(block, crc32)
    return crc32


def count_words(path: Path, start: int, expected: int) -> None:
    """Check that a text holds as many numbers as voxels are announced: of more, ITK reads the first.

    Args:
        path: file that holds them.
        start: where they start in it.
        expected: number of voxels.

    Raises:
        RefusedScan: ``wrong_length``.
    """
    found, before = 0, b" "
    with open(path, "rb") as file:
        file.seek(start)
        while found <= expected and (block := file.read(_BLOCK)):
            # A number that goes on from the block before begins no new one.
            found += len(block.split()) - (not before.isspace() and not block[:1].isspace())
            before = block[-1:]
    if found != expected:
        words = f"{'more' if found > expected else found} numbers, {expected} by the header"
        raise RefusedScan("wrong_length", f"{words}: copy the file again, or correct its header")


def read_packed(path: Path, start: int, num_bytes: int, packing: str, skip: int = 0) -> int:
    """Unpack voxels to their checksum, no more of them than announced, and count them.

    Args:
        path: file that holds them.
        start: where they start in it.
        num_bytes: expected once unpacked.
        packing: gzip, bzip2 or zlib (which may be gzip).
        skip: bytes to leave out of what is unpacked.

    Returns:
        CRC-32 of the voxels.

    Raises:
        RefusedScan: ``wrong_length``.
        OSError, EOFError, zlib.error: they are damaged.
    """
    openers: dict[str, Callable[[BinaryIO, int], Iterator[bytes]]] = {
        "gzip": lambda file, most: _blocks(gzip.GzipFile(fileobj=file).read, most),
        "bzip2": lambda file, most: _blocks(bz2.BZ2File(file).read, most),
        "zlib": inflated,
    }
    found, crc32 = -skip, 0
    with open(path, "rb") as file:
        file.seek(start)
        for block in openers[packing](file, num_bytes + skip + 1):
            crc32 = zlib.crc32(block[max(-found, 0) :], crc32)
            found += len(block)
    if found != num_bytes:
        raise wrong_length("more" if found > num_bytes else max(found, 0), num_bytes)
    return crc32


def _blocks(read: Callable[[int], bytes], most: int) -> Iterator[bytes]:
    """Blocks of at most so many bytes in all; the end is read, where a checksum is compared."""
    while most and (block := read(min(_BLOCK, most))):
        most -= len(block)
        yield block


def inflated(file: BinaryIO, most: int, wbits: int = 47) -> Iterator[bytes]:
    """Blocks of at most so many bytes in all, unpacked by zlib; 47: zlib or gzip, whichever it is.

    Raises:
        EOFError, zlib.error: they are damaged.
    """
    inflate = zlib.decompressobj(wbits=wbits)
    while not inflate.eof and most > 0:
        packed = inflate.unconsumed_tail or file.read(_BLOCK)
        block = inflate.decompress(packed, min(_BLOCK, most))  # of nothing: what is left over
        if not packed and not block:
            raise EOFError("the packed voxels end too early")
        most -= len(block)
        yield block
