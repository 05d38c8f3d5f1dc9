import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chestct.errors import InputError
from chestct.subsets.splits import sample_subset, split_patients

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def cohort(num_patients: int, *, scans_a_patient: int = 2) -> pd.DataFrame:
    rows = [
        {"dataset": "d", "patient_id": f"p{i:03d}", "study_id": f"s{i:03d}-{j}", "label": int(i % 3 == 0)}
        for i in range(num_patients)
        for j in range(scans_a_patient)
    ]
    return pd.DataFrame(rows).assign(status="used")


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 90), st.integers(0, 5), st.sampled_from([1, 2, 5]))
def test_patients_never_straddle_splits(num_patients, seed, folds):
    splits = split_patients(cohort(num_patients), shares=SHARES, folds=folds, seed=seed)
    assert (splits.groupby(["fold", "patient_id"])["split"].nunique() == 1).all()
    assert (splits.groupby("fold")["study_id"].nunique() == 2 * num_patients).all()


def test_folds_test_every_scan_once():
    splits = split_patients(cohort(50), shares=SHARES, folds=5, seed=0)
    tested = splits[splits["split"] == "test"]["study_id"]
    assert sorted(tested) == sorted(cohort(50)["study_id"])
    validated = splits[splits["split"] == "validation"].groupby("fold")["patient_id"].agg(frozenset)
    assert validated.nunique() == 5


def test_shares_are_met_in_both_classes():
    splits = split_patients(cohort(300), shares=SHARES, folds=1, seed=3)
    sizes = splits.groupby(["label", "split"]).size().unstack()
    assert sizes.loc[1].to_dict() == {"train": 120, "validation": 40, "test": 40}


def test_the_order_of_the_table_does_not_matter():
    table = cohort(60)
    one = split_patients(table, shares=SHARES, folds=1, seed=7)
    other = split_patients(table.sample(frac=1, random_state=1), shares=SHARES, folds=1, seed=7)
    assert (
        one.set_index("study_id")["split"]
        .sort_index()
        .equals(other.set_index("study_id")["split"].sort_index())
    )


def test_one_class_in_a_split_stops():
    with pytest.raises(InputError, match="holds no scan"):
        split_patients(cohort(4, scans_a_patient=1), shares=SHARES, folds=1, seed=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.sampled_from([1, 5]))
def test_subsets_are_nested_and_from_training_only(seed, folds):
    splits = split_patients(cohort(90), shares=SHARES, folds=folds, seed=1)
    train = splits[splits["split"] == "train"]
    subsets = {p: sample_subset(splits, percent=p, seed=seed) for p in (1, 10, 25, 50, 100)}
    keys = {p: set(zip(s["fold"], s["study_id"], strict=True)) for p, s in subsets.items()}
    assert keys[1] < keys[10] < keys[25] < keys[50] < keys[100]
    assert keys[100] == set(zip(train["fold"], train["study_id"], strict=True))
    labels = splits.drop_duplicates("study_id").set_index("study_id")["label"]
    for fold, part in subsets[1].groupby("fold"):
        assert labels[part["study_id"]].nunique() == 2, fold


def test_ten_percent_is_a_tenth_of_the_patients():
    splits = split_patients(cohort(300), shares=SHARES, folds=1, seed=0)
    assert sample_subset(splits, percent=10, seed=0)["patient_id"].nunique() == 18


def test_seeds_draw_different_subsets():
    splits = split_patients(cohort(300), shares=SHARES, folds=1, seed=0)
    one, other = (set(sample_subset(splits, percent=10, seed=s)["patient_id"]) for s in (0, 1))
    assert one != other
