import stat

import pandas as pd
import pytest

from chestct.subsets.publication import pseudonyms, publish_manifests, read_or_make_key
from chestct.tables import read_table, write_table

NAMES = ["Doe^John", "Doe^John", "Roe^Jane"]


@pytest.fixture
def tables(tmp_path):
    keys = {"dataset": "d", "patient_id": NAMES, "study_id": ["20240101", "20240102", "20240203"]}
    cohort = pd.DataFrame(
        keys
        | {
            "label": pd.array([1, 0, pd.NA], dtype="Int64"),
            "status": ["used", "used", "excluded"],
            "reason": [None, None, "refused: missing_slices"],
            "baseline": [0.1, 0.2, None],
            "num_slices": pd.array([20, 21, pd.NA], dtype="Int64"),
        }
    )
    write_table(cohort, tmp_path / "cohort.csv", "cohort")
    used = cohort.iloc[:2][["dataset", "patient_id", "study_id", "label"]]
    write_table(used.assign(fold=0, split="train"), tmp_path / "splits.csv", "splits")
    subset = used.drop(columns="label").assign(percent=100, seed=0, fold=0, split="train")
    write_table(subset, tmp_path / "subset.csv", "subset")
    return tmp_path


def publish(folder, key_path=None, with_labels=True):
    publish_manifests(
        cohort=folder / "cohort.csv",
        splits=folder / "splits.csv",
        subsets=[folder / "subset.csv"],
        key_path=key_path,
        with_labels=with_labels,
        cases_path=folder / "out/cases.csv",
        splits_path=folder / "out/splits.csv",
        subsets_path=folder / "out/subsets.csv",
    )
    names = ("cases", "splits", "subsets")
    return [read_table(folder / f"out/{name}.csv", f"published_{name}") for name in names]


def test_public_identifiers_stay_and_counts_agree(tables):
    cases, splits, subsets = publish(tables)
    assert cases["scan"].tolist() == ["20240101", "20240102", "20240203"]
    assert cases["status"].value_counts().to_dict() == {"used": 2, "excluded": 1}
    assert set(splits["scan"]) == set(subsets["scan"]) == {"20240101", "20240102"}


def test_own_identifiers_never_leave(tables):
    cases, splits, subsets = publish(tables, key_path=tables / "data/pseudonyms.key")
    text = "".join(path.read_text() for path in (tables / "out").iterdir())
    for secret in ("Doe", "Roe", "2024"):
        assert secret not in text
    assert cases["patient"].nunique() == 2 and cases["scan"].nunique() == 3
    assert set(splits["scan"]) == set(subsets["scan"]) == set(cases.loc[cases["status"] == "used", "scan"])
    again, _, _ = publish(tables, key_path=tables / "data/pseudonyms.key")
    assert again.equals(cases), "the key stays, and with it the pseudonyms"
    other, _, _ = publish(tables, key_path=tables / "elsewhere.key")
    assert not set(other["scan"]) & set(cases["scan"])


def test_the_key_is_its_owners_alone(tmp_path):
    path = tmp_path / "data/pseudonyms.key"
    key = read_or_make_key(path)
    assert len(key) == 32 and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_key(path) == key


def test_a_patient_and_a_scan_of_one_name_have_two_pseudonyms():
    names = pd.Series(["a", "b", "a"])
    one, other = (pseudonyms(names, b"key", kind) for kind in ("patient", "scan"))
    assert one[0] == one[2] != one[1]
    assert not set(one) & set(other)


def test_labels_that_may_not_be_passed_on_stay_out(tables):
    cases, splits, _ = publish(tables, with_labels=False)
    assert cases["label"].isna().all() and splits["label"].isna().all()
