"""The download step's work: from a dataset's configuration entry to its tables and files.

A source is a module of ``chestct.download.sources`` with ``list_series``, ``obtain``, ``read_labels`` and
``manifest``. It is imported by its name, so that a dataset depends on the code of its own source alone. One
whose files are the user's has ``remember``, too (``own_files``).
"""

import importlib
import importlib.util
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd

from chestct.dataset_entries import intensity_of
from chestct.download.sources import study_folders
from chestct.download.transfer.disk import check_space, disk_errors
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.files import sync_disk
from chestct.obtained_files import state_of, write_states
from chestct.records import write_recorded
from chestct.tables import column_types, read_table, write_table


def source_of(entry: dict) -> ModuleType:
    """The module of the entry's source.

    Raises:
        InputError: the source is not known.
    """
    name = f"chestct.download.sources.{entry.get('source')}"
    if importlib.util.find_spec(name) is None:
        raise InputError(
            f"source {entry.get('source')!r} is not known",
            where=f"configuration, datasets, {entry.get('name')}",
            expected="the name of a module in chestct/download/sources",
            remedy="correct the key `source`",
        )
    return importlib.import_module(name)


def list_dataset(
    entry: dict,
    root: Path,
    shard_size: int,
    settings: TransferSettings,
    *,
    series_path: Path,
    left_out_path: Path,
    manifest_path: Path,
) -> None:
    """Write a dataset's tables ``series`` and ``left_out``, and its manifest.

    Args:
        entry: the dataset's entry in the configuration.
        root: the dataset's data folder.
        shard_size: scans a job.
        settings: of transfers, for sources whose lists lie elsewhere.
        series_path, left_out_path: CSV to write.
        manifest_path: JSON to write: version, source, licence, citation (a list), stand_in, description,
            counts and bytes, what the values of the scans are (intensity) and, where the source names the
            score that it brings, that name (baseline_title).

    Raises:
        InputError: the entry or the data it names cannot be used.
    """
    source = source_of(entry)
    listing = source.list_series(entry, root, shard_size, settings)
    series, left_out = listing.series, listing.left_out
    write_table(left_out, left_out_path, "left_out")
    facts = {
        "dataset": entry["name"],
        "num_series": len(series),
        "num_left_out": len(left_out),
        "num_instances": int(series["num_instances"].sum()),
        "num_bytes": int(series["num_bytes"].sum()),
        **manifest_facts(entry),
    }
    write_recorded(manifest_path, json.dumps(facts, indent=2) + "\n")
    write_table(series, series_path, "series")
    logging.info(
        "%s: %d series in %d shards, %d left out, %.2f GB to obtain at most",
        entry["name"],
        len(series),
        series["shard"].nunique(),
        len(left_out),
        facts["num_bytes"] / 1e9,
    )


def manifest_facts(entry: dict) -> dict:
    """What is known of a dataset before anything of it is listed: version, source, licence, what to cite.

    Raises:
        InputError: its source is not known, or a folder that it names is not there.
    """
    return {
        "dataset": entry["name"],
        "intensity": intensity_of(entry),
        **source_of(entry).manifest(entry),
    }


def steps_by_hand(entry: dict) -> list[str]:
    """What a person must do before the dataset can be obtained, a sentence each; nothing for most sources.

    Raises:
        InputError: its source is not known.
    """
    steps = getattr(source_of(entry), "steps_by_hand", None)
    return steps(entry) if steps else []


def bytes_lacking(root: Path, series: pd.DataFrame) -> int:
    """Bytes of the listed series that have no folder on disk yet, as far as sizes are known.

    A folder counts as whole here: to list a million files in every job would burden a cluster's disk.
    """
    known = series[series["num_bytes"] > 0]
    return int(
        sum(
            size
            for path, size in zip(known["path"], known["num_bytes"], strict=True)
            if not (root / path).exists()
        )
    )


def obtain_shard(
    entry: dict,
    root: Path,
    series_path: Path,
    shard: int,
    settings: TransferSettings,
    shard_path: Path,
    *,
    version: int | None = None,
) -> None:
    """Obtain the series of one shard and write the table ``shard``.

    A series that cannot be obtained gets its reason there and the others go on. Before anything is fetched,
    the disk must have room for all that the whole dataset still lacks, for shards run side by side.

    Args:
        entry: the dataset's entry in the configuration.
        root: the dataset's data folder.
        series_path: table ``series``.
        shard: its number.
        settings: of transfers.
        shard_path: CSV to write.
        version: of the user's own files, with which the workflow started the job (``own_files``).

    Raises:
        InputError: the disk is too small, or a failure that concerns all series.
    """
    series = read_table(series_path, "series")
    rows = series[series["shard"] == shard]
    if bytes_lacking(root, rows) > 0:
        check_space(root, bytes_lacking(root, series), settings)
    failed = source_of(entry).obtain(entry, root, rows, settings)
    if root.is_dir():
        with disk_errors(root):
            sync_disk(root)  # before the table that vouches for the files
    # Before the files are read: what is written to them from now on is noticed.
    states = {str(row["series_id"]): state_of(root / str(row["path"])) for _, row in rows.iterrows()}
    table = [
        study_folders.shard_row(entry["name"], root, row, failed.get(str(row["series_id"])))
        for _, row in rows.iterrows()
    ]
    for row in table:
        if row["status"] == "failed":
            logging.warning("%(series_id)s could not be obtained: %(reason)s, %(detail)s", row)
    write_table(pd.DataFrame(table, columns=list(column_types("shard"))), shard_path, "shard")
    write_states(shard_path, {series_id: state.exact for series_id, state in states.items()})
    remember = getattr(source_of(entry), "remember", None)
    if remember is not None:
        places = [str(root / str(path)) for path in rows["path"]]
        seen = [(states[str(row["series_id"])].times, row["sha256"] or "") for row in table]
        remember(root, shard, dict(zip(places, seen, strict=True)), version=version)


def extract_labels(
    entry: dict,
    root: Path,
    series_path: Path,
    shard_paths: Sequence[Path],
    labels_path: Path,
    slice_labels_path: Path,
    findings_path: Path,
) -> None:
    """Write a dataset's tables ``labels``, ``slice_labels`` and ``findings``.

    Series that could not be obtained have no label, with the exclusion ``not_obtained``.

    Raises:
        InputError: label files are missing or bad.
    """
    series = read_table(series_path, "series")
    shards = pd.concat([read_table(path, "shard") for path in shard_paths], ignore_index=True)
    there = series["series_id"].isin(shards.loc[shards["status"] == "obtained", "series_id"])
    scans, slices = source_of(entry).read_labels(entry, root, series[there].reset_index(drop=True))
    findings, scans = _split_findings(scans)
    lacking = series.loc[~there, ["dataset", "patient_id", "study_id"]]
    if len(lacking):
        rows = lacking.assign(label=None, exclusion="not_obtained", baseline=None)
        scans = pd.DataFrame([*scans.to_dict("records"), *rows.to_dict("records")])
    write_table(scans, labels_path, "labels")
    write_table(slices, slice_labels_path, "slice_labels")
    write_table(findings, findings_path, "findings")
    logging.info(
        "%s: %d positive, %d negative, %d excluded scans; %d marked slices",
        entry["name"],
        (scans["label"] == 1).sum(),
        (scans["label"] == 0).sum(),
        scans["exclusion"].notna().sum(),
        len(slices),
    )


def _split_findings(scans: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table ``findings``, whose columns a source put beside its labels, and the labels alone."""
    names = [name for name in column_types("findings") if name != "study_id"]
    given = [name for name in names if name in scans]
    findings = scans.reindex(columns=["study_id", *names])
    return findings[findings[names].notna().any(axis=1)], scans.drop(columns=given)
