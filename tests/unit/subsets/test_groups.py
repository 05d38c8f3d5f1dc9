"""A group of scanners or patients is left out of training, and is the test set."""

import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.subsets.assign_splits import write_splits
from chestct.subsets.groups import split_by_group
from chestct.tables import column_types, read_table, write_table

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
MAKERS = ["GE", "SIEMENS", "PHILIPS"]


def scans(num_patients: int = 60) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cohort and acquisition of patients with two scans; every third patient's are of one manufacturer."""
    keys = pd.DataFrame(
        [
            {"dataset": "d", "patient_id": f"p{i:03d}", "study_id": f"s{i:03d}-{j}"}
            for i in range(num_patients)
            for j in range(2)
        ]
    )
    number = keys["patient_id"].str[1:].astype(int)
    cohort = keys.assign(label=number % 2, status="used", reason=None, baseline=None, num_slices=20)
    acquisition = keys.assign(**dict.fromkeys(set(column_types("acquisition")) - set(keys))).assign(
        manufacturer=[MAKERS[n % 3] for n in number],
        slice_thickness_mm=[[1.0, 1.25, 2.5][n % 3] for n in number],
        spacing_z_mm=1.0,
        pixel_mm=0.7,
        num_slices=20,
    )
    return cohort, acquisition


def split(cohort: pd.DataFrame, acquisition: pd.DataFrame, column="manufacturer", group="SIEMENS"):
    return split_by_group(cohort, acquisition, column=column, group=group, shares=SHARES, seed=0)


def patients(splits: pd.DataFrame, name: str) -> set[int]:
    return set(splits.loc[splits["split"] == name, "patient_id"].str[1:].astype(int))


@pytest.mark.parametrize(
    ("column", "group"),
    [
        ("manufacturer", "SIEMENS"),
        ("manufacturer", " siemens"),
        ("slice_thickness_mm", 1.25),
        ("slice_thickness_mm", "1.25"),
        ("slice_thickness_mm", {"at_least": 1.2, "below": 2.5}),
    ],
)
def test_the_groups_patients_are_the_test_set_and_no_others(column, group):
    splits = split(*scans(), column, group)
    assert patients(splits, "test") == {n for n in range(60) if n % 3 == 1}
    assert len(patients(splits, "train")) == 30 and len(patients(splits, "validation")) == 10
    assert len(splits) == 120 and splits.groupby("patient_id")["split"].nunique().eq(1).all()
    per_class = splits.groupby(["split", "label"])["patient_id"].nunique().unstack()
    assert per_class.loc["validation"].tolist() == [5, 5]


def test_several_groups_may_be_left_out_together():
    splits = split(*scans(), "manufacturer", ["GE", "PHILIPS"])
    assert patients(splits, "test") == {n for n in range(60) if n % 3 != 1}


def test_the_order_of_the_table_does_not_matter():
    cohort, acquisition = scans()
    shuffled = split(cohort.sample(frac=1, random_state=1), acquisition.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(split(cohort, acquisition), shuffled)


def test_a_patient_in_two_groups_is_tested_with_the_scans_of_the_group_alone(caplog):
    cohort, acquisition = scans()
    acquisition.loc[acquisition["study_id"] == "s000-1", "manufacturer"] = "SIEMENS"
    splits = split(cohort, acquisition).set_index("study_id")["split"]
    assert splits["s000-1"] == "test" and "s000-0" not in splits
    assert "1 scan(s) outside the group are of 1 test patient(s), and in no split: s000-0" in caplog.text


def test_patients_whose_group_nobody_knows_are_in_no_split_and_named(caplog):
    cohort, acquisition = scans()
    # Patient 0 may be of the group; patient 1 is one of it, whatever the other scan is.
    acquisition.loc[acquisition["study_id"].isin(["s000-1", "s001-1"]), "manufacturer"] = None
    splits = split(cohort, acquisition).set_index("study_id")["split"]
    assert "s000-0" not in splits and "s000-1" not in splits
    assert splits["s001-0"] == "test" and "s001-1" not in splits
    assert "manufacturer is not known of 2 scan(s) of 2 patient(s): s000-1, s001-1" in caplog.text
    assert "1 patient(s), with 2 scan(s), are in no split" in caplog.text


@pytest.mark.parametrize(
    ("column", "group", "message"),
    [
        ("manufacturer", "CANON", r"no usable scan is of the group[\s\S]*GE \(40 scans\), SIEMENS"),
        ("manufacturer", MAKERS, r"every usable scan is of the group"),
        ("manufacturer", {"below": 2}, r"holds texts, test_group is a range"),
        ("slice_thickness_mm", "thin", r"holds numbers, test_group is none[\s\S]*1.25 \(40 scans\)"),
        ("kernel", "B30F", r"'kernel' is empty for all 120 usable scans"),
        ("colour", "red", r"has no column 'colour'[\s\S]*manufacturer"),
    ],
)
def test_a_group_that_cannot_be_stops(column, group, message):
    with pytest.raises(InputError, match=message) as caught:
        split(*scans(), column, group)
    assert f"split_by: {column}, test_group:" in str(caught.value)


def test_a_group_of_one_class_stops():
    cohort, acquisition = scans()
    siemens = acquisition["manufacturer"] == "SIEMENS"
    cohort.loc[siemens, "label"] = 1
    with pytest.raises(InputError, match=r"test split of fold 0 holds one class only[\s\S]*of 40 scans"):
        split(cohort, acquisition)


def test_the_rule_splits_by_shares_by_group_or_not_at_all(tmp_path):
    cohort, acquisition = scans()
    write_table(cohort, tmp_path / "cohort.csv", "cohort")
    write_table(acquisition, tmp_path / "acquisition.csv", "acquisition")

    def written(path: str | None, **use):
        write_splits(
            cohort=str(tmp_path / "cohort.csv"),
            acquisition=path,
            output=str(tmp_path / "splits.csv"),
            use=use,
            shares=SHARES,
            folds=1,
            seed=0,
        )
        return read_table(tmp_path / "splits.csv", "splits").groupby("split").size().to_dict()

    assert written(None, train=True) == {"train": 72, "validation": 24, "test": 24}
    assert written(None, train=False) == {"test": 120}
    by_group = {"train": True, "split_by": "manufacturer", "test_group": "GE"}
    assert written(str(tmp_path / "acquisition.csv"), **by_group) == {
        "train": 60,
        "validation": 20,
        "test": 40,
    }
