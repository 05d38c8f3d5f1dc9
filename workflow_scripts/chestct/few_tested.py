"""Test sets of few patients: what is said of them when they are made, and in the report."""

from typing import Literal

import pandas as pd

#: Fewer patients of a class than this in all test sets together say little; the user is told.
FEW_TESTED = 20

Split = Literal["shares", "group", "none"]


def few_tested_words(splits: pd.DataFrame, split: Split = "shares") -> str:
    """A sentence on a test set with fewer than ``FEW_TESTED`` patients of a class; empty where it has more.

    Args:
        splits: the dataset's table of that name; under cross-validation the test sets of all folds count.
        split: how it is split: by shares or folds, by a group, or not at all (all scans are tested).
    """
    test = splits[splits["split"] == "test"]
    patients = test.groupby("label")["patient_id"].nunique().reindex([1, 0], fill_value=0)
    if patients.min() >= FEW_TESTED:
        return ""
    name = "positive" if patients[1] < FEW_TESTED else "negative"
    number = int(patients.min())
    words = (
        f"{splits['dataset'].iloc[0]}: only {number} patient{'' if number == 1 else 's'} with a {name} scan "
        f"{'is' if number == 1 else 'are'} tested, fewer than {FEW_TESTED}: intervals are wide, and only a "
        "large difference can be seen"
    )
    if split == "shares" and splits["fold"].nunique() == 1:
        return f"{words}. With subsets.folds: 5 (or 3) every patient is tested once."
    return f"{words}. More patients would help."
