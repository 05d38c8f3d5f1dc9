"""Conversion of a shard of scans, with its tables."""

import logging
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import pandas as pd

from chestct.errors import InputError
from chestct.files import digest_object, put_in_place
from chestct.intensity import HU
from chestct.obtained_files import FilesState, is_altered, state_of
from chestct.shard_files import new_shard, write_errors
from chestct.tables import column_types, write_table
from chestct.volume_store import Volume, write_stored, write_volume
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.converted_parts import Outcome, Parts
from chestct.volumes.error_words import error_words
from chestct.volumes.kept_scans import KeptScans
from chestct.volumes.plain_words import without_names

log = logging.getLogger(__name__)

_UNEXPECTED = "unexpected_error"
#: Of a study_id, and of one that a message shows.
_MAX_CHARACTERS, _SHOWN_CHARACTERS = 1024, 40


def _is_name(study_id: str) -> bool:
    """Whether a shard can hold a scan under a name: HDF5 takes '/' for a group, and ends at a NUL."""
    return (
        0 < len(study_id) <= _MAX_CHARACTERS
        and study_id.isprintable()
        and "/" not in study_id
        and study_id != "."
    )


def _check_identifiers(series: pd.DataFrame, dataset: str) -> None:
    """Stop where a shard could not tell the scans of a table apart."""
    ids = series["study_id"]
    odd = pd.Series([not _is_name(name) for name in ids], index=ids.index, dtype=bool)
    bad = ids[ids.duplicated() | odd]
    if len(bad):
        shown = [ascii(name[:_SHOWN_CHARACTERS]) for name in bad.unique()[:5]]
        raise InputError(
            f"study_id given twice, empty, too long, or with a slash or characters that do not print: "
            f"{', '.join(shown)}",
            where=f"series table of dataset '{dataset}'",
            expected=f"one series a study_id; up to {_MAX_CHARACTERS} printing characters, no '/'",
            remedy="correct the dataset's table of scans",
        )


def convert_shard(
    series: pd.DataFrame,
    *,
    obtained: pd.DataFrame,
    states: Mapping[str, str] | None = None,
    root: str | Path,
    dataset: str,
    size_px: int | None,
    spacing_z_mm: float | None = None,
    num_slices: int | None = None,
    intensity: str = HU,
    accept: Sequence[str] = (),
    store_path: str | Path,
    index_path: str | Path,
    slices_path: str | Path,
    ledger_path: str | Path,
    acquisition_path: str | Path,
    code_digest: str,
    num_threads: int = 1,
) -> None:
    """Convert the scans of one shard, one in memory at a time.

    A refused scan gets its row in the ledger and the shard goes on; a shard of refused scans only is
    valid and empty. A scan on which the code itself fails is refused too (``unexpected_error``, with the
    traceback in the log): one odd file should not stop a study, whereas a mistake in the code refuses so
    many scans that the study stops (``combine_shards``). Running out of memory ends the job, so that it can
    be run again with more.

    A job that was killed goes on where it stopped (``converted_parts``), and one whose rows or files have
    changed converts those alone (``kept_scans``). Each output appears whole or not at
    all, the shard before its tables.

    Args:
        series: rows of the table ``series`` that belong to the shard.
        obtained: table ``shard``; a series that could not be obtained is refused as ``not_obtained``, one
            whose files are not those that were obtained as ``altered``.
        states: of the obtained files, by series_id (``obtained_files.read_states``), where they are known.
        root: folder that relative paths in ``series`` start from.
        dataset: name in the tables.
        size_px: rows and columns after area averaging; None keeps those of each scan.
        spacing_z_mm: between slices after resampling along z; None keeps that of each scan.
        num_slices: after resampling along z, in the place of a spacing; None keeps those of each scan.
        intensity: what the files' values are (``chestct.intensity``).
        accept: reasons that no scan is refused by (``refusals.ACCEPTABLE``).
        store_path: shard to write (``chestct.volume_store``).
        index_path, slices_path, ledger_path, acquisition_path: tables to write.
        code_digest: of the modules that convert; what a killed job converted with other code is not used.
        num_threads: threads that resampling may use.

    Raises:
        InputError: the series table names one scan twice, or has impossible identifiers; the outputs can't
            be written.
    """
    cv2.setNumThreads(num_threads)
    # pydicom quotes values of headers, which may be names, in what it warns of.
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    _check_identifiers(series, dataset)
    failed = obtained[obtained["status"] == "failed"]
    failures = dict(zip(failed["series_id"], failed["reason"] + ", " + failed["detail"], strict=True))
    digests = dict(zip(obtained["series_id"], obtained.get("sha256", []), strict=False))
    rows = [{str(name): value for name, value in row.items()} for row in series.to_dict("records")]
    paths = [Path(root) / row["path"] for row in rows]
    conversion = {
        "dataset": dataset,
        "size_px": size_px,
        "spacing_z_mm": spacing_z_mm,
        "num_slices": num_slices,
        "intensity": intensity,
        "accept": sorted(accept),
    }
    now = [state_of(path) for path in paths]  # once, as through a network it takes long
    keys = [
        # Rows that come and go move others to another shard.
        digest_object({"code": code_digest, **conversion, "row": row | {"shard": 0}, "files": state.times})
        for row, state in zip(rows, now, strict=True)
    ]
    kept = KeptScans(store_path, digest_object({"code": code_digest, **conversion}))
    parts = Parts(store_path)
    parts.sweep(keys)
    outcomes: list[Outcome] = []
    with new_shard(parts.whole) as file:
        for number, (row, path, state, key) in enumerate(zip(rows, paths, now, keys, strict=True), start=1):
            # A path may hold a name, and logs are sent to others: scans are named by their place.
            place = f"scan {number} of {len(rows)} in the shard"
            if row["series_id"] in failures:
                outcome = _refused(row, "not_obtained", failures[row["series_id"]])
            elif earlier := parts.load(key) or kept.load(key):
                log.info("%s: converted by an earlier job", place)
                outcome = earlier
                if outcome.stored is not None:
                    write_stored(file, outcome.stored)
            elif altered := _altered(
                path, digests.get(row["series_id"]), (states or {}).get(row["series_id"]), state
            ):
                log.warning("%s: %s", place, altered)
                outcome = _refused(row, "altered", altered)
            else:
                outcome = _convert_row(row, path, place, file, conversion)
                if _is_final(outcome):
                    parts.save(key, outcome)
            if outcome.stored is not None:  # the tables need no voxels, of which memory holds one scan's
                outcome = replace(outcome, stored=replace(outcome.stored, slices=()))
            outcomes.append(outcome)
    with write_errors(store_path):
        put_in_place(parts.whole, Path(store_path))
    tables = _tables(outcomes, store_path)
    paths_by_table = {
        "index": index_path,
        "slices": slices_path,
        "ledger": ledger_path,
        "acquisition": acquisition_path,
    }
    for name, table_path in paths_by_table.items():
        write_table(pd.DataFrame(tables[name], columns=list(column_types(name))), table_path, name)
    log.info("%d of %d scans converted", len(tables["index"]), len(outcomes))
    kept.keep({key: outcome for key, outcome in zip(keys, outcomes, strict=True) if _is_final(outcome)})
    parts.remove()


def _is_final(outcome: Outcome) -> bool:
    """Whether the same files would have the same outcome again: a disk may answer the next time."""
    return outcome.ledger["reason"] not in (_UNEXPECTED, "not_obtained", "altered", "missing_files")


def _convert_row(
    row: dict[str, Any], path: Path, place: str, file: h5py.File, conversion: dict[str, Any]
) -> Outcome:
    """Convert the scan of one row of the series table into an open shard; its volume is gone on return.

    ``place`` names the scan in the log; ``conversion`` holds the settings of ``convert_one``.
    """
    try:
        ledger, scan = convert_one(
            path,
            patient_id=row["patient_id"],
            study_id=row["study_id"],
            series_id=row["series_id"],
            num_instances=int(row["num_instances"]),
            **conversion,
        )
    except MemoryError:
        raise
    except Exception as error:
        words = without_names(error_words(error), path)
        lines = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s: unexpected error\nTraceback (most recent call last):\n%s%s", place, lines, words)
        return _refused(row, _UNEXPECTED, words[:500])
    if scan is None:
        log.warning("%s refused: %s, %s", place, ledger["reason"], ledger["detail"])
        return Outcome(ledger=ledger)
    volume = Volume(
        patient_id=ledger["patient_id"],
        study_id=ledger["study_id"],
        series_id=ledger["series_id"],
        hu=scan.hu,
        spacing_mm=scan.spacing_mm,
        z_mm=scan.z_mm,
        intensity=scan.intensity,
    )
    return Outcome(
        ledger=ledger,
        index=_index_row(volume, conversion["dataset"]) | {"content": scan.content},
        acquisition=_keys(ledger) | asdict(scan.acquisition),
        sop_uids=scan.sop_uids,
        copies=scan.copies,
        stored=write_volume(file, volume),
    )


def _altered(path: Path, digest: str | None, state: str | None, now: FilesState) -> str:
    """Why a scan's files are not those that were obtained; nothing where they are, or no digest is known."""
    if not isinstance(digest, str):
        return ""
    try:
        if not is_altered(path, digest, state, now):
            return ""
        what = "the files are not those that were obtained"
    except OSError as error:
        what = f"the files that were obtained cannot be read: {error.strerror}"
    return f"{what}; look at them again (snakemake --cores all --forcerun download_series)"


def _refused(row: dict[str, Any], reason: str, detail: str) -> Outcome:
    """Outcome of a scan that could not even be read."""
    names = ("dataset", "patient_id", "study_id", "series_id")
    outcome = {"status": "refused", "reason": reason, "detail": detail, "num_files": 0, "num_slices": 0}
    return Outcome(ledger={name: row[name] for name in names} | outcome)


def _tables(outcomes: Sequence[Outcome], store_path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of the shard's tables, by table."""
    index = [outcome.index | {"store": str(store_path)} for outcome in outcomes if outcome.index is not None]
    slices = [row for outcome in outcomes for row in _slice_rows(outcome)]
    return {
        "index": index,
        "slices": slices,
        "ledger": [outcome.ledger for outcome in outcomes],
        "acquisition": [outcome.acquisition for outcome in outcomes if outcome.acquisition is not None],
    }


def _keys(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("dataset", "patient_id", "study_id")}


def _slice_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Rows of the table slices: a row a slice, and one more for every identical image that was dropped."""
    stored = outcome.stored
    if stored is None:
        return []
    images = [*enumerate(outcome.sop_uids), *((number, uid) for uid, number in outcome.copies.items())]
    return [
        {
            "study_id": stored.study_id,
            "slice_index": number,
            "z_mm": stored.z_mm[number],
            "sop_instance_uid": uid,
        }
        for number, uid in sorted(images, key=lambda image: image[0])
    ]


def _index_row(volume: Volume, dataset: str) -> dict[str, object]:
    """Row of the index, without the path of the shard."""
    num_slices, rows, columns = volume.hu.shape
    return {
        "dataset": dataset,
        "patient_id": volume.patient_id,
        "study_id": volume.study_id,
        "series_id": volume.series_id,
        "num_slices": num_slices,
        "rows": rows,
        "columns": columns,
        **dict(zip(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), volume.spacing_mm, strict=True)),
        "sha256": volume.sha256,
    }
