"""RSPECT: labels from train.csv, contradictions, and folders that are not complete."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chestct.download.labels import rspect_labels
from chestct.download.sources import rspect
from chestct.errors import InputError
from chestct.tables import check_table, column_types, read_table
from tests.unit.download.file_server import SETTINGS, FileServer, running
from tests.unit.download.rspect_samples import contents, copy_few, zip_folder


def table(exams: dict[str, tuple[list[int], int, int]]) -> pd.DataFrame:
    """train.csv of exams: study -> (slice flags, negative_exam_for_pe, indeterminate)."""
    rows = []
    for study, (slices, negative, indeterminate) in exams.items():
        for k, flag in enumerate(slices):
            row: dict[str, object] = dict.fromkeys(rspect_labels.COLUMNS, 0)
            row |= dict(zip(rspect_labels.ID_COLUMNS, (study, f"{study}.1", f"{study}.1.{k}"), strict=True))
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
    scans = check_table(scans[list(column_types("labels"))], "labels", where=tmp_path)
    values = scans[["label", "exclusion"]].astype(object).to_numpy().tolist()
    return {s: tuple(None if pd.isna(v) else v for v in row) for s, row in zip(studies, values, strict=True)}


def test_label_rule_and_exclusions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exams = {
        "pos": ([0, 1, 1], 0, 0),
        "neg": ([0, 0, 0], 1, 0),
        "ind": ([0, 0, 0], 0, 1),
        "ind_with_slices": ([1, 0, 0], 0, 1),
        "neg_with_slices": ([0, 1, 0], 1, 0),
        "neg_with_slices_too": ([1, 1, 1], 1, 0),
        "pos_without": ([0, 0, 0], 0, 0),
        "neg_and_ind": ([0, 0, 0], 1, 1),
        "neg_and_ind_with_slices": ([1, 0, 0], 1, 1),
    }
    assert labels_of(tmp_path, table(exams), *exams, "unknown") == {
        "pos": (1, None),
        "neg": (0, None),
        "ind": (None, "indeterminate"),
        "ind_with_slices": (None, "indeterminate"),
        "neg_with_slices": (None, "negative_exam_with_positive_slices"),
        "neg_with_slices_too": (None, "negative_exam_with_positive_slices"),
        "pos_without": (None, "positive_exam_without_positive_slices"),
        "neg_and_ind": (None, "negative_and_indeterminate"),
        "neg_and_ind_with_slices": (None, "negative_and_indeterminate"),
        "unknown": (None, "no_label"),
    }
    assert "2 scan(s) excluded, negative_exam_with_positive_slices: ['neg_with_slices'" in caplog.text
    assert "1 scan(s) excluded, no_label: ['unknown']" in caplog.text


@pytest.mark.parametrize("column", ["negative_exam_for_pe", "indeterminate"])
def test_slices_that_disagree_on_the_exam_are_contradictory(tmp_path: Path, column: str) -> None:
    frame = table({"a": ([0, 1], 0, 0), "b": ([0, 0], 1, 0)})
    frame.loc[0, column] = 1
    found = labels_of(tmp_path, frame, "a", "b")
    assert found == {"a": (None, "exam_labels_differ_between_slices"), "b": (0, None)}


def test_slices_that_differ_in_what_decides_no_label_are_no_contradiction(tmp_path: Path) -> None:
    frame = table({"a": ([0, 1], 0, 0)})
    frame.loc[0, "qa_motion"] = 1
    assert labels_of(tmp_path, frame, "a") == {"a": (1, None)}


def test_labels_follow_the_order_of_series_not_of_the_table(tmp_path: Path) -> None:
    frame = table({"b": ([1], 0, 0), "a": ([0], 1, 0)}).sample(frac=1, random_state=0)
    assert labels_of(tmp_path, frame, "a", "b") == {"a": (0, None), "b": (1, None)}


def test_slice_labels_are_the_positive_slices_of_listed_studies(tmp_path: Path) -> None:
    table({"a": ([0, 1, 1], 0, 0), "b": ([1], 0, 0)}).to_csv(tmp_path / "train.csv", index=False)
    _, slices = rspect.read_labels({"name": "r"}, tmp_path, series_of("a"))
    assert slices[["sop_instance_uid", "num_readers"]].to_numpy().tolist() == [["a.1.1", 1], ["a.1.2", 1]]
    check_table(slices, "slice_labels", where=tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t.drop(columns="indeterminate"), r"lacks the columns \['indeterminate'\]"),
        (lambda t: t.assign(pe_present_on_image=["0", "yes"]), "pe_present_on_image are not 0 or 1"),
        (lambda t: t.assign(indeterminate=["", "0"]), "indeterminate are not 0 or 1"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "occur twice"),
        (lambda t: t.assign(SeriesInstanceUID="../../elsewhere"), "SeriesInstanceUID are no identifiers"),
        (lambda t: t.assign(SOPInstanceUID=["", "a"]), "SOPInstanceUID are no identifiers"),
    ],
)
def test_bad_train_csv(tmp_path: Path, damage: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    damage(table({"a": ([0, 1], 0, 0)})).to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(InputError, match=words) as caught:
        rspect_labels.read_train_csv(tmp_path / "train.csv")
    assert "train.csv" in str(caught.value)


def test_missing_and_empty_train_csv(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label file is missing"):
        rspect_labels.read_train_csv(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_text("")
    with pytest.raises(InputError, match="does not parse"):
        rspect_labels.read_train_csv(tmp_path / "train.csv")


@pytest.fixture
def folder(pe_root: Path, tmp_path: Path) -> Path:
    """A user's folder with all scans, a quarter of their slices."""
    return copy_few(pe_root, tmp_path / "rspect", num_scans=12)


def entry_of(folder: Path, **keys: object) -> dict:
    return {"name": "r", "source": "rspect", "folder": str(folder), **keys}


def test_a_users_folder_gives_the_labels_of_the_phantom(folder: Path, pe_root: Path, tmp_path: Path) -> None:
    entry = entry_of(folder)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    assert len(series) == 12 and (series["num_instances"] == 6).all()
    assert rspect.obtain(entry, tmp_path, series, SETTINGS) == {}
    scans, slices = rspect.read_labels(entry, tmp_path, series)
    expected = read_table(pe_root / "labels.csv", "labels").set_index("study_id")["label"]
    found = scans.set_index("study_id")["label"]
    assert found.astype("Int64").fillna(-1).to_dict() == expected.fillna(-1).to_dict()
    there = {path.stem for path in folder.rglob("*.dcm")}
    marked = read_table(pe_root / "slice_labels.parquet", "slice_labels")["sop_instance_uid"]
    assert set(slices["sop_instance_uid"]) == there & set(marked) != set()


def test_a_labelled_scan_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    entry = entry_of(folder)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    gone = series.iloc[3]["study_id"]
    shutil.rmtree(folder / "train" / gone)
    with pytest.raises(InputError, match=gone):
        rspect.list_series(entry, tmp_path, 5, SETTINGS)
    others = [study for study in series["study_id"] if study != gone]
    listing = rspect.list_series(entry | {"patients": others}, tmp_path, 5, SETTINGS)
    assert len(listing.series) == 11
    assert listing.left_out[["study_id", "reason"]].to_numpy().tolist() == [[gone, "not_selected"]]


def test_lost_instances_are_refused(folder: Path, tmp_path: Path) -> None:
    entry = entry_of(folder)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    next(Path(series.iloc[0]["path"]).glob("*.dcm")).unlink()
    with pytest.raises(InputError, match="lacks instances"):
        rspect.obtain(entry, tmp_path, series, SETTINGS)


def test_every_series_that_exists_is_listed_or_left_out(folder: Path, tmp_path: Path) -> None:
    """A second, shorter series of a study, and a scan that train.csv does not name."""
    frame = pd.read_csv(folder / "train.csv", dtype=str)
    study = frame["StudyInstanceUID"].iloc[0]
    second = frame[frame["StudyInstanceUID"] == study].head(2)
    second = second.assign(SeriesInstanceUID="9.9", SOPInstanceUID=["9.9.1", "9.9.2"])
    pd.concat([second, frame]).to_csv(folder / "train.csv", index=False)
    (folder / "train" / study / "9.9").mkdir()
    (folder / "train" / "extra" / "extra.1").mkdir(parents=True)
    listing = rspect.list_series(entry_of(folder), tmp_path, 5, SETTINGS)
    assert len(listing.series) == 12 and "9.9" not in set(listing.series["series_id"])
    assert check_table(listing.left_out, "left_out", where=tmp_path)[
        ["study_id", "series_id", "reason"]
    ].to_numpy().tolist() == [[study, "9.9", "second_series"], ["extra", "extra.1", "no_label"]]


def test_manifests_name_no_secret_and_say_what_to_cite(tmp_path: Path) -> None:
    signed = "https://user:pass@archive.test/r.zip?X-Amz-Signature=5ec4e7"
    entries = [entry_of(tmp_path), entry_of(tmp_path, **{"from": "archive", "archive": signed})]
    facts = [rspect.manifest(entry) for entry in entries]
    assert [fact["source"] for fact in facts] == [str(tmp_path), "https://archive.test/r.zip"]
    for fact in facts:
        assert "10.1148/ryai.2021200254" in fact["citation"][0] and fact["stand_in"] is False
        assert "non-commercial" in fact["licence"] and "rules" in fact["terms"]
        assert not any(word in json.dumps(fact) for word in ("5ec4e7", "pass@"))


@pytest.mark.parametrize("location", ["disk", "server"])
def test_an_archive_gives_the_same_tables_and_files_as_a_folder(
    location: str, folder: Path, tmp_path: Path, run_steps: Callable[..., None]
) -> None:
    """What the rules do, from the user's folder and from a zip that holds the same."""
    archive = zip_folder(folder, "rsna-str-pulmonary-embolism-detection/")
    (tmp_path / "r.zip").write_bytes(archive)
    with running(FileServer(archive)) as server:
        where = f"{server.url}/r.zip" if location == "server" else str(tmp_path / "r.zip")
        there = {"name": "r", "source": "rspect", "from": "archive", "archive": where}
        run_steps(entry_of(folder), tmp_path / "a", num_shards=3)
        run_steps(there, tmp_path / "b", num_shards=3)
        study = sorted(path.name for path in (folder / "train").iterdir())[7]
        listing = rspect.list_series(there | {"patients": [study]}, tmp_path / "c", 5, SETTINGS)
        assert rspect.obtain(there, tmp_path / "c", listing.series, SETTINGS) == {}
    for name, schema in [("labels.csv", "labels"), ("slice_labels.parquet", "slice_labels")]:
        tables = [read_table(tmp_path / root / name, schema) for root in ("a", "b")]
        pd.testing.assert_frame_equal(*tables)
    shards = [
        pd.concat([read_table(path, "shard") for path in sorted((tmp_path / root / "shards").glob("*.csv"))])
        for root in ("a", "b")
    ]
    pd.testing.assert_frame_equal(*shards)
    assert (shards[0]["status"] == "obtained").all() and len(shards[0]) == 12
    assert contents(folder) == contents(tmp_path / "b") and len(contents(folder)) == 12 * 6
    assert (folder / "train.csv").read_bytes() == (tmp_path / "b/train.csv").read_bytes()
    sizes = read_table(tmp_path / "b/series.csv", "series")["num_bytes"]
    assert sizes.sum() == sum(map(len, contents(folder).values()))
    # One scan alone, without the rest.
    assert listing.left_out["reason"].value_counts().to_dict() == {"not_selected": 11}
    alone = {name: data for name, data in contents(folder).items() if study in name}
    assert contents(tmp_path / "c") == alone and len(alone) == 6


def test_what_was_found_stands_beside_the_labels_of_positive_scans(tmp_path: Path) -> None:
    frame = table({"both": ([0, 1], 0, 0), "plain": ([1, 1], 0, 0), "neg": ([0, 0], 1, 0)})
    is_both, is_neg = (frame["StudyInstanceUID"] == study for study in ("both", "neg"))
    frame.loc[is_both, ["central_pe", "acute_and_chronic_pe", "rv_lv_ratio_gte_1"]] = 1
    frame.loc[is_neg, "central_pe"] = 1  # means nothing
    frame.to_csv(tmp_path / "train.csv", index=False)
    names = ["central_pe", "chronic_pe", "right_heart_strain"]
    scans, _ = rspect.read_labels({"name": "r"}, tmp_path, series_of("both", "plain", "neg"))
    assert scans[names].astype(object).to_numpy().tolist() == [[1, 1, 1], [0, 0, 0], [pd.NA] * 3]
    frame.drop(columns=["central_pe", "chronic_pe"]).to_csv(tmp_path / "train.csv", index=False)
    scans, _ = rspect.read_labels({"name": "r"}, tmp_path, series_of("both"))
    assert "central_pe" not in scans and scans["chronic_pe"].tolist() == [1]


@pytest.mark.parametrize(("taken_as", "label"), [("positive", 1), ("negative", 0)])
def test_indeterminate_exams_may_be_taken_as_either(tmp_path: Path, taken_as: str, label: int) -> None:
    exams = {
        "ind": ([0, 0, 0], 0, 1),
        "ind_with_slices": ([1, 0, 0], 0, 1),
        "pos_without": ([0, 0, 0], 0, 0),
        "neg_and_ind": ([0, 0, 0], 1, 1),
    }
    table(exams).to_csv(tmp_path / "train.csv", index=False)
    entry = {"name": "r", "indeterminate": taken_as}
    scans, _ = rspect.read_labels(entry, tmp_path, series_of(*exams))
    assert scans["label"][:2].tolist() == [label, label]
    assert scans["exclusion"].tolist()[2:] == [
        "positive_exam_without_positive_slices",
        "negative_and_indeterminate",
    ]
