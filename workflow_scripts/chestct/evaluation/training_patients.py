"""Number of training patients of an arm, from the tables of training subsets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chestct.errors import InputError
from chestct.evaluation.contrasts import Arms, Quantity
from chestct.evaluation.matching import BASELINE
from chestct.tables import read_table


def count_patients(subsets: Sequence[str | Path]) -> dict[tuple[int, int], float]:
    """Number of training patients by (percent, seed), averaged over folds."""
    counts: dict[tuple[int, int], float] = {}
    for path in subsets:
        table = read_table(path, "subset")
        folds = table.groupby(["percent", "seed", "fold"])["patient_id"].nunique()
        means = folds.groupby(level=["percent", "seed"]).mean().reset_index()
        keys = zip(means["percent"].astype(int), means["seed"].astype(int), strict=True)
        counts |= dict(zip(keys, means["patient_id"].astype(float), strict=True))
    return counts


def arm_patients(mean: Quantity, arms: Arms, num_patients: Mapping[tuple[int, int], float]) -> float:
    """Number of training patients of an arm or a mean of arms, averaged over seeds; NaN for the baseline.

    Raises:
        InputError: an arm's subset is not among the tables.
    """
    if mean.model == BASELINE.model:
        return np.nan
    used = [(arm.percent, seed) for arm, _ in mean.parts for seed in arms[arm]]
    absent = [key for key in used if key not in num_patients]
    if absent:
        raise InputError(
            f"no training subset of {absent[0][0]} %, seed {absent[0][1]}, which {mean.model} was trained on",
            where="the subset tables of the study",
            expected="one table for every percentage and seed",
            remedy="rerun the subsets step",
        )
    return float(np.mean([num_patients[key] for key in used]))
