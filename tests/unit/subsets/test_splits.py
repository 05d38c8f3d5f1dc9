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


@pytest.mark.parametrize(
    ("positive", "message"),
    [
        (["p0", "p1", "p2"], r"too small for intervals.*: 1 positive scan.s. of 1 patient.s., 3 negative"),
        ([f"p{i}" for i in range(3, 12)], r"too small for intervals.*1 negative scan.s. of 1 patient"),
    ],
)
def test_one_scan_of_a_class_in_the_test_set_stops_before_anything_is_trained(positive, message):
    table = cohort(12, scans_a_patient=1).assign(patient_id=[f"p{i}" for i in range(12)])
    table["label"] = table["patient_id"].isin(positive).astype(int)
    shares = {"train": 0.4, "validation": 0.3, "test": 0.3}
    with pytest.raises(InputError, match=message):
        split_patients(table, shares=shares, folds=1, seed=0)


def test_many_scans_of_one_patient_are_no_more_than_one():
    table = cohort(12, scans_a_patient=5)
    table["label"] = table["patient_id"].isin(["p000", "p001", "p002"]).astype(int)
    with pytest.raises(InputError, match=r"5 positive scan.s. of 1 patient"):
        split_patients(table, shares={"train": 0.4, "validation": 0.3, "test": 0.3}, folds=1, seed=0)


def test_every_fold_needs_two_patients_of_each_class():
    table = cohort(12, scans_a_patient=1)
    shares = {"train": 0.5, "validation": 0.2, "test": 0.3}
    for num_positive in (5, 6):
        table["label"] = (table.index < num_positive).astype(int)
        if num_positive == 6:
            splits = split_patients(table, shares=shares, folds=3, seed=0)
            assert set(splits[splits["split"] == "test"].groupby("fold")["label"].sum()) == {2}
        else:
            with pytest.raises(InputError, match=r"test set of fold 2 is too small.*1 positive"):
                split_patients(table, shares=shares, folds=3, seed=0)


def training_subset(splits: pd.DataFrame, *, percent: int, seed: int) -> pd.DataFrame:
    subset = sample_subset(splits, percent=percent, seed=seed, validation_labels="all")
    return subset[subset["split"] == "train"]


def validation_of(splits: pd.DataFrame, percent: int, validation_labels: str) -> set:
    subset = sample_subset(splits, percent=percent, seed=3, validation_labels=validation_labels)
    rows = subset[subset["split"] == "validation"]
    return set(zip(rows["fold"], rows["study_id"], strict=True))


@pytest.mark.parametrize("folds", [1, 3])
def test_validation_shrinks_with_the_training_set_where_a_percent_counts_its_labels(folds):
    splits = split_patients(cohort(200), shares=SHARES, folds=folds, seed=1)
    held_out = splits[splits["split"] == "validation"]
    everything = set(zip(held_out["fold"], held_out["study_id"], strict=True))
    assert validation_of(splits, 1, "all") == validation_of(splits, 100, "all") == everything
    one, ten, all_of_them = (validation_of(splits, percent, "percent") for percent in (1, 10, 100))
    assert one < ten < all_of_them == everything
    num_patients = held_out.groupby("fold")["patient_id"].nunique().iloc[0]
    assert 0.05 * num_patients <= len({study for fold, study in ten if fold == 0}) / 2 <= 0.15 * num_patients
    labels = splits.drop_duplicates("study_id").set_index("study_id")["label"]
    assert {int(labels[study]) for fold, study in one if fold == 0} == {0, 1}


def test_the_training_subset_does_not_depend_on_whose_labels_count():
    splits = split_patients(cohort(200), shares=SHARES, folds=1, seed=1)
    one, other = (
        sample_subset(splits, percent=10, seed=2, validation_labels=words).query("split == 'train'")
        for words in ("all", "percent")
    )
    assert one["study_id"].tolist() == other["study_id"].tolist()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 20), st.sampled_from([1, 5]))
def test_subsets_are_nested_and_from_training_only(seed, folds):
    splits = split_patients(cohort(90), shares=SHARES, folds=folds, seed=1)
    train = splits[splits["split"] == "train"]
    subsets = {p: training_subset(splits, percent=p, seed=seed) for p in (1, 10, 25, 50, 100)}
    keys = {p: set(zip(s["fold"], s["study_id"], strict=True)) for p, s in subsets.items()}
    assert keys[1] < keys[10] < keys[25] < keys[50] < keys[100]
    assert keys[100] == set(zip(train["fold"], train["study_id"], strict=True))
    labels = splits.drop_duplicates("study_id").set_index("study_id")["label"]
    for fold, part in subsets[1].groupby("fold"):
        assert labels[part["study_id"]].nunique() == 2, fold


def test_ten_percent_is_a_tenth_of_the_patients():
    splits = split_patients(cohort(300), shares=SHARES, folds=1, seed=0)
    assert training_subset(splits, percent=10, seed=0)["patient_id"].nunique() == 18


def test_seeds_draw_different_subsets():
    splits = split_patients(cohort(300), shares=SHARES, folds=1, seed=0)
    one, other = (set(training_subset(splits, percent=10, seed=s)["patient_id"]) for s in (0, 1))
    assert one != other
