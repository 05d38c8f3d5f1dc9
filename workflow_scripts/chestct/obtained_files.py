"""What a scan's files look like from outside, a digest of what is in them, and whether they are as obtained.

The digest is of sizes and CRC-32 of all files, since these are computed nearly as fast as memory is read; no
signature. To read every file once more would still take half as long as to convert it, so the state of the
files is noted with the digest: only where it is another are the files read.

Files count as conversion finds them: those of folders inside too, also where a link leads there, and beside a
header those that hold its voxels. Hidden files do not count. An entry that is no file (a link to nothing, a
pipe, whose reading would wait for ever) has no content: the conversion says what is wrong with it.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from chestct.files import write_text

_BLOCK = 1 << 20
#: Folder, in a series' folder, of files that its source does not have.
SET_ASIDE = "not_in_index"
#: Headers of volumes whose voxels lie in another file.
_DETACHED = {".mhd", ".nhdr", ".hdr"}

_Entry = Path | os.DirEntry[str]


class FilesState(NamedTuple):
    """Digests of what files look like from outside; empty where they are not there or cannot be listed.

    Attributes:
        times: of names, sizes and times of the last change of the content, which a copy may keep.
        exact: of these and of the time of the last change of the inode, which no program can set.
    """

    times: str
    exact: str


def content_digest(path: str | Path) -> str:
    """Digest of the names and the contents of a file, or of all files below a folder.

    Raises:
        OSError: a file cannot be read.
    """
    return digest_of((name, *_size_and_crc(file)) for name, file in _files_of(Path(path)))


def digest_of(files: Iterable[tuple[str, int, int]]) -> str:
    """The same digest, from the name below the folder, the size in bytes and the CRC-32 of every file."""
    return _digest(f"{name}\t{size}\t{crc32:08x}\n" for name, size, crc32 in files)


def state_of(path: str | Path) -> FilesState:
    """The state of the same files; what is written to them changes it."""
    try:
        lines = [(f"{name}\t", *_state_lines(file)) for name, file in _files_of(Path(path))]
    except OSError:
        return FilesState("", "")
    times = _digest(name + seen for name, seen, _ in lines)
    return FilesState(times, _digest(name + seen + inode for name, seen, inode in lines))


def is_altered(
    path: str | Path, digest: str, state: str | None = None, now: FilesState | None = None
) -> bool:
    """Whether files are not those that were obtained.

    Args:
        path: of the file, or of the folder.
        digest: of the content (``content_digest``).
        state: exact state that the files had then (``state_of``), if known; the same files are not read.
        now: their state, where it was asked for already.

    Raises:
        OSError: a file cannot be read.
    """
    return not (state and (now or state_of(path)).exact == state) and content_digest(path) != digest


def states_path(shard_path: str | Path) -> Path:
    """Where the states of a shard's files are noted, beside its table of what was obtained."""
    shard_path = Path(shard_path)
    return shard_path.with_name(f".{shard_path.stem}.states.json")


def write_states(shard_path: str | Path, states: Mapping[str, str]) -> None:
    """Note the exact states of the files of a shard, by series_id. They may get lost: then files are read."""
    write_text(states_path(shard_path), json.dumps(dict(states)), durable=False)


def read_states(shard_path: str | Path) -> dict[str, str]:
    """The states of the files of a shard, by series_id; empty where nothing is noted."""
    try:
        return dict(json.loads(states_path(shard_path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _files_of(path: Path) -> Iterator[tuple[str, _Entry]]:
    """Files with their names below the path.

    Raises:
        OSError: the path does not exist, or a folder cannot be listed.
    """
    if not path.is_file():
        yield from _below(str(path), "", {os.path.realpath(path)})
    elif path.suffix.lower() in _DETACHED:
        yield from _named_by(path)
    else:
        yield path.name, path


def _below(folder: str, prefix: str, seen: set[str]) -> Iterator[tuple[str, _Entry]]:
    """Files of a folder; ``seen`` holds the folders that links have led to, so that each is followed once."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith(".") or entry.name == SET_ASIDE:
            continue
        if not _is_folder(entry):
            yield f"{prefix}{entry.name}", entry
            continue
        if entry.is_symlink():
            place = os.path.realpath(entry.path)
            if place in seen:
                continue
            seen.add(place)
        yield from _below(entry.path, f"{prefix}{entry.name}/", seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _named_by(header: Path) -> Iterator[tuple[str, _Entry]]:
    """A header, and files beside it of its stem or that it names; all of them where it names a pattern."""
    with open(header, "rb") as stream:
        text = stream.read(_BLOCK).decode("latin-1")
    with os.scandir(header.parent) as found:
        entries = list(found)
    for entry in entries:
        if _is_folder(entry):
            if f"{entry.name}/" in text:
                yield from _below(entry.path, f"{entry.name}/", set())
        elif "%" in text or entry.name in text or entry.name.startswith(f"{header.stem}."):
            yield entry.name, entry


def _state_lines(file: _Entry) -> tuple[str, str]:
    try:
        state = file.stat()
    except OSError:  # a link to nothing, such as to a file that was not fetched
        return "-1\n", ""
    return f"{state.st_size}\t{state.st_mtime_ns}\n", f"{state.st_ctime_ns}\t{state.st_ino}\n"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _size_and_crc(file: _Entry) -> tuple[int, int]:
    size, crc32 = 0, 0
    try:
        if not file.is_file():
            return -1, 0
    except OSError:  # a link that leads to itself
        return -1, 0
    with open(os.fspath(file), "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
            crc32 = zlib.crc32(block, crc32)
    return size, crc32
