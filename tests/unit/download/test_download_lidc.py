"""LIDC-IDRI in a folder that the user has: what is listed, and what is refused."""

import shutil
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from chestct.download.labels import lidc_labels
from chestct.download.sources import imaging_data_commons, lidc_idri, phantom_lidc
from chestct.download.sources.study_folders import shard_row
from chestct.errors import InputError
from chestct.tables import read_table
from tests.unit.download.file_server import SETTINGS

#: The first patients of the phantom dataset ``nodule_root``.
PATIENTS = [phantom_lidc.patient_ids({"name": "nodules", "seed": 4}, index).patient_id for index in range(3)]


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Series of each call of ``lidc_labels.prepare``, which would ask a package index."""
    calls: list[list[str]] = []
    monkeypatch.setattr(
        lidc_labels, "prepare", lambda entry, root, series, settings: calls.append(list(series["series_id"]))
    )
    return calls


def copied(nodule_root: Path, target: Path, num_files: int | None = None) -> Path:
    """A user's folder with three patients in LIDC-IDRI's layout; so many DICOM files of each, or all."""

    def left_out(_: str, names: list[str]) -> list[str]:
        files = sorted(name for name in names if name.endswith(".dcm"))
        return files[num_files:] if num_files else []

    for patient in PATIENTS:
        shutil.copytree(nodule_root / patient, target / patient, ignore=left_out)
    return target


@pytest.fixture
def folder(nodule_root: Path, tmp_path: Path) -> Path:
    """Three patients with few files each: every file is read."""
    return copied(nodule_root, tmp_path / "lidc", 6)


def entry_of(folder: Path, **more: object) -> dict:
    return {"name": "lidc", "source": "lidc_idri", "folder": str(folder), **more}


def list_taken(entry: dict, shard_size: int = 5) -> pd.DataFrame:
    return lidc_idri.list_series(entry, Path("nowhere"), shard_size, SETTINGS).series


def test_a_users_folder_gives_the_labels_of_the_phantom(
    nodule_root: Path, tmp_path: Path, prepared: list[list[str]]
) -> None:
    entry = entry_of(copied(nodule_root, tmp_path / "lidc"))
    series = list_taken(entry, 2)
    assert series["patient_id"].tolist() == PATIENTS
    assert series["shard"].tolist() == [0, 0, 1] and prepared == [series["series_id"].tolist()]
    first = Path(series.loc[0, "path"])
    assert series.loc[0, "num_bytes"] == sum(path.stat().st_size for path in first.glob("*.dcm"))
    assert lidc_idri.obtain(entry, tmp_path, series, SETTINGS) == {}
    scans, slices = lidc_idri.read_labels(entry, tmp_path, series)
    expected = read_table(nodule_root / "labels.csv", "labels").iloc[:3]
    assert scans["label"].tolist() == expected["label"].tolist()
    all_slices = read_table(nodule_root / "slice_labels.parquet", "slice_labels")
    mine = all_slices[all_slices["study_id"].isin(scans["study_id"])]
    assert sorted(slices["sop_instance_uid"]) == sorted(mine["sop_instance_uid"])


def test_manifest_counts_patients_and_radiographs(folder: Path) -> None:
    edit_headers(next(folder.glob(f"{PATIENTS[2]}/*/*")), Modality="DX")
    facts = lidc_idri.manifest(entry_of(folder))
    assert (facts["num_patients"], facts["num_studies"], facts["num_other_series"]) == (2, 2, 1)
    assert facts["stand_in"] is False and facts["source"] == str(folder)
    assert any("10.7937/K9/TCIA.2015.LO9QL9SX" in text for text in facts["citation"])
    assert lidc_idri.manifest(entry_of(folder, patients=[PATIENTS[1]]))["num_patients"] == 1


def test_patients_select_and_unknown_ones_are_named(folder: Path) -> None:
    chosen = entry_of(folder, patients=[PATIENTS[1]])
    listing = lidc_idri.list_series(chosen, Path("nowhere"), 5, SETTINGS)
    assert listing.series["patient_id"].tolist() == [PATIENTS[1]]
    assert listing.left_out["patient_id"].tolist() == [PATIENTS[0], PATIENTS[2]]
    assert listing.left_out["reason"].unique().tolist() == ["not_selected"]
    with pytest.raises(InputError, match="LIDC-IDRI-9999"):
        list_taken(entry_of(folder, patients=[PATIENTS[1], "LIDC-IDRI-9999"]))


def edit_headers(series_dir: Path, **values: object) -> None:
    for path in series_dir.glob("*.dcm"):
        header = pydicom.dcmread(path)
        for name, value in values.items():
            setattr(header, name, value)
        header.save_as(path)


def second_series(folder: Path, **values: object) -> tuple[Path, Path]:
    """A second series, 1.2.3, in the first patient's study; both folders come back."""
    first = next(folder.glob(f"{PATIENTS[0]}/*/*"))
    extra = first.with_name("1.2.3")
    shutil.copytree(first, extra)
    edit_headers(extra, SeriesInstanceUID="1.2.3", **values)
    return first, extra


def test_radiographs_are_passed_over(folder: Path) -> None:
    second_series(folder, Modality="DX")
    listing = lidc_idri.list_series(entry_of(folder), Path("nowhere"), 5, SETTINGS)
    assert len(listing.series) == 3 and listing.left_out.empty


@pytest.mark.parametrize("shorter", ["first", "extra"])
def test_of_two_ct_series_the_longer_is_taken(folder: Path, shorter: str) -> None:
    first, extra = second_series(folder)
    next((first if shorter == "first" else extra).glob("*.dcm")).unlink()
    listing = lidc_idri.list_series(entry_of(folder), Path("nowhere"), 5, SETTINGS)
    taken = listing.series["path"].tolist()
    assert (str(extra) in taken, str(first) in taken) == (shorter == "first", shorter == "extra")
    assert listing.left_out[["series_id", "reason"]].values.tolist() == [
        [first.name if shorter == "first" else "1.2.3", "second_series"]
    ]


@pytest.mark.parametrize(
    "image_type", [["ORIGINAL", "PRIMARY", "LOCALIZER"], ["DERIVED", "PRIMARY"], ["ORIGINAL", "SECONDARY"]]
)
def test_scouts_and_derived_images_come_behind(folder: Path, image_type: list[str]) -> None:
    first, _ = second_series(folder, ImageType=image_type)
    next(first.glob("*.dcm")).unlink()
    assert str(first) in list_taken(entry_of(folder))["path"].tolist()


def test_images_made_later_come_before_derived_ones(folder: Path) -> None:
    """LIDC-IDRI-0002 is ORIGINAL\\SECONDARY throughout."""
    first, _ = second_series(folder, ImageType=["DERIVED", "PRIMARY", "AXIAL"])
    edit_headers(first, ImageType=["ORIGINAL", "SECONDARY", "AXIAL"])
    next(first.glob("*.dcm")).unlink()
    assert str(first) in list_taken(entry_of(folder))["path"].tolist()


def test_a_series_without_its_published_number_of_files_is_incomplete(folder: Path, tmp_path: Path) -> None:
    published = imaging_data_commons.read_collection("lidc_idri").query("modality == 'CT'").iloc[0]
    series_dir = next(folder.glob(f"{PATIENTS[0]}/*/*"))
    edit_headers(series_dir, SeriesInstanceUID=published["series_id"])
    series = list_taken(entry_of(folder))
    found = len(list(series_dir.glob("*.dcm")))
    assert series.loc[0, "num_instances"] == published["num_instances"] > found
    failed = lidc_idri.obtain(entry_of(folder), tmp_path, series, SETTINGS)
    assert {uid: error.reason for uid, error in failed.items()} == {published["series_id"]: "incomplete"}
    assert f"{found} of {published['num_instances']}" in failed[published["series_id"]].detail


def test_lost_files_are_the_scans_own_loss_and_a_lost_folder_stops(folder: Path, tmp_path: Path) -> None:
    series = list_taken(entry_of(folder))
    lost = series.iloc[1]
    next(Path(lost["path"]).glob("*.dcm")).unlink()
    failed = lidc_idri.obtain(entry_of(folder), tmp_path, series, SETTINGS)
    assert {uid: error.reason for uid, error in failed.items()} == {lost["series_id"]: "incomplete"}
    assert shard_row("lidc", tmp_path, lost, failed[lost["series_id"]])["status"] == "failed"
    shutil.rmtree(lost["path"])
    with pytest.raises(InputError, match="is gone"):
        lidc_idri.obtain(entry_of(folder), tmp_path, series, SETTINGS)


def test_a_file_that_is_no_dicom_is_named_if_its_patient_is_wanted(folder: Path) -> None:
    min(folder.glob(f"{PATIENTS[0]}/*/*/*.dcm")).write_text("no image")
    with pytest.raises(InputError, match="does not open"):
        list_taken(entry_of(folder))
    with pytest.raises(InputError, match="does not open"):
        list_taken(entry_of(folder, patients=[PATIENTS[0]]))
    assert len(list_taken(entry_of(folder, patients=[PATIENTS[2]]))) == 1


@pytest.mark.parametrize("folder_name", [None, "nowhere"])
def test_without_a_folder_the_message_names_the_key(folder_name: str | None) -> None:
    entry = {"name": "lidc", "source": "lidc_idri"} | ({"folder": folder_name} if folder_name else {})
    with pytest.raises(InputError, match="needs a folder") as caught:
        list_taken(entry)
    assert "key folder" in str(caught.value)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no CT series"):
        list_taken(entry_of(tmp_path))
