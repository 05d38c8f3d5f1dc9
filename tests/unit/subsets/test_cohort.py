import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.subsets.cohort import select_cohort, write_cohort
from chestct.tables import column_types, write_table

NAMES = ["a", "b", "c", "d", "e"]


def tables():
    keys = {"dataset": "d", "patient_id": [f"p{n}" for n in NAMES], "study_id": NAMES}
    series = pd.DataFrame(keys)
    labels = pd.DataFrame(
        {
            "study_id": NAMES[:4],
            "label": pd.array([1, 0, pd.NA, 1], dtype="Int64"),
            "exclusion": pd.array([None, None, "indeterminate", None], dtype="string"),
            "baseline": [0.5, None, None, None],
        }
    )
    ledger = pd.DataFrame(
        {
            "study_id": NAMES,
            "status": ["accepted", "repaired", "accepted", "refused", "accepted"],
            "reason": [None, "duplicates", None, "missing_slices", None],
        }
    )
    index = pd.DataFrame({"study_id": ["a", "b", "c", "e"], "num_slices": [20, 21, 22, 23]})
    left_out = pd.DataFrame(
        {
            "dataset": "d",
            "patient_id": ["pa", "pz"],
            "study_id": ["a", "z"],
            "series_id": ["a2", "z1"],
            "reason": ["second_series", "not_selected"],
        }
    )
    return series, labels, ledger, index, left_out


def test_every_scan_has_a_row_and_a_reason():
    cohort = select_cohort(*tables()).set_index("study_id")
    assert list(cohort.index) == [*NAMES, "z"], "a second series of scan a is no further scan"
    assert cohort.loc["z", ["status", "reason"]].tolist() == ["excluded", "not_selected"]
    assert cohort.loc[["a", "b"], "status"].tolist() == ["used", "used"]
    assert cohort.loc["c", "reason"] == "indeterminate"
    assert cohort.loc["d", "reason"] == "refused: missing_slices"
    assert cohort.loc["e", "reason"] == "no_label"
    assert cohort.loc["a", "baseline"] == 0.5


def test_patients_with_equal_voxels_are_one():
    series, labels, ledger, index, left_out = tables()
    ledger.loc[[1, 4], ["status", "reason"]] = ["refused", "duplicate"]
    ledger["same_as"] = [None, "a", None, None, "b"]  # e has the voxels of b's, b those of a's
    labels["label"] = pd.array([1, 1, pd.NA, 1], dtype="Int64")
    labels["exclusion"] = None
    cohort = select_cohort(series, labels, ledger, index, left_out).set_index("study_id")
    assert cohort["patient_id"].to_dict() == {
        "a": "pa", "b": "pa", "c": "pc", "d": "pd", "e": "pa", "z": "pz"
    }  # fmt: skip
    assert cohort.loc[["a", "b"], "reason"].fillna("").tolist() == ["", "refused: duplicate"]
    labels["label"] = pd.array([1, 0, 1, 1], dtype="Int64")
    cohort = select_cohort(series, labels, ledger, index, left_out).set_index("study_id")
    assert cohort.loc[["a", "b"], "reason"].tolist() == ["label_differs_from_duplicate"] * 2


def test_a_label_for_a_scan_that_is_not_there_stops():
    series, *others = tables()
    with pytest.raises(InputError, match=r"scans that are not there.*'a'"):
        select_cohort(series[series["study_id"] != "a"], *others)


def test_no_usable_scan_stops_with_the_reasons():
    series, labels, *others = tables()
    labels["exclusion"] = "indeterminate"
    with pytest.raises(InputError, match="no scan of the dataset can be used"):
        select_cohort(series, labels, *others)


def test_a_whole_table_of_another_dataset_is_refused(tmp_path):
    columns = {"series_id": "1", "path": "x", "num_instances": 1, "num_bytes": 1, "shard": 0}
    keys = pd.DataFrame({"dataset": "d", "patient_id": ["p", "q"], "study_id": ["a", "b"]})
    own = {
        "series": keys.assign(**columns),
        "labels": keys.assign(label=[0, 1], exclusion=None, baseline=None),
        "left_out": pd.DataFrame(columns=list(column_types("left_out"))),
    }
    for name in ("ledger", "index"):
        own[name] = pd.DataFrame(columns=list(column_types(name)))
    paths = {name: str(tmp_path / f"{name}.csv") for name in own}
    for name, table in own.items():
        write_table(table, paths[name], name)
    write_table(own["labels"].assign(dataset="e"), paths["labels"], "labels")
    with pytest.raises(InputError, match=r"that of another dataset: e[\s\S]*labels.csv[\s\S]*dataset d"):
        write_cohort(**paths, output=str(tmp_path / "cohort.csv"))
