"""All scans below a folder: DICOM series, wherever their files lie, and volume files."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from chestct.dicom_folder import MAX_DEPTH, list_folder, packed_dicom
from chestct.volumes.convert_scan import is_uid
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
    """

    name: str
    path: Path
    series_id: str | None = None


def find_scans(root: Path, *, leave_out: Path) -> list[FoundScan]:
    """Find the scans below a folder, by path.

    A series counts once where its files are spread over folders, as on media, and as often as there are
    copies. Folders that hold packed DICOM alone are listed too: their conversion says so.

    Args:
        root: folder.
        leave_out: folder below it that is not searched: what was converted.

    Raises:
        OSError: a folder cannot be listed.
    """
    folders: dict[Path, list[Path]] = {}
    found: list[FoundScan] = []
    volumes: list[Path] = []
    for folder, dicom, others in _walk(root, leave_out):
        volumes += [path for path in others if path.name.lower().endswith(READABLE)]
        if dicom:
            folders[folder] = dicom
        elif packed_dicom(others):
            found.append(FoundScan(name=_name(folder, root), path=folder))
    found += _series(folders, root)
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


def _walk(root: Path, leave_out: Path) -> Iterable[tuple[Path, list[Path], list[Path]]]:
    """Folders with their DICOM files and other files; a folder that links lead to counts once."""
    seen = {os.path.realpath(leave_out)}
    waiting = [root]
    for folder in waiting:
        place = os.path.realpath(folder)
        if place in seen:
            continue
        seen.add(place)
        dicom, others, deeper = list_folder(folder)
        yield folder, dicom, others
        waiting += deeper  # the loop sees what is added


def _name(path: Path, root: Path) -> str:
    return root.resolve().name if path == root else path.relative_to(root).as_posix()


def _without_suffix(path: Path) -> Path:
    name = path.name
    suffix = max((end for end in READABLE if name.lower().endswith(end)), key=len)
    return path.with_name(name[: -len(suffix)] or name)


def _identifiers(path: Path) -> tuple[str, str]:
    """SeriesInstanceUID and SOPInstanceUID of a file; empty where it does not say, or is no DICOM."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        return str(header.get("SeriesInstanceUID", "")), str(header.get("SOPInstanceUID", ""))
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, EOFError, NotImplementedError):
        return "", ""  # the conversion says what is wrong with it


def _series(folders: Mapping[Path, Sequence[Path]], root: Path) -> list[FoundScan]:
    """The series in some folders with DICOM files."""
    images: dict[str, dict[Path, set[str]]] = defaultdict(lambda: defaultdict(set))
    for folder, files in folders.items():
        for path in files:
            series_id, image_id = _identifiers(path)
            images[series_id][folder].add(image_id)
    by_place: dict[Path, set[str]] = defaultdict(set)
    for series_id, places in images.items():
        whole = _common_folder(places, folders, root) if is_uid(series_id) else None
        for folder in [whole] if whole else places:
            by_place[folder].add(series_id)
    found = []
    for folder, ids in by_place.items():
        # Files that name no series lie beside it: the conversion of the folder judges them.
        known = {name for name in ids if is_uid(name)}
        alone = len(_below(folder, images) if folder not in folders else ids) == 1
        if alone or len(known) < len(ids):
            found.append(FoundScan(name=_name(folder, root), path=folder))
            continue
        found += [
            FoundScan(name=f"{_name(folder, root)}/{name}", path=folder, series_id=name) for name in known
        ]
    return found


def _below(folder: Path, images: Mapping[str, Mapping[Path, set[str]]]) -> set[str]:
    """The series with files below a folder."""
    return {name for name, places in images.items() if any(place.is_relative_to(folder) for place in places)}


def _common_folder(
    places: Mapping[Path, set[str]], folders: Mapping[Path, Sequence[Path]], root: Path
) -> Path | None:
    """The folder above the parts of one series; None where they are copies, or no folder reads as a whole."""
    if len(places) < 2:
        return None
    if sum(map(len, places.values())) > len(set().union(*places.values())):
        return None
    above = Path(os.path.commonpath(places))
    deepest = max(len(place.relative_to(above).parts) for place in places)
    return above if above not in folders and deepest <= MAX_DEPTH else None
