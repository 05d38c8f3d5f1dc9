"""The digest of what was obtained of a scan, which conversion compares: damage in between shows.

Sizes and CRC-32 of all files, since these are computed nearly as fast as memory is read; no signature. To
read every file once more would still take half as long as to convert it, so the state of the files (sizes
and times, that of the last change of the inode among them, which no program can set) is noted with the
digest: only where it is another are the files read.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from chestct.files import write_text

_BLOCK = 1 << 20
#: Folder, in a series' folder, of files that its source does not have.
SET_ASIDE = "not_in_index"


def content_digest(path: str | Path) -> str:
    """Digest of the names and the contents of a file, or of all files below a folder that are not hidden.

    Raises:
        OSError: a file cannot be read.
    """
    return digest_of((name, *_size_and_crc(file.path)) for name, file in _files_of(Path(path)))


def digest_of(files: Iterable[tuple[str, int, int]]) -> str:
    """The same digest, from the name below the folder, the size in bytes and the CRC-32 of every file."""
    return _digest(f"{name}\t{size}\t{crc32:08x}\n" for name, size, crc32 in files)


def state_of(path: str | Path) -> str:
    """Digest of the names, sizes and times of the same files; what is written to them changes it.

    Raises:
        OSError: a folder cannot be read.
    """
    states = ((name, file.stat()) for name, file in _files_of(Path(path)))
    return _digest(
        f"{name}\t{state.st_size}\t{state.st_mtime_ns}\t{state.st_ctime_ns}\t{state.st_ino}\n"
        for name, state in states
    )


def is_altered(path: str | Path, digest: str, state: str | None = None) -> bool:
    """Whether files are not those that were obtained.

    Args:
        path: of the file, or of the folder.
        digest: of the content (``content_digest``).
        state: that the files had then (``state_of``), if it is known; the same files are not read.

    Raises:
        OSError: a file cannot be read.
    """
    return state_of(path) != state and content_digest(path) != digest


def states_path(shard_path: str | Path) -> Path:
    """Where the states of a shard's files are noted, beside its table of what was obtained."""
    shard_path = Path(shard_path)
    return shard_path.with_name(f".{shard_path.stem}.states.json")


def write_states(shard_path: str | Path, states: Mapping[str, str]) -> None:
    """Note the states of the files of a shard, by series_id. They may get lost: then files are read."""
    write_text(states_path(shard_path), json.dumps(dict(states)), durable=False)


def read_states(shard_path: str | Path) -> dict[str, str]:
    """The states of the files of a shard, by series_id; empty where nothing is noted."""
    try:
        return dict(json.loads(states_path(shard_path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


class _File:
    """A path that is looked at like an entry of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def stat(self) -> os.stat_result:
        return os.stat(self.path)  # noqa: PTH116


def _files_of(path: Path) -> Iterator[tuple[str, "_File | os.DirEntry[str]"]]:
    if path.is_file():
        yield path.name, _File(path)
    else:
        yield from _below(str(path), "")


def _below(folder: str, prefix: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == SET_ASIDE:
                continue
            if entry.is_dir():
                yield from _below(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}", entry


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _size_and_crc(path: str) -> tuple[int, int]:
    size, crc32 = 0, 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            size += len(block)
            crc32 = zlib.crc32(block, crc32)
    return size, crc32
