"""Test sets of few patients and percentages of few patients are warned of where they are made."""

import pandas as pd
import pytest

from chestct.few_tested import few_tested_words
from chestct.subsets.assign_splits import write_splits
from chestct.subsets.splits import write_subset
from chestct.tables import read_table, write_table

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.3}


def write_cohort(folder, positive, negative):
    labels = [1] * positive + [0] * negative
    rows = {
        "dataset": "mine",
        "patient_id": [f"p{number:03d}" for number in range(len(labels))],
        "study_id": [f"s{number:03d}" for number in range(len(labels))],
        "label": labels,
        "status": "used",
        "reason": None,
        "baseline": None,
        "num_slices": 30,
    }
    write_table(pd.DataFrame(rows), folder / "cohort.csv", "cohort")


def split(folder, *, folds, train=True):
    write_splits(
        cohort=str(folder / "cohort.csv"),
        acquisition=None,
        output=str(folder / "splits.csv"),
        use={"train": train},
        shares=SHARES,
        folds=folds,
        seed=0,
    )
    return read_table(folder / "splits.csv", "splits")


@pytest.mark.parametrize(
    ("numbers", "folds", "train", "words"),
    [
        ((30, 100), 1, True, "only 9 patients with a positive scan are tested, fewer than 20"),
        ((100, 40), 1, True, "only 12 patients with a negative scan are tested"),
        ((15, 60), 5, True, "only 15 patients with a positive scan are tested"),
        ((3, 60), 1, False, "only 3 patients with a positive scan are tested"),
        ((20, 60), 5, True, ""),
        ((80, 80), 1, True, ""),
    ],
)
def test_a_small_test_set_is_warned_of_and_folds_are_recommended(
    tmp_path, capsys, numbers, folds, train, words
):
    write_cohort(tmp_path, *numbers)
    split(tmp_path, folds=folds, train=train)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING: ")]
    assert len(printed) == bool(words)
    if words:
        assert printed[0].startswith(f"WARNING: mine: {words}")
        assert ("subsets.folds: 5" in printed[0]) == (folds == 1 and train)


def test_folds_are_not_recommended_where_a_group_is_the_test_set(tmp_path):
    write_cohort(tmp_path, 10, 60)
    splits = split(tmp_path, folds=1)
    assert "folds" in few_tested_words(splits) and "folds" not in few_tested_words(splits, "group")


def test_a_percentage_of_few_patients_is_told_with_its_share(tmp_path, capsys):
    write_cohort(tmp_path, 12, 12)
    split(tmp_path, folds=1)
    for percent in (1, 50, 100):
        write_subset(
            splits=str(tmp_path / "splits.csv"),
            output=str(tmp_path / "subset.csv"),
            percent=percent,
            seed=0,
            validation_labels="all",
        )
    warned = [line for line in capsys.readouterr().out.splitlines() if "training patients are" in line]
    assert warned == [
        "WARNING: mine: 1 % of 12 training patients are 2 (17 %), at least one of each class; figures name "
        "the patients"
    ]
