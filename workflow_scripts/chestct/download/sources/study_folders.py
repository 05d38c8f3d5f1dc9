"""Folders of a study on disk: whole or not at all, listed and digested."""

import errno
import glob
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from tqdm import tqdm

from chestct.dicom_folder import find_dicom
from chestct.download.transfer.disk import disk_errors
from chestct.download.transfer.retries import Unobtainable
from chestct.errors import InputError
from chestct.files import make_folder
from chestct.locks import left_over, new_locked
from chestct.near_words import near, suggestion
from chestct.obtained_files import content_digest

#: Hidden file in a folder that was written whole: the digest of the others.
_RECORD = ".whole"

T = TypeVar("T")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``folder`` that becomes ``folder`` on success.

    Its hidden name is this call's own, so that studies that share their data never write into one folder. An
    incomplete ``folder`` is replaced, and what killed runs left is removed; if another run made ``folder``
    meanwhile, that one stays. The folder gets a record of its files, by which ``is_recorded`` knows it.

    Raises:
        InputError: the disk is full.
    """
    with disk_errors(folder), _replacing(folder) as partial:
        yield partial


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    make_folder(folder.parent)
    _remove_leftovers(folder)
    before = _identity(folder)
    partial = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    try:
        with new_locked(partial, _open_new):
            yield partial
            (partial / _RECORD).write_text(content_digest(partial), encoding="utf-8")
            if _identity(folder) != before:
                return
            with suppress(FileNotFoundError):
                old = partial.with_suffix(".replaced")
                folder.rename(old)
                shutil.rmtree(old, ignore_errors=True)
            try:
                partial.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another run was first
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open_new(folder: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # another run took it for a leftover
            return os.open(folder, os.O_RDONLY)


def is_recorded(folder: Path) -> bool:
    """Whether a folder that ``whole_folder`` made holds what it was given."""
    try:
        return (folder / _RECORD).read_text(encoding="utf-8") == content_digest(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        state = folder.stat()
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left under hidden names; those of runs that still live hold a lock."""
    name = glob.escape(folder.name)
    for left in folder.parent.glob(f".{name}.*"):
        if left.suffix not in (".partial", ".replaced"):
            continue
        with suppress(OSError), left_over(left):
            shutil.rmtree(left, ignore_errors=True)


def progress(items: Sequence[T], title: str) -> Iterable[T]:
    """Iterate with a line of progress every few seconds, for logs."""
    return tqdm(items, desc=title, unit="scan", mininterval=5, file=sys.stderr)


def series_files(root: Path, path: str) -> list[Path]:
    """Files of a series, sorted by name; ``path`` is a folder or a volume file, relative to ``root``.

    In a folder of DICOM files these are the ``*.dcm`` files where there are any; else all DICOM files, of
    the folder or of folders inside it (``chestct.dicom_folder``); else all files that are not hidden.

    Raises:
        InputError: the path does not exist or holds no file.
    """
    full = root / path
    if full.is_file():
        return [full]
    files = sorted(p for p in full.glob("*") if p.is_file() and not p.name.startswith("."))
    dicom = [p for p in files if p.suffix.lower() == ".dcm"]
    if not dicom and full.is_dir():
        found = find_dicom(full)
        files = files or found.others  # packed files below, which the conversion names
        dicom = found.dicom
    if not dicom and not files:
        num_links = sum(1 for p in full.rglob("*") if p.is_symlink() and not p.exists())
        links = f", but {num_links} link(s) to files that are not there (git-annex: fetch them)"
        raise InputError(
            f"a series has no files{links if num_links else ''}",
            where=full,
            expected="a volume file, or a folder of DICOM files, or of folders with such files",
            remedy="correct the path in the dataset's folder or table, or put the files there",
        )
    return dicom or files


def is_whole(root: Path, path: str, num_instances: int) -> bool:
    """True where a series exists with at least the number of instances expected of it."""
    full = root / path
    if full.is_file():
        return True
    return full.is_dir() and sum(1 for _ in full.glob("*.dcm")) >= max(num_instances, 1)


def shard_row(
    dataset: str, root: Path, series: pd.Series, failure: Unobtainable | None = None
) -> dict[str, object]:
    """One row of the table ``shard`` for a series that was, or could not be, obtained.

    A file that is missing or empty makes the series ``incomplete``: it goes to the ledger.
    """
    row: dict[str, object] = {
        "dataset": dataset,
        "study_id": series["study_id"],
        "series_id": series["series_id"],
        "num_files": 0,
        "num_bytes": 0,
        "sha256": None,
    }
    if failure is None:
        files = series_files(root, str(series["path"]))
        sizes = [(p.name, p.stat().st_size) for p in files]
        empty = [name for name, size in sizes if size == 0]
        expected = int(series["num_instances"])
        row |= {"num_files": len(files), "num_bytes": sum(size for _, size in sizes)}
        try:
            row["sha256"] = content_digest(root / str(series["path"]))
        except OSError as error:
            failure = Unobtainable("unreadable", str(error.strerror))
        if failure is None and (empty or len(files) < expected):
            shown = f"{len(files)} of {expected or 'unknown'} files, {len(empty)} of them empty"
            failure = Unobtainable("incomplete", shown)
    if failure is not None:
        return row | {"status": "failed", "reason": failure.reason, "detail": failure.detail}
    return row | {"status": "obtained", "reason": None, "detail": None}


LEFT_OUT_COLUMNS = ["dataset", "patient_id", "study_id", "series_id", "reason"]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a source holds.

    Attributes:
        series: table ``series`` of what the study takes.
        left_out: table ``left_out`` of the other scans that exist.
    """

    series: pd.DataFrame
    left_out: pd.DataFrame


def listing(table: pd.DataFrame, entry: dict, shard_size: int, where: object) -> Listing:
    """Narrow a table of all scans by the entry's ``patients`` and deal it out in shards.

    Args:
        table: columns of the table ``series`` but ``shard``; ``num_bytes`` may be lacking (unknown).
        entry: the dataset's entry.
        shard_size: scans a job.
        where: named in messages.

    Raises:
        InputError: a named patient is not in the table.
    """
    if "num_bytes" not in table:
        table = table.assign(num_bytes=0)
    taken = select_patients(table, entry, where)
    rest = table.drop(taken.index).assign(reason="not_selected")
    taken = taken.reset_index(drop=True)
    taken = taken.assign(shard=taken.index // shard_size)
    return Listing(series=taken, left_out=rest[LEFT_OUT_COLUMNS])


def select_patients(table: pd.DataFrame, entry: dict, where: object) -> pd.DataFrame:
    """Keep the patients that the entry's ``patients`` names, if it does.

    Raises:
        InputError: a named patient is not in the table.
    """
    wanted = entry.get("patients")
    if not wanted:
        return table
    known = set(table["patient_id"])
    unknown = sorted(set(map(str, wanted)) - known)
    if unknown:
        similar = near(unknown[0], sorted(known))
        hint = f"; for {unknown[0]}, {suggestion(unknown[0], similar)}" if similar else ""
        raise InputError(
            f"{len(unknown)} patient(s) named in the configuration do not exist: {unknown[:5]}",
            where=where,
            expected=f"some of {len(known)} patients, e.g. {table['patient_id'].iloc[0]}",
            remedy=f"correct `patients` of dataset {entry['name']}{hint}",
        )
    return table[table["patient_id"].isin(map(str, wanted))]


def existing_folder(entry: dict, layout: str) -> Path:
    """The entry's ``folder``.

    Raises:
        InputError: the key is missing or names no folder.
    """
    folder = entry.get("folder")
    if not folder or not Path(folder).is_dir():
        raise InputError(
            f"dataset {entry['name']} needs a folder that holds its data",
            where=f"configuration, datasets, {entry['name']}, key folder (got {folder!r})",
            expected=f"an existing folder in the layout {layout}",
            remedy="obtain the data from its publisher and name its folder, or choose a phantom source",
        )
    return Path(folder).resolve()
