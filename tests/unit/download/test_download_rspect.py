"""RSPECT: labels from train.csv, contradictions, and folders that are not complete."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chestct.download import rspect
from chestct.errors import InputError
from chestct.tables import check_table, read_table


def table(exams: dict[str, tuple[list[int], int, int]]) -> pd.DataFrame:
    """train.csv of exams: study -> (slice flags, negative_exam_for_pe, indeterminate)."""
    rows = []
    for study, (slices, negative, indeterminate) in exams.items():
        for k, flag in enumerate(slices):
            row: dict[str, object] = dict.fromkeys(rspect.COLUMNS, 0)
            row |= dict(zip(rspect.ID_COLUMNS, (study, f"{study}.1", f"{study}.1.{k}"), strict=True))
            row |= {
                "pe_present_on_image": flag,
                "negative_exam_for_pe": negative,
                "indeterminate": indeterminate,
            }
            rows.append(row)
    return pd.DataFrame(rows)


def series_of(*studies: str) -> pd.DataFrame:
    return pd.DataFrame({"study_id": studies, "patient_id": studies})


def labels_of(tmp_path: Path, frame: pd.DataFrame, *studies: str) -> dict[str, tuple[object, object]]:
    frame.to_csv(tmp_path / "train.csv", index=False)
    scans, _ = rspect.read_labels({"name": "r"}, tmp_path, series_of(*studies))
    scans = check_table(scans, "labels", where=tmp_path)
    values = scans[["label", "exclusion"]].astype(object).to_numpy().tolist()
    return {s: tuple(None if pd.isna(v) else v for v in row) for s, row in zip(studies, values, strict=True)}


def test_label_rule_and_exclusions(tmp_path: Path) -> None:
    exams = {
        "pos": ([0, 1, 1], 0, 0),
        "neg": ([0, 0, 0], 1, 0),
        "ind": ([0, 0, 0], 0, 1),
        "neg_with_slices": ([0, 1, 0], 1, 0),
        "pos_without": ([0, 0, 0], 0, 0),
        "neg_and_ind": ([0, 0, 0], 1, 1),
    }
    bad = (None, "contradictory_labels")
    assert labels_of(tmp_path, table(exams), *exams, "unknown") == {
        "pos": (1, None),
        "neg": (0, None),
        "ind": (None, "indeterminate"),
        "neg_with_slices": bad,
        "pos_without": bad,
        "neg_and_ind": bad,
        "unknown": (None, "no_label"),
    }


def test_slices_that_disagree_on_the_exam_are_contradictory(tmp_path: Path) -> None:
    frame = table({"a": ([0, 1], 0, 0), "b": ([0, 0], 1, 0)})
    frame.loc[0, "negative_exam_for_pe"] = 1
    found = labels_of(tmp_path, frame, "a", "b")
    assert found == {"a": (None, "contradictory_labels"), "b": (0, None)}


def test_slice_labels_are_the_positive_slices_of_listed_studies(tmp_path: Path) -> None:
    table({"a": ([0, 1, 1], 0, 0), "b": ([1], 0, 0)}).to_csv(tmp_path / "train.csv", index=False)
    _, slices = rspect.read_labels({"name": "r"}, tmp_path, series_of("a"))
    assert slices[["sop_instance_uid", "num_readers"]].to_numpy().tolist() == [["a.1.1", 1], ["a.1.2", 1]]


def drop_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="indeterminate")


def bad_flag(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(pe_present_on_image=["0", "yes"])


def empty_flag(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(indeterminate=["", "0"])


def double(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[:1]])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_column, r"lacks the columns \['indeterminate'\]"),
        (bad_flag, "pe_present_on_image are not 0 or 1"),
        (empty_flag, "indeterminate are not 0 or 1"),
        (double, "occur twice"),
    ],
)
def test_bad_train_csv(tmp_path: Path, damage: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    damage(table({"a": ([0, 1], 0, 0)})).to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(InputError, match=words) as caught:
        rspect.read_train_csv(tmp_path / "train.csv")
    assert "train.csv" in str(caught.value)


def test_missing_and_empty_train_csv(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label file is missing"):
        rspect.read_train_csv(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_text("")
    with pytest.raises(InputError, match="does not parse"):
        rspect.read_train_csv(tmp_path / "train.csv")


@pytest.fixture
def folder(pe_root: Path, tmp_path: Path) -> Path:
    """A user's folder in Kaggle's layout."""
    shutil.copytree(pe_root / "train", tmp_path / "rspect" / "train")
    shutil.copy(pe_root / "train.csv", tmp_path / "rspect")
    return tmp_path / "rspect"


def test_a_users_folder_gives_the_labels_of_the_phantom(folder: Path, pe_root: Path, tmp_path: Path) -> None:
    entry = {"name": "r", "source": "rspect", "folder": str(folder)}
    series = rspect.list_series(entry, tmp_path, 5)
    assert len(series) == 12 and (series["num_instances"] == 24).all()
    rspect.obtain(entry, tmp_path, series, lambda _: None)
    scans, slices = rspect.read_labels(entry, tmp_path, series)
    expected = read_table(pe_root / "labels.csv", "labels").set_index("study_id")["label"]
    found = scans.set_index("study_id")["label"]
    assert found.astype("Int64").fillna(-1).to_dict() == expected.fillna(-1).to_dict()
    assert len(slices) == len(read_table(pe_root / "slice_labels.parquet", "slice_labels"))


def test_a_labelled_scan_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    entry = {"name": "r", "source": "rspect", "folder": str(folder)}
    series = rspect.list_series(entry, tmp_path, 5)
    gone = series.iloc[3]["study_id"]
    shutil.rmtree(folder / "train" / gone)
    with pytest.raises(InputError, match=gone):
        rspect.list_series(entry, tmp_path, 5)
    others = [study for study in series["study_id"] if study != gone]
    assert len(rspect.list_series(entry | {"patients": others}, tmp_path, 5)) == 11


def test_lost_instances_are_refused(folder: Path, tmp_path: Path) -> None:
    entry = {"name": "r", "source": "rspect", "folder": str(folder)}
    series = rspect.list_series(entry, tmp_path, 5)
    next(Path(series.iloc[0]["path"]).glob("*.dcm")).unlink()
    with pytest.raises(InputError, match="lacks instances"):
        rspect.obtain(entry, tmp_path, series, lambda _: None)
