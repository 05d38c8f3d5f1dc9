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
    counts = table.groupby([table["status"], reasons], sort=True).size()
    return [(str(status), str(reason), int(count)) for (status, reason), count in counts.items()]


def _splits_table(splits: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (fold, split), part in splits.groupby(["fold", "split"], sort=False):
        rows.append(
            {
                "Fold": int(fold),
                "Split": str(split),
                "Patients": int(part["patient_id"].nunique()),
                "Scans": len(part),
                "Positive": int(part["label"].sum()),
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values(["Fold", "Split"], key=lambda column: column.replace(dict(zip(_SPLITS, range(3), strict=True)))).reset_index(drop=True)
