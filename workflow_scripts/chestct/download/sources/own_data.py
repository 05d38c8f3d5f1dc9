"""A user's own scans: a CSV that names volumes or DICOM folders, and their labels."""

import re
from pathlib import Path

import pandas as pd

from chestct.download.sources import study_folders
from chestct.download.sources.own_files import remember
from chestct.download.sources.own_table import read_own_table, refusal
from chestct.download.transfer.retries import TransferSettings, Unobtainable

__all__ = ["list_series", "manifest", "obtain", "read_labels", "remember"]

#: A DICOM UID as ``study_id`` says which study a scan is, not which series of it: no reader may hold it
#: against the SeriesInstanceUID of the files.
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


def list_series(
    entry: dict, root: Path, shard_size: int, settings: TransferSettings
) -> study_folders.Listing:
    """List the scans of the user's table, paths absolute.

    Raises:
        InputError: see ``read_own_table``; or a patient named in ``patients`` is not there.
    """
    own = read_own_table(entry)
    if own.attrs["look_alikes"]:
        print(f"WARNING: {own.attrs['look_alikes']}")
    table = pd.DataFrame(
        {
            "dataset": entry["name"],
            "patient_id": own["patient_id"],
            "study_id": own["study_id"],
            "series_id": [f"scan {name}" if _UID.fullmatch(name) else name for name in own["study_id"]],
            "path": own["path"],
            "num_instances": 0,
        }
    )
    return study_folders.listing(table, entry, shard_size, entry["table"])


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Nothing to fetch: check that every scan still has files.

    Raises:
        InputError: a scan is gone or its folder is empty.
    """
    for row in series_rows.to_dict("records"):
        study_folders.series_files(root, row["path"])
    return {}


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of scans (table ``labels``) from the user's table; there are no labels of slices.

    With ``label_rule``, a value above ``positive_above`` is positive, one below ``negative_below``
    negative, any other excluded (``label_between_thresholds``).

    Raises:
        InputError: see ``read_own_table``; or a listed scan is no longer in the table.
    """
    own = read_own_table(entry).set_index("study_id")
    gone = sorted(set(series["study_id"]) - set(own.index))
    if gone:
        raise refusal(
            entry,
            f"{len(gone)} listed scan(s) are no longer in the table: {gone[:5]}",
            "the scans of series.csv",
            "run the rule list_series again",
        )
    own = own.loc[list(series["study_id"])].reset_index()
    value = own["label"]
    rule = entry.get("label_rule")
    label = value.astype("Int64") if not rule else pd.Series(pd.NA, index=own.index, dtype="Int64")
    if rule:
        label = label.mask(value > rule["positive_above"], 1).mask(value < rule["negative_below"], 0)
    scans = pd.DataFrame(
        {
            "dataset": entry["name"],
            "patient_id": own["patient_id"],
            "study_id": own["study_id"],
            "label": label,
            "exclusion": pd.Series(pd.NA, index=own.index, dtype="string").mask(
                label.isna(), "label_between_thresholds"
            ),
            "baseline": own.get("baseline"),
        }
    )
    return scans, pd.DataFrame(columns=["study_id", "sop_instance_uid", "z_mm", "num_readers"])


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance."""
    phantoms = bool(entry.get("phantoms", False))
    return {
        "version": "the user's table",
        "source": str(entry.get("table")),
        "licence": "the user's own",
        "citation": [],
        "stand_in": phantoms,
        "description": f"The user's own {'phantom ' if phantoms else ''}volumes and labels",
    }
