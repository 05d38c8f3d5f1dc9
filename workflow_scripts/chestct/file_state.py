"""What a file or a folder of files looks like from outside, by which a change shows without reading it, and a
digest of what is in it."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from chestct.files import digest_object

#: Headers of volumes whose voxels lie in another file of the same stem.
_DETACHED = {".mhd", ".nhdr", ".hdr"}
_BLOCK = 1 << 20


def files_state(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a file, or of every file in a folder and in those inside.

    Beside a header whose voxels lie in a file of their own, that file counts, too. Nothing where the path
    does not exist or cannot be listed; an entry that leads nowhere has size -1.
    """
    if not path.exists():
        return []
    try:
        return sorted((name, *_size_and_time(file)) for name, file in _files(path))
    except OSError:
        return []


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError:  # a link to nothing, such as to a file that was not fetched
        return -1, 0
    return state.st_size, state.st_mtime_ns


def files_digest(path: Path) -> str:
    """Digest of the names and contents of the same files: CRC-32, which is as fast as memory; no signature.

    What is no file (a link to nothing, a pipe, whose reading would wait for ever) or cannot be read has no
    content: the conversion says what is wrong with it.

    Raises:
        OSError: the path is a header that cannot be read.
    """
    contents = sorted((name, *_size_and_crc(file)) for name, file in _files(path))
    return digest_object(contents)


def _size_and_crc(file: Path) -> tuple[int, int]:
    size, crc32 = 0, 0
    if not file.is_file():
        return -1, 0
    try:
        with open(file, "rb", buffering=0) as stream:
            while block := stream.read(_BLOCK):
                size, crc32 = size + len(block), zlib.crc32(block, crc32)
    except OSError:
        return -1, 0
    return size, crc32


def _named_by(header: Path) -> Iterator[Path]:
    """A header, and files beside it of its stem or that it names; all of them where it names a pattern."""
    with open(header, "rb") as stream:
        text = stream.read(_BLOCK).decode("latin-1")
    stem = header.name[: -len(header.suffix)]
    for file in header.parent.iterdir():
        if "%" in text or file.name in text or file.name.startswith(f"{stem}."):
            yield file


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), path), Path(folder, name)  # noqa: PTH118
    elif path.suffix.lower() in _DETACHED:
        yield from ((file.name, file) for file in _named_by(path))
    else:
        yield path.name, path
