import errno
import os
import re
import stat
from pathlib import Path

import pandas as pd
import pytest

from chestct.dataset_entries import PUBLIC_IDS
from chestct.errors import InputError
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
    for percent in (50, 100):
        subset = used.drop(columns="label").assign(percent=percent, seed=0, fold=0, split="train")
        write_table(subset, tmp_path / f"subset-{percent}.csv", "subset")
    return tmp_path


def publish(folder, key_path=None, with_labels=True, public_ids=None):
    publish_manifests(
        cohort=folder / "cohort.csv",
        splits=folder / "splits.csv",
        subsets=sorted(folder.glob("subset-*.csv")),
        key_path=key_path,
        public_ids=public_ids or {},
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
    text = "".join(path.read_text() for path in (tables / "out").rglob("*"))
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


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 32, b"\xff" * 32, b"ab" * 16, bytes(range(31)), bytes(33)]
)
def test_what_is_no_key_is_refused_and_stays(tables, content):
    path = tables / "pseudonyms.key"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a valid key") as caught:
        publish(tables, key_path=path)
    assert "delete" not in str(caught.value) and path.read_bytes() == content
    assert not (tables / "out").exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_key_is_never_half_there_nor_open(tmp_path, umask, monkeypatch):
    seen = []

    def link(source, target):
        seen.append((stat.S_IMODE(Path(source).stat().st_mode), len(Path(source).read_bytes())))
        Path(source).rename(target)

    monkeypatch.setattr("chestct.subsets.publication.os.link", link)
    written_out = lambda folder: seen.append("folder written out")  # noqa: E731
    monkeypatch.setattr("chestct.subsets.publication.sync_folder", written_out)
    before = os.umask(umask)
    try:
        key = read_or_make_key(tmp_path / "a.key")
    finally:
        os.umask(before)
    assert seen == [(0o600, 32), "folder written out"]
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]
    (tmp_path / "a.key").chmod(0o644)
    assert read_or_make_key(tmp_path / "a.key") == key
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600


def test_a_full_disk_leaves_no_key(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("chestct.subsets.publication.os.fsync", fail)
    with pytest.raises(InputError, match=r"cannot be written[\s\S]*make room"):
        read_or_make_key(tmp_path / "a.key")
    assert not list(tmp_path.iterdir())


def test_a_disk_without_hard_links_has_a_key_too(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError

    monkeypatch.setattr("chestct.subsets.publication.os.link", link)
    key = read_or_make_key(tmp_path / "a.key")
    assert len(key) == 32 and read_or_make_key(tmp_path / "a.key") == key
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_of_a_folder_only_published_identifiers_leave(tables):
    """A folder in the layout of LIDC-IDRI may hold scans of a hospital."""
    uid = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
    people = ["LIDC-IDRI-0001", "LIDC-IDRI-0002", "=HYPERLINK(1)"]
    scans = [f"{uid}1", "1.2.3", f"{uid}3"]
    cohort = read_table(tables / "cohort.csv", "cohort").assign(patient_id=people, study_id=scans)
    write_table(cohort, tables / "cohort.csv", "cohort")
    for path in (tables / "splits.csv", *tables.glob("subset-*.csv")):
        name = path.stem.partition("-")[0]
        write_table(read_table(path, name).assign(patient_id=people[:2], study_id=scans[:2]), path, name)
    cases, splits, subsets = publish(
        tables, key_path=tables / "data" / "a.key", public_ids=PUBLIC_IDS["lidc_idri"]
    )
    pseudonym = re.compile("[0-9a-f]{16}")
    own = cases.set_index("patient")["scan"]
    assert own["LIDC-IDRI-0001"] == scans[0] and pseudonym.fullmatch(own["LIDC-IDRI-0002"])
    (other,) = set(own.index) - set(people)
    assert pseudonym.fullmatch(other) and pseudonym.fullmatch(own[other]), "nor the scan of somebody else"
    assert set(splits["scan"]) == set(subsets["scan"]) == {scans[0], own["LIDC-IDRI-0002"]}


def test_where_all_identifiers_are_public_no_key_is_made(tables):
    everything = {"patient": ".*", "scan": ".*"}
    cases, _, _ = publish(tables, key_path=tables / "data" / "a.key", public_ids=everything)
    assert cases["scan"].tolist() == ["20240101", "20240102", "20240203"]
    assert not (tables / "data").exists()


def test_published_tables_are_for_everybody_and_the_others_are_not(tables):
    publish(tables)
    assert (tables / "out/cases.csv").stat().st_mode & 0o004
    assert not (tables / "cohort.csv").stat().st_mode & 0o007
