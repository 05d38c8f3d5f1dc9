"""All scans below a folder: DICOM series, wherever their files lie, and volume files."""

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom
from tqdm import tqdm

from chestct.dicom_folder import DICOM_SUFFIXES, MAX_DEPTH, MAX_FOLDERS, list_folder, packed_dicom
from chestct.files import shown_path
from chestct.volumes.convert_scan import is_uid
from chestct.volumes.deflated_file import check_deflated
from chestct.volumes.file_content import READABLE

_TAGS = ["SeriesInstanceUID", "SOPInstanceUID"]


@dataclass(frozen=True, kw_only=True)
class FoundScan:
    """A scan as ``convert_one`` reads it.

    Attributes:
        name: path below the folder that was searched, with the SeriesInstanceUID where a folder holds several
            series; of each scan its own.
        path: folder of DICOM files, or volume file.
        series_id: SeriesInstanceUID, where the path holds several series.
        files: of that series; empty where the path holds one alone.
        num_elsewhere: images of the series that lie in other folders alone, and cannot be read with these.
    """

    name: str
    path: Path
    series_id: str | None = None
    files: frozenset[Path] = frozenset()
    num_elsewhere: int = 0


@dataclass(kw_only=True)
class _Part:
    """What a folder holds of a series: its files, and the SOPInstanceUIDs in them."""

    files: list[Path] = field(default_factory=list)
    images: set[str] = field(default_factory=set)


#: Parts of series, by SeriesInstanceUID (empty where files name none), then by folder.
_Parts = Mapping[str, Mapping[Path, _Part]]


def find_scans(root: Path, *, leave_out: Path) -> list[FoundScan]:
    """Find the scans below a folder, by path.

    A series counts once where its files are spread over folders, as on media, and as often as there are
    copies. Folders that hold packed DICOM alone, or that may not be read, are listed too: their conversion
    says so.

    Args:
        root: folder.
        leave_out: folder below it that is not searched: what was converted.

    Raises:
        OSError: the folder cannot be listed.
    """
    folders: dict[Path, list[Path]] = {}
    found: list[FoundScan] = []
    volumes: list[Path] = []
    num_inside: Counter[Path] = Counter()
    for folder, dicom, others, unreadable in _walk(root, leave_out):
        num_inside.update(folder.parents)
        volumes += [path for path in others if path.name.lower().endswith(READABLE)]
        if dicom:
            folders[folder] = dicom
        elif unreadable or packed_dicom(others):
            found.append(FoundScan(name=_name(folder, root), path=folder))
    found += _series(folders, num_inside, root)
    stems = Counter(_name(_without_suffix(path), root) for path in volumes)
    stems.update(scan.name for scan in found)
    for path in volumes:
        stem = _name(_without_suffix(path), root)
        # Beside a scan of the same name the suffix tells them apart.
        found.append(FoundScan(name=stem if stems[stem] == 1 else _name(path, root), path=path))
    return _told_apart(sorted(found, key=lambda scan: (scan.name, scan.path)))


def _told_apart(scans: Sequence[FoundScan]) -> list[FoundScan]:
    """The scans, no two under one name, as a folder's own and those of a folder in it called alike."""
    taken: dict[str, FoundScan] = {}
    for scan in scans:
        number, name = 1, scan.name
        while name in taken:
            number += 1
            name = f"{scan.name}_{number}"
        taken[name] = replace(scan, name=name)
    return list(taken.values())


def _walk(root: Path, leave_out: Path) -> Iterable[tuple[Path, list[Path], list[Path], bool]]:
    """Folders with their DICOM files and other files; a folder that links lead to counts once.

    The last is whether some of it may not be read, but for volume files, which are judged by themselves.
    """
    seen = {os.path.realpath(leave_out)}
    waiting = [root]
    for folder in waiting:
        place = os.path.realpath(folder)
        if place in seen:
            continue
        seen.add(place)
        unreadable: list[Path] = []
        try:
            dicom, others, deeper = list_folder(folder, unreadable)
        except OSError:
            if folder == root:
                raise
            yield folder, [], [], True
            continue
        unreadable += _links_to_nothing(folder)
        lost = [path for path in unreadable if path.name.lower().endswith(READABLE)]
        yield folder, dicom, sorted({*others, *lost}), len(lost) < len(unreadable)
        waiting += deeper  # the loop sees what is added


def _links_to_nothing(folder: Path) -> list[Path]:
    """Entries of a folder that are called like scans, and are links to what is not there."""
    names = (*READABLE, *DICOM_SUFFIXES)
    return [path for path in folder.iterdir() if path.name.lower().endswith(names) and not path.exists()]


def _name(path: Path, root: Path) -> str:
    return shown_path(root.resolve().name if path == root else path.relative_to(root).as_posix())


def _without_suffix(path: Path) -> Path:
    name = path.name
    suffix = max((end for end in READABLE if name.lower().endswith(end)), key=len)
    return path.with_name(name[: -len(suffix)] or name)


def _identifiers(path: Path) -> tuple[str, str]:
    """SeriesInstanceUID and SOPInstanceUID of a file; empty where it does not say, or is no DICOM."""
    try:
        check_deflated(path)
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        return str(header.get("SeriesInstanceUID", "")), str(header.get("SOPInstanceUID", ""))
    except Exception:  # a damaged file makes the parser fail in many ways; the conversion says what is wrong
        return "", ""


def _read_parts(folders: Mapping[Path, Sequence[Path]]) -> _Parts:
    parts: dict[str, dict[Path, _Part]] = defaultdict(lambda: defaultdict(_Part))
    number = sum(map(len, folders.values()))
    # disable=None: none where standard error is no terminal.
    with tqdm(total=number, desc="search", unit="file", file=sys.stderr, disable=None, leave=False) as bar:
        for folder, files in folders.items():
            for path in files:
                series_id, image_id = _identifiers(path)
                part = parts[series_id][folder]
                part.files.append(path)
                part.images.add(image_id)
            bar.update(len(files))
    return parts


def _series(
    folders: Mapping[Path, Sequence[Path]], num_inside: Mapping[Path, int], root: Path
) -> list[FoundScan]:
    """The series in some folders with DICOM files.

    Args:
        folders: with their DICOM files.
        num_inside: folders below a folder.
        root: that was searched.
    """
    parts = _read_parts(folders)
    by_place: dict[Path, set[str]] = defaultdict(set)
    for series_id, places in parts.items():
        whole = _common_folder(places, folders, num_inside) if is_uid(series_id) else None
        for folder in [whole] if whole else places:
            by_place[folder].add(series_id)
    below = _series_below(by_place.keys() - folders.keys(), parts)
    found = []
    for folder, ids in by_place.items():
        # Files that name no series lie beside it: the conversion of the folder judges them.
        known = {name for name in ids if is_uid(name)}
        alone = len(ids if folder in folders else below[folder]) == 1
        if alone or len(known) < len(ids):
            elsewhere = sum(_num_elsewhere(parts[name], folder) for name in known)
            found.append(FoundScan(name=_name(folder, root), path=folder, num_elsewhere=elsewhere))
            continue
        for name in known:
            own = [parts[name][folder]] if folder in folders else parts[name].values()
            found.append(
                FoundScan(
                    name=f"{_name(folder, root)}/{name}",
                    path=folder,
                    series_id=name,
                    files=frozenset(path for part in own for path in part.files),
                    num_elsewhere=_num_elsewhere(parts[name], folder),
                )
            )
    return found


def _series_below(folders: Iterable[Path], parts: _Parts) -> dict[Path, set[str]]:
    """The series with files below each of some folders."""
    found: dict[Path, set[str]] = {folder: set() for folder in folders}
    for name, places in parts.items():
        for above in {folder for place in places for folder in place.parents} & found.keys():
            found[above].add(name)
    return found


def _num_elsewhere(places: Mapping[Path, _Part], folder: Path) -> int:
    """Images of a series that another folder holds, and this one does not; 0 of a folder above them all."""
    if folder not in places:
        return 0
    return len(set().union(*(part.images for part in places.values())) - places[folder].images)


def _common_folder(
    places: Mapping[Path, _Part], folders: Mapping[Path, Sequence[Path]], num_inside: Mapping[Path, int]
) -> Path | None:
    """The folder above the parts of one series; None where they are copies, or no folder reads as a whole."""
    if len(places) < 2:
        return None
    images = [part.images for part in places.values()]
    if sum(map(len, images)) > len(set().union(*images)):
        return None
    above = Path(os.path.commonpath(places))
    deepest = max(len(place.relative_to(above).parts) for place in places)
    is_read_whole = deepest <= MAX_DEPTH and num_inside[above] < MAX_FOLDERS
    return above if above not in folders and is_read_whole else None
