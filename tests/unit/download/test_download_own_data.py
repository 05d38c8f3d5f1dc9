"""A user's own table: labels, thresholds, baseline, and a clear message for every mistake."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chestct.download import datasets as sources
from chestct.download.sources import own_data
from chestct.errors import InputError
from chestct.tables import check_table, read_table
from tests.unit.download.file_server import SETTINGS

COLUMNS = {"patient_id": "patient", "study_id": "scan", "path": "file", "label": "malignancy"}


@pytest.fixture
def frame() -> pd.DataFrame:
    """A table of five scans with scores 1 to 5."""
    return pd.DataFrame(
        {
            "patient": ["007", "007", "b", "c", "d"],
            "scan": ["s1", "s2", "s3", "s4", "s5"],
            "file": [f"volumes/{name}" for name in ("1.nii.gz", "2.nii.gz", "3.nii.gz", "4", "5.mha")],
            "malignancy": ["1", "2", "3", "4", "5"],
            "volume": ["10", "20.5", "30", "40", "50"],
        }
    )


@pytest.fixture
def write(tmp_path: Path, frame: pd.DataFrame) -> Callable[..., dict]:
    """Writes a table beside its (fake) volumes and returns the dataset's entry."""
    for name in frame["file"]:
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_bytes(b"volume")
        else:
            path.mkdir()
            (path / "1.dcm").write_bytes(b"slice")

    def make(table: pd.DataFrame, **more: object) -> dict:
        table.to_csv(tmp_path / "own" / "labels.csv", index=False)
        rule = {"positive_above": 3, "negative_below": 3}
        entry = {"name": "own", "source": "own_data", "table": str(tmp_path / "own" / "labels.csv")}
        return entry | {"columns": COLUMNS, "label_rule": rule, "baseline_column": "volume"} | more

    return make


def test_labels_baseline_and_paths(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path, run_steps: Callable[..., None]
) -> None:
    entry, root = write(frame), tmp_path / "data"
    run_steps(entry, root, num_shards=3, shard_size=2)
    series = read_table(root / "series.csv", "series")
    assert series["patient_id"].tolist() == ["007", "007", "b", "c", "d"], "leading zeros survive"
    assert series["shard"].tolist() == [0, 0, 1, 1, 2]
    assert all(Path(path).is_absolute() and Path(path).exists() for path in series["path"])
    labels = read_table(root / "labels.csv", "labels")
    assert labels["label"].fillna(-1).tolist() == [0, 0, -1, 1, 1]
    assert labels["exclusion"].fillna("").tolist() == ["", "", "label_between_thresholds", "", ""]
    assert labels["baseline"].tolist() == [10, 20.5, 30, 40, 50]
    assert len(read_table(root / "slice_labels.parquet", "slice_labels")) == 0


def test_without_a_rule_labels_are_0_or_1(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path
) -> None:
    plain = frame.assign(malignancy=["0", "1", "1.0", "0", "1"])
    entry = write(plain, label_rule=None)
    del entry["baseline_column"]
    series = own_data.list_series(entry, tmp_path, 5, SETTINGS).series
    scans, _ = own_data.read_labels(entry, tmp_path, series)
    scans = check_table(scans, "labels", where="here")
    assert scans["label"].tolist() == [0, 1, 1, 0, 1] and scans["baseline"].isna().all()
    with pytest.raises(InputError, match="neither 0 nor 1: line 3: 2"):
        own_data.read_own_table(write(frame, label_rule=None))


def test_patients_select(write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path) -> None:
    entry = write(frame, patients=["007", "d"])
    listing = own_data.list_series(entry, tmp_path, 5, SETTINGS)
    series = listing.series
    assert series["study_id"].tolist() == ["s1", "s2", "s5"]
    assert listing.left_out["study_id"].tolist() == ["s3", "s4"]
    assert set(listing.left_out["reason"]) == {"not_selected"}
    assert own_data.read_labels(entry, tmp_path, series)[0]["study_id"].tolist() == ["s1", "s2", "s5"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scan": ["s1", "s1", "s3", "s4", "s5"]}, "2 rows repeat .*: line 2: 's1', line 3: 's1'"),
        ({"scan": ["s1", "", "s3", "s4", "s5"]}, "no identifiers: line 3: ''"),
        ({"patient": ["a", "b", "../c", "d", "e"]}, "no identifiers: line 4"),
        ({"malignancy": ["1", "high", "3", "", "5"]}, "not numbers: line 3: 'high', line 5: ''"),
        ({"volume": ["1", "2", "n/a", "4", "5"]}, "'baseline' are not numbers: line 4|'volume'"),
        ({"file": ["volumes/1.nii.gz", "volumes/gone.nii.gz", *["volumes/4"] * 3]}, "not there: line 3"),
    ],
)
def test_bad_rows_are_named(
    write: Callable[..., dict], frame: pd.DataFrame, change: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        own_data.read_own_table(write(frame.assign(**change)))
    assert "labels.csv" in str(caught.value)


def test_missing_columns_are_named(write: Callable[..., dict], frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"lacks the columns \['malignancy', 'volume'\]"):
        own_data.read_own_table(write(frame.drop(columns=["malignancy", "volume"])))


def test_missing_empty_and_broken_tables(write: Callable[..., dict], frame: pd.DataFrame) -> None:
    entry = write(frame)
    table = Path(entry["table"])
    table.write_text(",".join(frame.columns) + "\n")
    with pytest.raises(InputError, match="no rows"):
        own_data.read_own_table(entry)
    table.write_text('patient\n"unclosed')
    with pytest.raises(InputError, match="does not parse"):
        own_data.read_own_table(entry)
    table.unlink()
    with pytest.raises(InputError, match="table of scans is missing") as caught:
        own_data.read_own_table(entry)
    assert "labels.csv" in str(caught.value)


def test_a_folder_emptied_after_listing_is_named(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path
) -> None:
    entry = write(frame)
    series = own_data.list_series(entry, tmp_path, 5, SETTINGS).series
    (tmp_path / "own" / "volumes" / "4" / "1.dcm").unlink()
    with pytest.raises(InputError, match="no files"):
        own_data.obtain(entry, tmp_path, series, SETTINGS)


def test_a_scan_removed_after_listing_is_named(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path
) -> None:
    series = own_data.list_series(write(frame), tmp_path, 5, SETTINGS).series
    with pytest.raises(InputError, match=r"no longer in the table: \['s5'"):
        own_data.read_labels(write(frame.iloc[:4]), tmp_path, series)


def test_unknown_source_is_named() -> None:
    with pytest.raises(InputError, match="'own' is not known"):
        sources.source_of({"name": "x", "source": "own"})
