"""Joins the tables of a dataset's shards, and stops the study where too many scans were refused."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from chestct.errors import InputError
from chestct.tables import column_types, read_table, write_table
from chestct.volumes.converted_parts import remove_parts
from chestct.volumes.duplicates import OnDuplicates, refuse_duplicates
from chestct.volumes.kept_scans import remove_outdated
from chestct.volumes.remedies import remedy_lines


def _concatenate(paths: Sequence[str | Path], name: str) -> pd.DataFrame:
    tables = [table for table in (read_table(path, name) for path in paths) if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(column_types(name)))


def _check_share(ledger: pd.DataFrame, dataset: str, max_refused_percent: float, where: str) -> None:
    refused = ledger[ledger["status"] == "refused"]
    if len(ledger) and len(refused) < len(ledger) and 100 * len(refused) <= max_refused_percent * len(ledger):
        return
    counts = refused["reason"].value_counts()
    summary = ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "no scan at all"
    raise InputError(
        f"{len(refused)} of {len(ledger)} scans of dataset '{dataset}' were refused: {summary}",
        where=where,
        expected=f"at most {max_refused_percent:g} % refused, and at least one scan converted",
        remedy="read the column detail of shard-*.ledger.csv there; repair or leave out those scans, "
        "or raise volumes.max_refused_percent if the study may do without them"
        + "".join(f"\n    {line}" for line in remedy_lines(counts.index)),
    )


def combine_volumes(
    *,
    dataset: str,
    index_paths: Sequence[str | Path],
    slices_paths: Sequence[str | Path],
    ledger_paths: Sequence[str | Path],
    acquisition_paths: Sequence[str | Path],
    max_refused_percent: float,
    on_duplicates: OnDuplicates = "stop",
    index_path: str | Path,
    slices_path: str | Path,
    ledger_path: str | Path,
    acquisition_path: str | Path,
) -> None:
    """Concatenate the tables of a dataset's shards in the order given; remove what killed jobs and scans that
    are no more left.

    Of scans with equal voxels the first is kept, and the others are refused as ``duplicate``
    (``duplicates``): their rows are in the ledger alone, and do not count among those that
    ``max_refused_percent`` limits.

    Raises:
        InputError: more than ``max_refused_percent`` of the scans were refused, none was converted, one scan
            is in two shards, or two patients have equal voxels. Nothing is written then.
    """
    ledger = _concatenate(ledger_paths, "ledger")
    folders = sorted({str(Path(path).parent) for path in ledger_paths})
    _check_share(ledger, dataset, max_refused_percent, ", ".join(folders) or dataset)
    index = _concatenate(index_paths, "index")
    twice = index.loc[index["study_id"].duplicated(), "study_id"]
    if len(twice):
        raise InputError(
            f"scans in two shards of dataset '{dataset}': {twice.head(5).tolist()}",
            where=", ".join(folders),
            expected="one series a study_id",
            remedy="correct the dataset's table of scans",
        )
    combined = refuse_duplicates(
        index, ledger, dataset=dataset, on_duplicates=on_duplicates, where=", ".join(folders)
    )
    tables = {
        "index": (combined.index, index_path),
        "slices": (combined.without_refused(_concatenate(slices_paths, "slices")), slices_path),
        "ledger": (combined.ledger, ledger_path),
        "acquisition": (
            combined.without_refused(_concatenate(acquisition_paths, "acquisition")),
            acquisition_path,
        ),
    }
    for name, (table, path) in tables.items():
        write_table(table, path, name)
    for folder in folders:
        remove_parts(Path(folder))
        own = [Path(path) for path in index_paths if str(Path(path).parent) == folder]
        remove_outdated(
            Path(folder), [path.with_name(path.name.replace(".index.csv", ".h5")) for path in own]
        )
