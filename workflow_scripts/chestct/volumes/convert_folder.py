"""All scans below a folder, converted to volume files: what is done is skipped, what is refused is told."""

import json
import logging
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from chestct.errors import InputError
from chestct.files import digest_object, one_line, shown_path
from chestct.obtained_files import state_of
from chestct.tables import column_types, read_table, write_table
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.find_scans import FoundScan, find_scans
from chestct.volumes.remedies import remedy_lines
from chestct.volumes.volume_file import write_volume_file

log = logging.getLogger(__name__)

#: Table of what was converted, in the folder of the volume files.
TABLE = "conversions.csv"
_UNEXPECTED = "unexpected_error"
#: Refusals that the same files may not have another time: a disk answers, or a right is given.
_TRIED_AGAIN = (_UNEXPECTED, "missing_files")
_SAVED_EVERY = 5.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How scans are converted.

    Attributes:
        size_px: rows and columns; None: as stored.
        intensity: what the values in the files are (``chestct.intensity``).
        accept: reasons by which no scan is refused (``refusals.ACCEPTABLE``).
        suffix: of the volume files.
    """

    size_px: int | None
    intensity: str
    accept: tuple[str, ...]
    suffix: str


def convert_folder(root: Path, out: Path, settings: Settings, *, processes: int = 1) -> int:
    """Convert all scans below a folder to volume files, print a line for each, and write ``TABLE``.

    What an earlier call converted or refused is left as it is while files and settings are the same. A call
    that is stopped keeps what it has done.

    Args:
        root: folder to search.
        out: folder for the volume files, in folders as below ``root``, and the table.
        settings: how scans are converted.
        processes: that convert at once; a scan is in memory in each.

    Returns:
        Exit status: 1 where no scan is converted, 130 where a person stopped it.

    Raises:
        InputError: the folder holds no scan, the other one holds something else, or cannot be written to.
    """
    rows = _earlier_rows(root, out)
    scans = find_scans(root, leave_out=out)
    if not scans:
        raise InputError(
            "there is no scan in the folder, nor in those inside it",
            where=root,
            expected="DICOM files, or volume files (.nii, .nii.gz, .nrrd, .mha)",
            remedy="name the folder above your scans; unpack archives before",
        )
    states = _states(scans, settings)
    to_do = [scan for scan in scans if not _is_done(rows.get(scan.name), states[scan.name], out)]
    print(f"{len(scans)} scans found, {len(scans) - len(to_do)} of them done before", file=sys.stderr)
    stopped = False
    _save(rows, out)  # by which a call that is killed leaves a folder that the next one knows
    saved = time.monotonic()
    try:
        # disable=None: none where standard error is no terminal.
        with tqdm(total=len(to_do), unit="scan", file=sys.stderr, disable=None, leave=False) as bar:
            for scan, row in _converted(to_do, out, settings, processes):
                _remove_outdated(rows.get(scan.name), row, out)
                rows[scan.name] = row | {"state": states[scan.name]}
                tqdm.write(_line(row), file=sys.stdout)
                sys.stdout.flush()
                bar.update()
                if time.monotonic() - saved > _SAVED_EVERY:
                    _save(rows, out)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        stopped = True
    finally:  # also where nobody reads the lines any more
        _save(rows, out)
    mine = [rows[scan.name] for scan in scans if scan.name in rows]
    refused = [str(row["reason"]) for row in mine if row["status"] == "refused"]
    num_refused = len(refused)
    print("".join(f"{line}\n" for line in remedy_lines(refused)), end="", file=sys.stderr)
    ended = "stopped: " if stopped else ""
    print(
        f"{ended}{len(mine) - num_refused} of {len(scans)} scans converted, {num_refused} refused; "
        f"table: {out / TABLE}",
        file=sys.stderr,
    )
    return 130 if stopped else 0 if num_refused < len(mine) else 1


def _earlier_rows(root: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Rows of an earlier call, by scan.

    Raises:
        InputError: there is no folder to search, or the other one is not for its scans.
    """
    if not root.is_dir():
        raise InputError(
            "there is no such folder",
            where=root,
            expected="a folder with scans, to convert them into a folder; or one scan, and a volume file",
            remedy="check the path; for one scan name a file to write, such as scan.nii.gz",
        )
    remedy = "name a new folder"
    if out.is_file() or root.resolve() == out.resolve():
        raise InputError(
            "volumes are written into a folder of their own", where=out, expected="a folder", remedy=remedy
        )
    if not (out / TABLE).is_file():
        if out.is_dir() and any(out.iterdir()):
            raise InputError(
                "the folder holds other files",
                where=out,
                expected=f"a new or empty folder, or one of an earlier call, with {TABLE}",
                remedy=remedy,
            )
        return {}
    table = read_table(out / TABLE, "conversions")
    home = shown_path(root.resolve())
    others = [path for path in table["source"] if not Path(path).is_relative_to(home)]
    if others:
        raise InputError(
            f"the folder holds scans from elsewhere: {others[0]}",
            where=out,
            expected=f"scans of {home} alone",
            remedy=remedy,
        )
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return {str(row["scan"]): {str(key): value for key, value in row.items()} for row in rows}


def _states(scans: Iterable[FoundScan], settings: Settings) -> dict[str, str]:
    """Digests of the files of every scan, and of the settings, by name."""
    times = {path: state_of(path).times for path in {scan.path for scan in scans}}
    words = json.dumps(vars(settings))
    return {scan.name: digest_object([times[scan.path], scan.series_id, words]) for scan in scans}


def _is_done(row: Mapping[str, Any] | None, state: str, out: Path) -> bool:
    if row is None or row["state"] != state:
        return False
    if row["status"] == "refused":
        return row["reason"] not in _TRIED_AGAIN
    return (out / str(row["volume"])).is_file()


def _converted(
    scans: Sequence[FoundScan], out: Path, settings: Settings, processes: int
) -> Iterator[tuple[FoundScan, dict[str, Any]]]:
    """Convert scans, in this process or in several; yields each with its row, as it is done."""
    if processes == 1 or len(scans) < 2:
        yield from ((scan, convert_found(scan, out, settings)) for scan in scans)
        return
    # Started anew: libraries that are loaded here have threads, which forks would lose.
    with ProcessPoolExecutor(
        min(processes, len(scans)), mp_context=get_context("spawn"), initializer=_leave_to_parent
    ) as pool:
        waiting = {pool.submit(convert_found, scan, out, settings): scan for scan in scans}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a conversion process was ended from outside, most likely for lack of memory",
                where=f"--processes {processes}",
                expected="memory for a scan in each process, a few times its size",
                remedy="give the command again with fewer: what is done is kept",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_to_parent() -> None:
    """Ctrl-C reaches all processes of a terminal: the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def convert_found(scan: FoundScan, out: Path, settings: Settings) -> dict[str, Any]:
    """Convert one scan to its volume file; its row of the table ``conversions``, but for ``state``.

    Raises:
        InputError: the file cannot be written.
    """
    row: dict[str, Any]
    try:
        row, converted = convert_one(
            scan.path,
            dataset="command_line",
            size_px=settings.size_px,
            series_id=scan.series_id,
            intensity=settings.intensity,
            accept=settings.accept,
            files=scan.files or None,
        )
    except Exception as error:  # one odd scan does not stop the others
        log.exception("%s: unexpected error", scan.name)
        name, converted = scan.name, None
        row = {"dataset": "command_line", "patient_id": name, "study_id": name, "series_id": name}
        row |= {
            "status": "refused",
            "reason": _UNEXPECTED,
            "detail": f"{type(error).__name__}: {error}"[:500],
        }
        row |= {"num_files": 0, "num_slices": 0, "burned_in_annotation": None}
    volume = None
    if scan.num_elsewhere and converted is not None:
        remark = f"{scan.num_elsewhere} more image(s) of the series lie in other folders, and are not in it"
        row["detail"] = "; ".join(filter(None, (row["detail"], remark)))
    if converted is not None:
        volume = f"{scan.name}{settings.suffix}"
        write_volume_file(out / volume, converted.hu, converted.spacing_mm, converted.origin_mm)
    return {"scan": scan.name, "source": shown_path(scan.path.resolve()), "volume": volume, **row}


def _remove_outdated(earlier: Mapping[str, Any] | None, row: Mapping[str, Any], out: Path) -> None:
    """Remove the volume that an earlier call made of a scan that is refused by now."""
    if earlier is not None and earlier["volume"] and row["volume"] is None:
        (out / str(earlier["volume"])).unlink(missing_ok=True)


def _save(rows: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    table = pd.DataFrame([rows[name] for name in sorted(rows)], columns=list(column_types("conversions")))
    write_table(table, out / TABLE, "conversions")


def _line(row: Mapping[str, Any]) -> str:
    if row["status"] == "refused":
        return f"refused    {one_line(row['scan'])}  {row['reason']}: {row['detail']}"
    remarks = f"  ({row['detail']})" if row["detail"] else ""
    return f"converted  {one_line(row['scan'])}  {row['num_slices']} slices{remarks}"
