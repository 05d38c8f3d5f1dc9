"""The labels that the runs of a percentage and seed see, from the tables of training subsets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.evaluation.contrasts import Arms, Quantity
from chestct.evaluation.matching import BASELINE
from chestct.evaluation.scans import TestSet
from chestct.tables import read_table

#: Whose labels a percentage counts, by the configuration's word.
LABELS_COUNTED = {"all": "training", "percent": "training_and_validation"}
#: Percentage and seed of a training subset.
SubsetKey = tuple[int, int]


class Labelled(NamedTuple):
    """How many labels the runs of a subset, or of an arm, see.

    Attributes:
        num_patients: training patients; with the validation patients where a percentage counts them too.
            Averaged over folds and, for an arm, over seeds.
        least_class: training scans of the smaller class, the fewest of all folds and seeds.
    """

    num_patients: float
    least_class: float


def read_subsets(paths: Sequence[str | Path]) -> dict[SubsetKey, pd.DataFrame]:
    """The tables of training subsets, by percentage and seed."""
    tables = (read_table(path, "subset") for path in paths)
    return {(int(table["percent"].iloc[0]), int(table["seed"].iloc[0])): table for table in tables}


def known_validation(
    subsets: Mapping[SubsetKey, pd.DataFrame], test_set: TestSet
) -> dict[SubsetKey, np.ndarray]:
    """Whether the runs of a subset saw the label of a validation scan, shape (num_validation_scans,)."""
    keys = ["fold", "study_id"]
    wanted = pd.MultiIndex.from_frame(test_set.validation[keys])
    return {
        key: wanted.isin(pd.MultiIndex.from_frame(table.loc[table["split"] == "validation", keys]))
        for key, table in subsets.items()
    }


def count_labelled(
    subsets: Mapping[SubsetKey, pd.DataFrame], splits: str | Path, *, with_validation: bool
) -> dict[SubsetKey, Labelled]:
    """How many labels the runs of every subset see.

    Args:
        subsets: tables of schema ``subset``.
        splits: path of the dataset's splits, which have the labels; folds that they lack are not counted.
        with_validation: whether the percentage counts the validation patients too.
    """
    scans = read_table(splits, "splits").drop_duplicates("study_id")
    labels = scans.set_index("study_id")["label"].astype(int)
    counts = {}
    for key, whole in subsets.items():
        table = whole[whole["fold"].isin(scans["fold"])]
        counted = table if with_validation else table[table["split"] == "train"]
        patients = counted.groupby("fold")["patient_id"].nunique()
        training = table[table["split"] == "train"]
        positive = training["study_id"].map(labels).groupby(training["fold"]).agg(["sum", "size"])
        least = np.minimum(positive["sum"], positive["size"] - positive["sum"]).min()
        counts[key] = Labelled(float(patients.mean()), float(least))
    return counts


def arm_labelled(mean: Quantity, arms: Arms, labelled: Mapping[SubsetKey, Labelled]) -> Labelled:
    """The labels that an arm or a mean of arms saw; NaN for the baseline.

    Raises:
        InputError: an arm's subset is not among the tables.
    """
    if mean.model == BASELINE.model:
        return Labelled(np.nan, np.nan)
    used = [(arm.percent, seed) for arm, _ in mean.parts for seed in arms[arm]]
    absent = [key for key in used if key not in labelled]
    if absent:
        raise InputError(
            f"no training subset of {absent[0][0]} %, seed {absent[0][1]}, which {mean.model} was trained on",
            where="the subset tables of the study",
            expected="one table for every percentage and seed",
            remedy="rerun the subsets step",
        )
    found = [labelled[key] for key in used]
    return Labelled(
        float(np.mean([one.num_patients for one in found])), min(one.least_class for one in found)
    )
