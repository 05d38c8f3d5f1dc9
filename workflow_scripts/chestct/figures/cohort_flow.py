"""How the scans of a dataset became the scans that were trained and tested on, in counts."""

from pathlib import Path
from typing import Any

import pandas as pd

from chestct.tables import read_table

_SPLITS = ("train", "validation", "test")


def cohort_flow(
    dataset: str, cohort_path: str | Path, splits_path: str | Path, ledger_path: str | Path
) -> dict[str, Any]:
    """Count series by outcome of the conversion, scans by use, and scans by split.

    Args:
        dataset: name.
        cohort_path, splits_path, ledger_path: tables of the dataset.

    Returns:
        dataset; series and scans: lists of (outcome, reason, count); num_patients, num_used,
        num_positive of the scans used; splits: a DataFrame; folds: their number.

    Raises:
        InputError: a table is missing or broken.
    """
    ledger = read_table(ledger_path, "ledger")
    cohort = read_table(cohort_path, "cohort")
    splits = read_table(splits_path, "splits")
    used = cohort[cohort["status"] == "used"]
    return {
        "dataset": dataset,
        "series": _counts(ledger),
        "num_series": len(ledger),
        "scans": _counts(cohort),
        "num_scans": len(cohort),
        "num_patients": int(used["patient_id"].nunique()),
        "num_used": len(used),
        "num_positive": int(used["label"].sum()),
        "splits": _splits_table(splits),
        "folds": int(splits["fold"].nunique()),
    }


def _counts(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    reasons = table["reason"].fillna("").str.replace("_", " ")
    return sorted(
        (status, reason, len(rows))
        for status, part in reasons.groupby(table["status"])
        for reason, rows in part.groupby(part)
    )


def _splits_table(splits: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for fold in sorted(splits["fold"].unique()):
        for split in _SPLITS:
            part = splits[(splits["fold"] == fold) & (splits["split"] == split)]
            patients, positive = part["patient_id"].nunique(), int(part["label"].sum())
            rows.append((int(fold), split, patients, len(part), positive))
    return pd.DataFrame(rows, columns=["Fold", "Split", "Patients", "Scans", "Positive"])
