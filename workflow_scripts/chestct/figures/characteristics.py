"""Characteristics of the patients and scans of every partition (CLAIM 2024, item 36), in numbers."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from chestct.figures.report_tables import Shown, show
from chestct.figures.wording import listed
from chestct.tables import read_table

_SPLITS = {"train": "Training", "validation": "Validation", "test": "Test"}
_MOST_NAMED = 3


def characteristics_of(splits_path: str | Path, acquisition_path: str | Path) -> Shown:
    """A column a partition of the first fold, a row a characteristic; of what headers do not say, how many.

    Args:
        splits_path, acquisition_path: tables of the dataset.

    Raises:
        InputError: a table is missing or broken.
    """
    splits = read_table(splits_path, "splits")
    splits = splits[splits["fold"] == splits["fold"].min()]
    facts = read_table(acquisition_path, "acquisition").drop(columns=["dataset", "patient_id"])
    scans = splits.merge(facts, on="study_id", how="left", validate="one_to_one")
    parts = {title: scans[scans["split"] == name] for name, title in _SPLITS.items()}
    columns: dict[str, list[str]] = {"Characteristic": list(_ROWS)}
    for title, part in parts.items():
        if part.empty:  # a dataset that models are only tested on
            continue
        columns[title] = [words(part) for words in _ROWS.values()]
    return show(pd.DataFrame(columns))


def _of_patients(scans: pd.DataFrame) -> pd.DataFrame:
    return scans.drop_duplicates("patient_id")


def _positive(scans: pd.DataFrame) -> str:
    number = int(scans["label"].sum())
    return f"{number:,} ({100 * number / len(scans):.0f} %)"


def _median(column: str, unit: str, decimals: int) -> Callable[[pd.DataFrame], str]:
    def words(scans: pd.DataFrame) -> str:
        values = scans[column].dropna().astype(float)
        if values.empty:
            return _unknown(len(scans), len(scans))
        low, middle, high = (f"{values.quantile(q):.{decimals}f}" for q in (0.25, 0.5, 0.75))
        return f"{middle} {unit} ({low} to {high}){_unknown(len(scans) - len(values), len(scans))}".strip()

    return words


def _sex(scans: pd.DataFrame) -> str:
    known = scans["sex"].dropna()
    if known.empty:
        return _unknown(len(scans), len(scans))
    women = int((known == "F").sum())
    share = f"{women:,} of {len(known):,} ({100 * women / len(known):.0f} %)"
    return share + _unknown(len(scans) - len(known), len(scans))


def _makers(scans: pd.DataFrame) -> str:
    counts = scans["manufacturer"].dropna().value_counts()
    if counts.empty:
        return _unknown(len(scans), len(scans))
    named = [f"{name} {number:,}" for name, number in counts.head(_MOST_NAMED).items()]
    others = int(counts.iloc[_MOST_NAMED:].sum())
    named += [f"others {others:,}"] if others else []
    return listed(named) + _unknown(len(scans) - int(counts.sum()), len(scans))


def _unknown(number: int, total: int) -> str:
    return "unknown" if number == total else f"; unknown: {number:,}" if number else ""


_ROWS: dict[str, Callable[[pd.DataFrame], str]] = {
    "Patients": lambda scans: f"{scans['patient_id'].nunique():,}",
    "Scans": lambda scans: f"{len(scans):,}",
    "Positive scans": _positive,
    "Age of patients, median (quartiles)": lambda scans: _median("age_years", "years", 0)(
        _of_patients(scans)
    ),
    "Women": lambda scans: _sex(_of_patients(scans)),
    "Manufacturer of the scanner": _makers,
    "Slice thickness, median (quartiles)": _median("slice_thickness_mm", "mm", 2),
    "Slice spacing, median (quartiles)": _median("spacing_z_mm", "mm", 2),
    "Slices, median (quartiles)": _median("num_slices", "", 0),
}
