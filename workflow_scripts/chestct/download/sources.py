"""The download step's work: from a dataset's configuration entry to its tables and files.

A source is a module with ``list_series``, ``obtain``, ``read_labels`` and ``manifest``; a new one is
such a module and one line here.
"""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
from tqdm import tqdm

from chestct.download import layout, lidc_idri, own_data, phantom_lidc, phantom_rspect, rspect
from chestct.errors import InputError
from chestct.files import write_text
from chestct.tables import read_table, write_table

SOURCES: dict[str, ModuleType] = {
    "phantom_rspect": phantom_rspect,
    "phantom_lidc": phantom_lidc,
    "rspect": rspect,
    "lidc_idri": lidc_idri,
    "own_data": own_data,
}


def source_of(entry: dict) -> ModuleType:
    """The module of the entry's source.

    Raises:
        InputError: the source is not known.
    """
    if entry.get("source") not in SOURCES:
        raise InputError(
            f"source {entry.get('source')!r} is not known",
            where=f"configuration, datasets, {entry.get('name')}",
            expected=", ".join(SOURCES),
            remedy="correct the key `source`",
        )
    return SOURCES[entry["source"]]


def list_dataset(entry: dict, root: Path, shard_size: int, series_path: Path, manifest_path: Path) -> None:
    """Write a dataset's table ``series`` and its manifest.

    Args:
        entry: the dataset's entry in the configuration.
        root: the dataset's data folder.
        shard_size: scans a job.
        series_path: CSV to write.
        manifest_path: JSON to write: version, source, licence, citation, stand_in, description.

    Raises:
        InputError: the entry or the data it names cannot be used.
    """
    source = source_of(entry)
    series = source.list_series(entry, root, shard_size)
    write_table(series, series_path, "series")
    facts = {"dataset": entry["name"], "num_series": len(series), **source.manifest(entry)}
    write_text(manifest_path, json.dumps(facts, indent=2) + "\n")
    logging.info("%s: %d series in %d shards", entry["name"], len(series), series["shard"].nunique())


def obtain_shard(entry: dict, root: Path, series_path: Path, shard: int, shard_path: Path) -> None:
    """Obtain the series of one shard and write the table ``shard``.

    Raises:
        InputError: a series cannot be obtained or is incomplete.
    """
    series = read_table(series_path, "series")
    rows = series[series["shard"] == shard]
    with tqdm(total=len(rows), desc=f"{entry['name']} shard {shard}", mininterval=5, file=sys.stderr) as bar:
        source_of(entry).obtain(entry, root, rows, bar.update)
    table = [layout.shard_row(entry["name"], root, row) for _, row in rows.iterrows()]
    write_table(pd.DataFrame(table), shard_path, "shard")


def extract_labels(
    entry: dict, root: Path, series_path: Path, labels_path: Path, slice_labels_path: Path
) -> None:
    """Write a dataset's tables ``labels`` and ``slice_labels``.

    Raises:
        InputError: label files are missing or bad.
    """
    series = read_table(series_path, "series")
    scans, slices = source_of(entry).read_labels(entry, root, series)
    write_table(scans, labels_path, "labels")
    write_table(slices, slice_labels_path, "slice_labels")
    logging.info(
        "%s: %d positive, %d negative, %d excluded scans; %d marked slices",
        entry["name"],
        (scans["label"] == 1).sum(),
        (scans["label"] == 0).sum(),
        scans["exclusion"].notna().sum(),
        len(slices),
    )
