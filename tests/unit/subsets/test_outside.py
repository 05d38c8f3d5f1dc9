"""Test sets outside the training set: all usable scans of another dataset, of other patients."""

import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.subsets.outside import compare_patients, write_outside_set
from chestct.tables import column_types, read_table, write_table


def cohort(dataset: str, patients: list[str], excluded: tuple[str, ...] = ()) -> pd.DataFrame:
    keys = pd.DataFrame({"dataset": dataset, "patient_id": patients})
    return keys.assign(
        study_id=[f"{dataset}-{patient}" for patient in patients],
        label=[number % 2 for number in range(len(patients))],
        status=["excluded" if patient in excluded else "used" for patient in patients],
        reason=["no_label" if patient in excluded else None for patient in patients],
        baseline=None,
        num_slices=20,
    )


def acquisition(scans: pd.DataFrame) -> pd.DataFrame:
    keys = scans[["dataset", "patient_id", "study_id"]]
    unknown = dict.fromkeys(set(column_types("acquisition")) - set(keys))
    return keys.assign(**unknown | {"spacing_z_mm": 1.0, "pixel_mm": 0.7, "num_slices": 20})


@pytest.fixture
def folder(tmp_path):
    """Cohort, splits and acquisition of ours."""
    own = cohort("ours", [f"a{number}" for number in range(8)])
    write_table(own, tmp_path / "ours.csv", "cohort")
    write_table(acquisition(own), tmp_path / "acquisition.csv", "acquisition")
    splits = pd.concat(
        own[["dataset", "patient_id", "study_id", "label"]].assign(
            fold=fold, split=["train"] * 4 + ["validation", "validation", "test", "test"]
        )
        for fold in (0, 1)
    )
    write_table(splits, tmp_path / "splits.csv", "splits")
    return tmp_path


def index(scans: pd.DataFrame, contents: dict[str, str]) -> pd.DataFrame:
    sizes = dict.fromkeys(("rows", "columns", "spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), 1)
    keys = scans[["dataset", "patient_id", "study_id", "num_slices"]].assign(**sizes, store="s", sha256="x")
    return keys.assign(series_id=keys["study_id"], content=keys["study_id"].map(contents))


def outside(
    folder, tested: pd.DataFrame, contents: dict[str, str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``contents``: digests of voxels, by scan of either dataset."""
    write_table(tested, folder / "theirs.csv", "cohort")
    write_table(index(tested, contents or {}), folder / "their_index.csv", "index")
    own = read_table(folder / "ours.csv", "cohort")
    write_table(index(own, contents or {}), folder / "index.csv", "index")
    write_table(acquisition(tested), folder / "their_acquisition.csv", "acquisition")
    write_outside_set(
        name="ours_on_theirs",
        tested=str(folder / "theirs.csv"),
        tested_index=str(folder / "their_index.csv"),
        seen_index={"ours": str(folder / "index.csv")},
        splits=str(folder / "splits.csv"),
        acquisition=[str(folder / "acquisition.csv"), str(folder / "their_acquisition.csv")],
        cohort_path=str(folder / "out_cohort.csv"),
        splits_path=str(folder / "out_splits.csv"),
        acquisition_path=str(folder / "out_acquisition.csv"),
    )
    return tuple(read_table(folder / f"out_{name}.csv", name) for name in ("cohort", "splits"))


def test_all_usable_scans_are_tested_and_our_validation_scans_choose(folder):
    table, splits = outside(folder, cohort("theirs", [f"b{number}" for number in range(5)], excluded=("b4",)))
    assert set(table["dataset"]) == set(splits["dataset"]) == {"ours_on_theirs"}
    assert len(table) == 5
    assert set(splits["fold"]) == {0}
    by_split = splits.groupby("split")["study_id"].apply(list).to_dict()
    assert by_split == {
        "train": [f"ours-a{number}" for number in range(4)],
        "validation": ["ours-a4", "ours-a5"],
        "test": [f"theirs-b{number}" for number in range(4)],
    }
    facts = read_table(folder / "out_acquisition.csv", "acquisition")
    assert sorted(facts["study_id"]) == sorted(splits["study_id"])


def test_voxels_that_were_trained_on_are_found_under_any_identifier(folder):
    tested = cohort("theirs", ["b0", "b1", "b2", "b3"])
    outside(folder, tested, {"theirs-b0": "x", "ours-a0": "y"})
    with pytest.raises(InputError, match="scan theirs-b1 has those of ours-a7") as caught:
        outside(folder, tested, {"theirs-b1": "x", "ours-a7": "x"})
    assert "1 scan(s) of the test set have the voxels of scans of 'ours'" in str(caught.value)
    assert "delete" not in str(caught.value)


def test_one_patient_of_a_class_is_no_test_set(folder):
    with pytest.raises(InputError, match=r"too small .*1 positive scan.s. of 1 patient.s., 2 negative"):
        outside(folder, cohort("theirs", ["b0", "b1", "b2"]))
    assert not (folder / "out_splits.csv").exists()


def compare(folder, patients: list[str]) -> str:
    """Compare patients of three datasets that were listed."""
    listed = {"ours": ["a0", "a1", "a7"], "ct": ["c0", "c1"], "theirs": patients}
    for name, ids in listed.items():
        series = pd.DataFrame({"dataset": name, "patient_id": ids, "study_id": ids, "series_id": ids})
        series = series.assign(path="nowhere", num_instances=0, num_bytes=0, shard=0)
        write_table(series, folder / f"{name}_series.csv", "series")
    compare_patients(
        name="ours_on_theirs",
        tested=str(folder / "theirs_series.csv"),
        seen={name: str(folder / f"{name}_series.csv") for name in ("ours", "ct")},
        output=str(folder / "patients.txt"),
    )
    return (folder / "patients.txt").read_text()


@pytest.mark.parametrize(("patient", "seen_in"), [("a0", "ours"), ("a7", "ours"), ("c1", "ct")])
def test_a_patient_whom_a_model_may_have_seen_stops_the_study(tmp_path, patient, seen_in):
    message = rf"1 patient\(s\) of the test set are in '{seen_in}' too[\s\S]*: {patient}[\s\S]*ours_on_theirs"
    with pytest.raises(InputError, match=message) as caught:
        compare(tmp_path, ["b0", "b1", patient])
    assert "remedy: leave these patients out" in str(caught.value)


def test_other_patients_are_counted(tmp_path):
    assert compare(tmp_path, ["b0", "b1"]).splitlines() == [
        "ours_on_theirs: 2 patients",
        "ours: 3 patients, none of them in the test set",
        "ct: 2 patients, none of them in the test set",
    ]


def test_a_scan_with_the_name_of_another_stops(folder):
    theirs = cohort("theirs", ["b0", "b1"]).assign(study_id=["theirs-b0", "ours-a5"])
    with pytest.raises(InputError, match=r"identifier of a scan that was trained on: ours-a5"):
        outside(folder, theirs)
