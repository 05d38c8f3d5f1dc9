"""Cohort flow of a dataset: from the series read to the scans used for training and testing, in numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.figures.report_tables import show
from chestct.tables import read_table

_SPLIT_WORDS = {"train": "training", "validation": "validation", "test": "test"}

Reasons = Sequence[tuple[str, int]]


def cohort_flow(
    dataset: str, cohort_path: str | Path, splits_path: str | Path, ledger_path: str | Path
) -> dict[str, Any]:
    """Count series by outcome of the conversion, and scans by use and by split.

    Args:
        dataset: name.
        cohort_path, splits_path, ledger_path: tables of the dataset.

    Returns:
        dataset; steps: dicts with count, words, notes (reasons and numbers of repairs), num_lost, lost_words,
        lost (reasons and numbers); first_splits: dicts with name, scans, patients, positive of the first
        fold, and of scans that are in no split; splits: a table of all folds; folds: their number.

    Raises:
        InputError: a table is missing or broken.
    """
    ledger = read_table(ledger_path, "ledger")
    cohort = read_table(cohort_path, "cohort")
    split_scans = read_table(splits_path, "splits")
    splits = _splits_table(split_scans)
    used = cohort[cohort["status"] == "used"]
    beside = used[~used["study_id"].isin(split_scans["study_id"])]
    refused = _reasons(ledger, "refused")
    repaired = _reasons(ledger, "repaired")
    excluded = _reasons(cohort, "excluded")
    num_refused, num_repaired, num_excluded = (_total(reasons) for reasons in (refused, repaired, excluded))
    among = ", refused series among them" if num_refused else ""
    steps = [
        _step(len(ledger), "series read", lost=refused, lost_words="refused by the conversion"),
        _step(
            len(ledger) - num_refused,
            f"series converted{f', {num_repaired:,} after a documented repair' if num_repaired else ''}",
            notes=repaired,
        ),
        _step(len(cohort), "scans considered", lost=excluded, lost_words=f"excluded{among}"),
        _step(
            len(cohort) - num_excluded,
            f"scans used, {used['label'].sum():,} positive, of {used['patient_id'].nunique():,} patients",
        ),
    ]
    first = splits[splits["Fold"] == splits["Fold"].min()]
    return {
        "dataset": dataset,
        "steps": steps,
        "first_splits": [
            {"name": _SPLIT_WORDS[split], "scans": scans, "patients": patients, "positive": positive}
            for _, split, patients, scans, positive in first.itertuples(index=False)
            if scans
        ]
        + _unsplit(beside),
        "splits": show(splits),
        "folds": int(splits["Fold"].nunique()),
    }


def _unsplit(scans: pd.DataFrame) -> list[dict[str, Any]]:
    """Used scans in no split: if a group is left out, those that may be of it and test patients' others."""
    counts = {
        "scans": len(scans),
        "patients": scans["patient_id"].nunique(),
        "positive": int(scans["label"].sum()),
    }
    return [{"name": "in no split", **counts}] if len(scans) else []


def _step(
    number: int, words: str, *, notes: Reasons = (), lost: Reasons = (), lost_words: str = ""
) -> dict[str, Any]:
    return {
        "count": number,
        "words": words,
        "notes": notes,
        "num_lost": _total(lost),
        "lost_words": lost_words,
        "lost": lost,
    }


def _total(reasons: Reasons) -> int:
    return sum(number for _, number in reasons)


def _reasons(table: pd.DataFrame, status: str) -> Reasons:
    """Reasons of the rows of a status with their numbers, the most frequent first."""
    reasons = table.loc[table["status"] == status, "reason"].fillna("no reason").str.replace("_", " ")
    counts = [(str(reason), int(number)) for reason, number in reasons.value_counts().items()]
    return sorted(counts, key=lambda item: (-item[1], item[0]))


def _splits_table(splits: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for fold in sorted(splits["fold"].unique()):
        for split in _SPLIT_WORDS:
            part = splits[(splits["fold"] == fold) & (splits["split"] == split)]
            patients, positive = part["patient_id"].nunique(), int(part["label"].sum())
            rows.append((int(fold), split, patients, len(part), positive))
    return pd.DataFrame(rows, columns=["Fold", "Split", "Patients", "Scans", "Positive"])
