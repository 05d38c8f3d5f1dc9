import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.subsets.cohort import select_cohort

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
    return series, labels, ledger, index


def test_every_scan_has_a_row_and_a_reason():
    cohort = select_cohort(*tables()).set_index("study_id")
    assert list(cohort.index) == NAMES
    assert cohort.loc[["a", "b"], "status"].tolist() == ["used", "used"]
    assert cohort.loc["c", "reason"] == "indeterminate"
    assert cohort.loc["d", "reason"] == "refused: missing_slices"
    assert cohort.loc["e", "reason"] == "no_label"
    assert cohort.loc["a", "baseline"] == 0.5


def test_a_label_for_a_scan_that_is_not_there_stops():
    series, labels, ledger, index = tables()
    with pytest.raises(InputError, match=r"scans that are not there.*'a'"):
        select_cohort(series[series["study_id"] != "a"], labels, ledger, index)


def test_no_usable_scan_stops_with_the_reasons():
    series, labels, ledger, index = tables()
    labels["exclusion"] = "indeterminate"
    with pytest.raises(InputError, match="no scan of the dataset can be used"):
        select_cohort(series, labels, ledger, index)
