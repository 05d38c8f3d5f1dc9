"""A user's own table: labels, thresholds, baseline, and a clear message for every mistake."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chestct.download import datasets as sources
from chestct.download.sources import missing_paths, own_data, own_files
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


def test_files_are_read_once_when_they_are_taken_and_known_afterwards(
    write: Callable[..., dict],
    frame: pd.DataFrame,
    tmp_path: Path,
    run_steps: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry, root = write(frame), tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr(own_files, "content_digest", lambda path: pytest.fail("read again"))
        run_steps(entry, root, num_shards=3, shard_size=2)
        assert [own_files.count_changes(root, shard) for shard in range(3)] == [0, 0, 0]
    (tmp_path / "own" / "volumes" / "3.nii.gz").write_bytes(b"another volume")
    assert [own_files.count_changes(root, shard) for shard in range(3)] == [0, 1, 0]


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
    with pytest.raises(InputError, match="'malignancy' are neither 0 nor 1: line 3: '2'"):
        own_data.read_own_table(write(frame, label_rule=None))


@pytest.mark.parametrize(
    ("labels", "rule", "words"),
    [
        (["1"] * 5, None, "all 5 values of `malignancy` are 1"),
        (["0", "0.0", "0", "0", "0"], None, "all 5 values of `malignancy` are 0"),
        (["4", "5", "4", "5", "4"], 3, "all 5 values of `malignancy` lie above 3, and so are positive"),
        (["1"] * 5, 3, "all 5 values of `malignancy` lie below 3, and so are negative"),
        (["3"] * 5, 3, "all 5 values of `malignancy` lie between the thresholds"),
        (
            ["benign", "malignant", "benign", "1", "0"],
            None,
            r"3 value.* of column 'malignancy' are neither 0 nor 1: line 2: 'benign'[\s\S]*"
            r"0 \(negative\) or 1 \(positive\)[\s\S]*in the place of 'benign', 'malignant'",
        ),
        (["0", "1", "", "1", "0"], None, r"line 4: ''[\s\S]*remedy: remove the rows without a label$"),
        (["0", "1", "2", "1", "0"], None, r"in the place of '2', or set label_rule"),
        (["no", "yes", "no", "1", "0"], None, r"in the place of 'no', 'yes'$"),
        (["high", "2", "3", "4", "5"], 3, r"'malignancy' are not numbers[\s\S]*label_rule compares"),
    ],
)
def test_labels_of_one_class_and_in_words_are_told_when_the_table_is_read(
    write: Callable[..., dict], frame: pd.DataFrame, labels: list[str], rule: float | None, words: str
) -> None:
    entry = write(frame.assign(malignancy=labels))
    entry["label_rule"] = rule and {"positive_above": rule, "negative_below": rule}
    with pytest.raises(InputError, match=words):
        own_data.read_own_table(entry)


def test_a_patient_that_is_not_there_is_told_with_near_ones(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path
) -> None:
    entry = write(frame, patients=["07", "d"])
    with pytest.raises(InputError, match=r"do not exist: \['07'\][\s\S]*did you mean '007'"):
        own_data.list_series(entry, tmp_path, 5, SETTINGS)


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
        ({"file": ["volumes/1.nii.gz", "", *["volumes/4"] * 3]}, "'file' are empty: line 3: ''"),
        (
            {"file": [f"volumes/{n}" for n in ("1.nii.gz", "../volumes/1.nii.gz", "3.nii.gz", "4", "5.mha")]},
            "another row names, too: line 2: 'volumes/1.nii.gz', line 3",
        ),
        ({"scan": ["=1+1", "s2", "s3", "s4", "s5"]}, "no identifiers: line 2"),
        ({"scan": ["s1", "1.2E+11", "s3", "s4", "s5"]}, "no identifiers: line 3"),
        ({"patient": ["#NAME?", "x" * 256, "a\u202eb", "d", "e"]}, "3 value.*line 2.*line 3.*line 4"),
        ({"malignancy": ["1", "inf", "nan", "1_0", "True"]}, "4 value.*line 3.*line 4.*line 5.*line 6"),
        ({"volume": ["1", "0x10", "3", "1,5", "5"]}, "2 value.*line 3: '0x10', line 5: '1,5'"),
    ],
)
def test_bad_rows_are_named(
    write: Callable[..., dict], frame: pd.DataFrame, change: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        own_data.read_own_table(write(frame.assign(**change)))
    assert "labels.csv" in str(caught.value)


def test_identifiers_of_any_form_reach_every_table(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path, run_steps: Callable[..., None]
) -> None:
    scans = ["NA", "null", "1.2.840.113619.2.55", "Fall 7, links", "e\N{COMBINING ACUTE ACCENT}" + "x" * 250]
    entry = write(frame.assign(scan=scans, patient=["nan", "None", "007", "7", "1e5"]))
    run_steps(entry, tmp_path / "data", num_shards=1, shard_size=9)
    for name in ("series", "labels"):
        table = read_table(tmp_path / "data" / f"{name}.csv", name)
        assert table["patient_id"].tolist() == ["nan", "None", "007", "7", "1e5"]
        assert table["study_id"].tolist() == [*scans[:4], "\u00e9" + "x" * 250]
    series = read_table(tmp_path / "data" / "series.csv", "series")["series_id"]
    assert series[2] != scans[2], "the UID of a study is none of a series"


def test_rows_that_end_in_a_comma_shift_nothing(write: Callable[..., dict], frame: pd.DataFrame) -> None:
    entry = write(frame)
    heading, *rows = Path(entry["table"]).read_text().splitlines()
    Path(entry["table"]).write_text("\n".join([heading, *(f"{row}," for row in rows)]))
    with pytest.raises(InputError, match=r"5 row.* another number of cells"):
        own_data.read_own_table(entry)


def test_paths_of_a_linked_table_start_where_the_link_is(
    write: Callable[..., dict], frame: pd.DataFrame, tmp_path: Path
) -> None:
    entry = write(frame)
    table, target = Path(entry["table"]), tmp_path / "annex" / "MD5E-s1.csv"
    target.parent.mkdir()
    table.rename(target)
    table.symlink_to(target)
    paths = own_data.read_own_table(entry)["path"]
    assert paths.tolist() == [str(table.parent / name) for name in frame["file"]]


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("p001", "P001"),
        ("P\uff10\uff101", "P001"),
        ("\u0420001", "P001"),
        ("P  1", "P_1"),
        ("\ufb011", "fi1"),
        ("007", "7"),
        ("7.0", "7"),
        ("P01-003", "P1-3"),
    ],
    ids=["case", "width", "alphabet", "blanks", "ligature", "zeros", "fraction", "zeros inside"],
)
def test_patients_who_look_alike_are_told_with_their_lines(write, frame, one, other, tmp_path, capsys):
    frame = frame.assign(patient=["a", "b", one, other, "c"])
    series = own_data.list_series(write(frame), tmp_path, 10, SETTINGS).series
    assert series["patient_id"].nunique() == 5, "they are told, and stay what the table says"
    words = capsys.readouterr().out
    assert (
        words.startswith("WARNING: own: identifiers of column 'patient' look alike")
        and "(lines 4 and 5)" in words
    )


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("volumes\\2.nii.gz", "paths of Windows"),
        ("D:/scans/2.nii.gz", "paths of Windows"),
        ("~/2.nii.gz", "write out the home folder"),
        ("file:///data/2.nii.gz", "in the place of the address"),
        ("volumes/2", "add the suffix: a file of that name ends in .nii.gz"),
        ("own/volumes/2.nii.gz", "from the working directory"),
        ("Volumes/2.NII.GZ", "'volumes' is there, in other letters"),
        ("volumes/link.nii.gz", "the link is there"),
        ("volumes/nothing.nii.gz", "correct the paths"),
        ("\0", "correct the paths"),
    ],
)
def test_why_a_path_leads_nowhere_is_told(write, frame, tmp_path, monkeypatch, cell, remedy):
    (tmp_path / "own" / "volumes" / "link.nii.gz").symlink_to("gone.nii.gz")
    monkeypatch.chdir(tmp_path)
    assert remedy in missing_paths.remedy_for(cell, tmp_path / "own")
    if cell != "\0":  # which no table may hold
        with pytest.raises(InputError, match=re.escape(remedy)):
            own_data.read_own_table(write(frame.assign(file=["volumes/1.nii.gz", cell, *frame["file"][2:]])))


def test_a_folder_that_may_not_be_entered_is_told(write, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(missing_paths.os, "access", lambda path, mode: path != tmp_path / "own" / "volumes")
    cells = ["volumes/1.nii.gz", "volumes/hidden.nii.gz", *frame["file"][2:]]
    with pytest.raises(InputError, match=r"right to read .*/own/volumes: without it"):
        own_data.read_own_table(write(frame.assign(file=cells)))


def test_unlike_patients_are_not_told_of(write, frame, tmp_path, capsys):
    frame = frame.assign(patient=["1.05", "1.5", "P1", "P10", "Q1"])
    own_data.list_series(write(frame), tmp_path, 10, SETTINGS)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"malignancy": "1" * 130_000 + "x"}, r"are not numbers: line 2: '1{100}'\.\.\."),
        ({"patient": "\uff1d1"}, "are no identifiers"),
        ({"file": "a" * 5000}, "are not there"),
    ],
)
def test_cells_beyond_reason_are_refused_at_once_and_briefly(write, frame, change, words):
    with pytest.raises(InputError, match=words) as caught:
        own_data.read_own_table(write(frame.assign(**change)))
    assert len(str(caught.value)) < 2000


def test_a_column_without_a_name_is_none(write, frame):
    entry = write(frame.rename(columns={"volume": ""}), baseline_column=" ")
    with pytest.raises(InputError, match="lacks the columns"):
        own_data.read_own_table(entry)


def test_scans_that_were_generated_are_named_as_such():
    entry = {"table": "scans.csv"}
    assert own_data.manifest(entry)["stand_in"] is False
    facts = own_data.manifest(entry | {"phantoms": True})
    assert facts["stand_in"] is True and "phantom" in facts["description"]
