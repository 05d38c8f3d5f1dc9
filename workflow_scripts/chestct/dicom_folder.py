"""Which files of a folder are DICOM, and where they lie if not in it: by names and first bytes alone."""

import gzip
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

#: Suffixes of names that say DICOM, in lower case.
DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_OTHER_NAMES = {
    "dicomdir",
    "license",
    "readme",
    "version",
    "md5sum",
    "thumbs.db",
    "copying",
    "notice",
    "authors",
}
_OTHER_NAMES |= {
    "changes",
    "changelog",
    "manifest",
    "checksums",
    "md5sums",
    "sha1sums",
    "sha256sums",
    "sha512sums",
}
#: How packed files end: one image, several.
_PACKED = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4", ".z")
_ARCHIVES = (
    ".zip",
    ".tar",
    ".tgz",
    ".tar.gz",
    ".tbz2",
    ".tar.bz2",
    ".txz",
    ".tar.xz",
    ".tar.zst",
    ".7z",
    ".rar",
)
#: Folders that systems and archivers leave, with copies of names but no images.
_OTHER_FOLDERS = {"__macosx", "$recycle.bin", "system volume information"}
_MARKER = b"DICM"
#: Class of a Media Storage Directory (PS3.3 F), as the meta information holds it, padded to even length.
_DIRECTORY_CLASS = b"1.2.840.10008.1.3.10"
#: So many files or fewer may be directories alone, without an image; of more, some are images.
_FEW = 16
#: Levels below a folder that are searched, and folders looked into: a patient's, not a disk.
MAX_DEPTH, MAX_FOLDERS = 5, 2000
_MAX_MEMBERS, _FIRST_MEMBERS = 100_000, 16


@dataclass(frozen=True, kw_only=True)
class DicomFolder:
    """Files of a folder, sorted by path.

    Attributes:
        dicom: files that must belong to a series, of the folder, or else of folders inside it.
        others: further files of the folder, and of those inside where ``dicom`` does not lie in it.
        inside: folders inside that ``dicom`` comes from; empty where the folder itself holds it.
        num_folders: folders inside.
        is_cut: whether more than ``MAX_FOLDERS`` folders lie inside, of which some were not looked into.
    """

    dicom: list[Path]
    others: list[Path]
    inside: list[Path]
    num_folders: int
    is_cut: bool = False


def _starts(path: Path, length: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(length)


def looks_like_dicom(path: Path) -> bool:
    """Whether a file must belong to a series.

    It must if its name says so (.dcm, .dicom, .ima; no suffix, or a number as in names made of UIDs), or
    if it carries DICOM's marker. Other files (readers' XML, licences, lists) lie beside series and are
    left alone.

    Raises:
        OSError: a file whose name says nothing does not open.
    """
    suffix = path.suffix.lower()
    if suffix in DICOM_SUFFIXES:
        return True
    if path.name.lower() in _OTHER_NAMES:
        return False
    if suffix in ("", ".") or suffix[1:].isdigit():
        return True
    return _starts(path, 132)[128:] == _MARKER


def is_dicom_file(path: Path) -> bool:
    """Whether a file is DICOM: by its marker, or by its suffix where an old writer left that out."""
    return path.is_file() and (path.suffix.lower() in DICOM_SUFFIXES or _starts(path, 132)[128:] == _MARKER)


def is_media_directory(path: Path) -> bool:
    """Whether a file is a Media Storage Directory, which lists images and is none, whatever its name."""
    try:
        head = _starts(path, 1024)
    except OSError:
        return False
    return head[128:132] == _MARKER and any(
        head[at + len(_DIRECTORY_CLASS) : at + len(_DIRECTORY_CLASS) + 1] in (b"", b"\x00", b" ", b"\x02")
        for at in _places(head, _DIRECTORY_CLASS)
    )


def _places(content: bytes, part: bytes) -> Iterator[int]:
    at = content.find(part)
    while at >= 0:
        yield at
        at = content.find(part, at + 1)


def list_folder(
    folder: Path, unreadable: list[Path] | None = None
) -> tuple[list[Path], list[Path], list[Path]]:
    """DICOM files, other files and folders of a folder, without hidden ones.

    Args:
        folder: to be listed.
        unreadable: takes the files whose names say nothing and that do not open; they are other files then.

    Raises:
        OSError: it cannot be listed, or such a file does not open and ``unreadable`` is None.
    """
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not entry.name.startswith(".")]
    files = sorted(folder / entry.name for entry in entries if entry.is_file())
    folders = sorted(folder / entry.name for entry in entries if entry.is_dir())
    dicom = []
    for path in files:
        try:
            if looks_like_dicom(path):
                dicom.append(path)
        except OSError:
            if unreadable is None:
                raise
            unreadable.append(path)
    few = len(dicom) <= _FEW
    # Images are numbered: of many files only those without a digit are looked at.
    asked = {path for path in dicom if few or not any(map(str.isdigit, path.name))}
    dicom = [path for path in dicom if path not in asked or not is_media_directory(path)]
    names = set(dicom)
    return (
        dicom,
        [path for path in files if path not in names],
        [path for path in folders if path.name.lower() not in _OTHER_FOLDERS],
    )


def find_dicom(folder: Path) -> DicomFolder:
    """The DICOM files of a folder, or, where it holds none, those of the folders inside.

    Raises:
        OSError: the folder cannot be listed.
    """
    dicom, others, folders = list_folder(folder)
    if dicom:
        return DicomFolder(dicom=dicom, others=others, inside=[], num_folders=len(folders))
    inside, below = [], []
    waiting = [(path, 1) for path in folders]
    seen = {os.path.realpath(folder)}
    is_cut = False
    for path, depth in waiting:
        place = os.path.realpath(path)
        if place in seen:
            continue  # a link to a folder that another path leads to
        if len(seen) > MAX_FOLDERS:
            is_cut = True
            break
        seen.add(place)
        found, more, deeper = list_folder(path)
        others += more
        if found:
            inside.append(path)
            below += found
        if depth < MAX_DEPTH:
            waiting += [(other, depth + 1) for other in deeper]  # the loop sees what is added
    return DicomFolder(
        dicom=sorted(below), others=others, inside=inside, num_folders=len(folders), is_cut=is_cut
    )


def packed_dicom(files: Sequence[Path]) -> list[Path]:
    """Those of some files that hold DICOM compressed or in an archive, or may, as an archive in another."""
    return [path for path in files if _holds_dicom(path)]


def is_archive(path: Path) -> bool:
    """Whether a packed file holds several files, by its name."""
    return path.name.lower().endswith(_ARCHIVES)


def _holds_dicom(path: Path) -> bool:
    name = path.name.lower()
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                return any(_named_dicom(member) for member in archive.namelist()[:_MAX_MEMBERS])
        if name.endswith((".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")):
            with tarfile.open(path) as archive:
                first = islice(archive, _FIRST_MEMBERS)  # more might mean to unpack all of it
                return any(_named_dicom(member.name) for member in first if member.isfile())
        if name.endswith(_ARCHIVES):
            return True  # of a kind that is not looked into
        if name.endswith(_PACKED) and Path(path.stem).suffix.lower() in DICOM_SUFFIXES:
            return True
        if name.endswith(".gz"):
            with gzip.open(path) as file:
                return file.read(132)[128:] == _MARKER
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, ValueError, RuntimeError):
        pass
    return False


def _named_dicom(member: str) -> bool:
    """Whether the name of an archive's member says DICOM, as ``looks_like_dicom`` of files, or packed."""
    path = Path(member)
    suffix = path.suffix.lower()
    if member.endswith("/") or path.name.startswith(".") or path.name.lower() in _OTHER_NAMES:
        return False
    is_packed = member.lower().endswith(_ARCHIVES) or (
        member.lower().endswith(_PACKED) and Path(path.stem).suffix.lower() in DICOM_SUFFIXES
    )
    return is_packed or suffix in (*DICOM_SUFFIXES, "", ".") or suffix[1:].isdigit()
