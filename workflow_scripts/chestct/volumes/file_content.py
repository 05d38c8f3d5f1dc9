"""What a file is by its first bytes, whatever its name says: a pointer, packed, no volume."""

import os
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from chestct.volumes.refusals import RefusedScan

#: How large pointers are at most: those of Git LFS are about 130 bytes.
_POINTER_BYTES = 4096
_MAX_FOLDERS = 2000
_GZIP = b"\x1f\x8b"
#: How packed files of any kind begin: gzip, zip, bzip2, xz, Zstandard, 7z, RAR.
_PACKED = (_GZIP, b"PK\3\4", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
#: Suffixes of volume files that can be read.
READABLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
#: Of these, the two whose voxels lie in another file.
DETACHED = (".nhdr", ".mhd")
#: And of those that can be written: without the two that split header and data.
WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")
_NIFTI_SIZES = tuple(struct.pack(f"{order}i", size) for size in (348, 540) for order in "<>")


def unfetched(path: Path) -> str | None:
    """Why an entry of a folder stands for a file that is not there, in words; None where it is there.

    A link to nothing is what git-annex leaves before a file is fetched; Git LFS leaves a small text. A pipe,
    a device or a socket is no file of a scan either. Folders count as there.

    Raises:
        OSError: the entry cannot be read.
    """
    try:
        mode = path.stat().st_mode
    except ValueError:
        return "a path that no file can have"  # with a NUL in it
    except OSError:
        if path.is_symlink():
            annex = ": fetch it with `git annex get`" if "annex" in str(path.readlink()) else ""
            return f"a link to a file that is not there{annex}"
        raise
    if stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):
        return "a pipe or a device, no file"
    return pointer(path)


def check_fetched(paths: Iterable[Path]) -> None:
    """Refuse a folder of which some entries stand for files that are not there.

    Raises:
        RefusedScan: ``missing_files``, with their number.
        OSError: an entry cannot be read.
    """
    lacking = [words for words in map(unfetched, paths) if words is not None]
    if lacking:
        raise RefusedScan("missing_files", f"{len(lacking)} file(s) of the folder: {lacking[0]}")


def check_packed(paths: Iterable[Path]) -> None:
    """Refuse files that are packed, whatever their names say.

    Raises:
        RefusedScan: ``packed_files``, with their number.
        OSError: one cannot be read.
    """
    number = 0
    for path in paths:
        with open(path, "rb") as file:
            number += file.read(8).startswith(_PACKED)
    if number:
        detail = f"{number} file(s) are packed, though their names do not say so: unpack them"
        raise RefusedScan("packed_files", detail)


def check_entries(folders: Iterable[Path]) -> None:
    """Refuse folders with entries that are neither files nor folders, as ``check_fetched``.

    The list of a folder tells, without a look at each file. Hidden entries are passed over.
    """
    for folder in folders:
        with os.scandir(folder) as entries:
            lost = [
                Path(entry.path)
                for entry in entries
                if not (entry.name.startswith(".") or entry.is_file() or entry.is_dir())
            ]
        check_fetched(sorted(lost))


def folders_of(folder: Path) -> Iterator[Path]:
    """A folder and those inside it that are not hidden, at most ``_MAX_FOLDERS``."""
    number = 0
    for name, inside, _ in os.walk(folder):
        inside[:] = sorted(other for other in inside if not other.startswith("."))
        if (number := number + 1) > _MAX_FOLDERS:
            return
        yield Path(name)


def pointer(path: Path) -> str | None:
    """What a small regular file points to instead of holding it, in words, or None."""
    if path.stat().st_size > _POINTER_BYTES:
        return None
    with open(path, "rb") as file:
        head = file.read(_POINTER_BYTES)
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in the place of the file: fetch it with `git lfs pull`"
    if b"annex/objects/" in head and b"\0" not in head:
        return "a git-annex pointer in the place of the file: fetch it with `git annex get`"
    return None


def check_content(path: Path) -> None:
    """Refuse a volume file that is not what its name says, before a library tries to read it.

    Raises:
        RefusedScan: ``missing_files`` for pointers, ``wrong_suffix``, ``unsupported_format``,
            ``unreadable_file``.
        OSError: it cannot be read.
    """
    missing = unfetched(path)
    if missing is not None:
        raise RefusedScan("missing_files", missing)
    name = path.name.lower()
    with open(path, "rb") as file:
        head = file.read(512)
    text = head.lstrip().lower()
    if not head:
        raise RefusedScan("unreadable_file", "an empty file: copy it again")
    if not head.strip(b"\0"):
        raise RefusedScan("unreadable_file", "it begins with zeros, as after a power cut: copy it again")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise RefusedScan(
            "unreadable_file", "a page of text, as where a download asks for a login: fetch it anew"
        )
    if head.startswith(b"PK\3\4"):
        raise RefusedScan("unsupported_format", "a zip archive: unpack it, and name what is in it")
    is_packed = head.startswith(_GZIP)
    if name.endswith(".gz") and not is_packed and head.startswith(_NIFTI_SIZES):
        raise RefusedScan("wrong_suffix", "the name says gzip, the content is not packed: rename it to .nii")
    if is_packed and not name.endswith(".gz"):
        raise RefusedScan(
            "wrong_suffix", "packed with gzip: rename it to .nii.gz if it is NIfTI, else unpack it"
        )
    for magic, kind, suffixes in (
        (b"NRRD", "NRRD", (".nrrd", ".nhdr")),
        (b"ObjectType", "MetaImage", (".mha", ".mhd")),
    ):
        if head.startswith(magic) and not name.endswith(suffixes):
            raise RefusedScan("wrong_suffix", f"the content is {kind}: rename it to {suffixes[0]}")
