"""DICOM where people keep it: below the path, packed, beside lists of images, in one file."""

import bz2
import gzip
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from dicom_files import phantom, refusal, setting, write_series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)
from volume_writers import write_nifti

from chestct.download.sources import study_folders
from chestct.errors import InputError
from chestct.volumes.convert_scan import convert_one, read_series

OTHER = "1.2.826.0.1.3680043.8.498.7.9"


def write_directory(path, syntax=ExplicitVRLittleEndian):
    """A Media Storage Directory, as Philips writes into every folder as DIRFILE."""
    dataset, meta = Dataset(), FileMetaDataset()
    dataset.file_meta, meta.TransferSyntaxUID = meta, syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        MediaStorageDirectoryStorage,
        generate_uid(),
    )
    dataset.FileSetID = "X"
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("below", ["series", "study/series", "DICOM/PA000/ST000/SE000"])
def test_the_folder_below_the_path_is_taken_with_a_note(tmp_path, hu, below):
    write_series(tmp_path / "patient" / below, hu)
    (tmp_path / "patient" / "readme.txt").write_text("from the CD")
    scan, report = read_series(tmp_path / "patient")
    np.testing.assert_array_equal(scan.hu, hu)
    levels = below.count("/") + 1
    assert report.notes[0] == f"DICOM found in 1 folder(s) {levels} level(s) below the path"


def test_a_search_that_ends_early_is_noted(tmp_path, hu, monkeypatch):
    write_series(tmp_path / "patient" / "a", hu)
    (tmp_path / "patient" / "b").mkdir()
    assert not any("there are more" in note for note in read_series(tmp_path / "patient")[1].notes)
    monkeypatch.setattr("chestct.dicom_folder.MAX_FOLDERS", 1)
    assert any("there are more" in note for note in read_series(tmp_path / "patient")[1].notes)


def test_links_to_folders_are_followed_once(tmp_path, hu):
    write_series(tmp_path / "store" / "scan", hu)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "scan").symlink_to(tmp_path / "store" / "scan")
    (tmp_path / "p" / "again").symlink_to(tmp_path / "p" / "scan")
    (tmp_path / "p" / "round").symlink_to(tmp_path / "p")
    scan, report = read_series(tmp_path / "p")
    np.testing.assert_array_equal(scan.hu, hu)
    assert (report.num_files, report.repairs) == (6, [])


def test_of_several_folders_below_the_series_of_most_slices_is_taken_in_the_open(tmp_path, hu):
    write_series(tmp_path / "p" / "chest", hu)
    write_series(tmp_path / "p" / "thick", phantom((3, 12, 16)), series=OTHER)
    scan, report = read_series(tmp_path / "p")
    np.testing.assert_array_equal(scan.hu, hu)
    assert [reason for reason, _ in report.repairs] == ["chose_largest_series"]
    assert report.num_files == 9


def test_folders_below_a_series_are_left_alone_and_counted(series, hu):
    write_series(series / "old", phantom((9, 12, 16)), series=OTHER)
    scan, report = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.notes == ["1 folder(s) beside the series not searched"]


@pytest.mark.parametrize(
    "name", ["DIRFILE", "DICOMDIR", "dicomdir", "INDEX", "00000000", "list.dcm", "DIR.001"]
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_lists_of_images_are_passed_over_whatever_their_name(series, hu, name, syntax):
    write_directory(series / name, syntax)
    scan, report = read_series(series, num_instances=6)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.num_files == 6 and len(report.notes) == 1


@pytest.mark.parametrize("name", ["DIRFILE", "DICOMDIR", "DICOMDIR-backup"])
def test_a_folder_with_a_list_alone_is_searched_below(tmp_path, hu, name):
    write_series(tmp_path / "cd" / "DICOM" / "SE1", hu)
    write_directory(tmp_path / "cd" / name)
    write_directory(tmp_path / "cd" / "DICOM" / "SE1" / name)
    scan, _ = read_series(tmp_path / "cd")
    np.testing.assert_array_equal(scan.hu, hu)
    assert len(study_folders.series_files(tmp_path, "cd")) == 6


def test_a_folder_of_lists_holds_no_dicom(tmp_path):
    (tmp_path / "s").mkdir()
    for number in range(6):
        write_directory(tmp_path / "s" / f"{number}.dcm")
    assert refusal(tmp_path / "s").reason == "no_dicom_files"


def zipped(series):
    with zipfile.ZipFile(series / "all.zip", "w") as archive:
        for path in sorted(series.glob("*.dcm")):
            archive.write(path, f"scan/{path.name}")


def tarred(series):
    with tarfile.open(series / "all.tar.gz", "w:gz") as archive:
        for path in sorted(series.glob("*.dcm")):
            archive.add(path, f"scan/{path.name}")


def gzipped(series):
    for path in sorted(series.glob("*.dcm")):
        (series / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


def archived(series):
    """Kinds that are not looked into."""
    (series / "scan.7z").write_bytes(b"7z\xbc\xaf" + bytes(99))


def zipped_twice(series):
    zipped(series)
    with zipfile.ZipFile(series / "outer.zip", "w") as archive:
        archive.write(series / "all.zip", "all.zip")
    (series / "all.zip").unlink()


def compressed_otherwise(series):
    for path in sorted(series.glob("*.dcm")):
        (series / f"{path.name}.bz2").write_bytes(bz2.compress(path.read_bytes()))


@pytest.mark.parametrize("pack", [zipped, tarred, gzipped, archived, zipped_twice, compressed_otherwise])
def test_packed_series_are_said(series, pack):
    pack(series)
    for path in series.glob("*.dcm"):
        path.unlink()
    refused = refusal(series)
    assert refused.reason == "packed_files" and "unpack" in refused.detail
    packed = refusal(min(series.iterdir()))
    assert packed.reason == "packed_files"


def test_a_slice_that_is_packed_beside_others_is_said_and_an_archive_is_not(series, hu):
    zipped(series)
    np.testing.assert_array_equal(read_series(series)[0].hu, hu)
    last = series / "005.dcm"
    (series / "005.dcm.gz").write_bytes(gzip.compress(last.read_bytes()))
    last.unlink()
    assert refusal(series).detail == "1 compressed DICOM file(s): unpack them (gunzip)"


@pytest.mark.parametrize("name", ["000.dcm", "IM000"])
def test_files_that_are_packed_against_their_names_are_said(series, name):
    content = gzip.compress((series / "000.dcm").read_bytes())
    (series / "000.dcm").unlink()
    (series / name).write_bytes(content)
    assert refusal(series).detail.startswith("1 file(s) are packed, though their names do not say so")


def test_a_folder_of_volume_files_is_told_to_name_one(tmp_path, hu):
    write_nifti(tmp_path / "ct.nii.gz", hu)
    refused = refusal(tmp_path)
    assert refused.reason == "no_dicom_files" and "1 volume file(s): the path must name one" in refused.detail


def test_a_series_whose_files_are_gone_is_missed_beside_one_that_is_there(tmp_path, hu):
    write_series(tmp_path / "p" / "a", hu[:3])
    (tmp_path / "p" / "b").mkdir()
    for number in range(6):
        (tmp_path / "p" / "b" / f"{number}.dcm").symlink_to(f".git/annex/objects/{number}")
    refused = refusal(tmp_path / "p")
    assert refused.reason == "missing_files" and refused.detail.startswith("6 file(s)")


def test_a_file_that_may_not_be_read_is_missing_not_damaged(series, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("chestct.volumes.one_pass._open", lambda path: None)
    monkeypatch.setattr("chestct.volumes.slice_header.pydicom.dcmread", denied)
    refused = refusal(series)
    assert (refused.reason, refused.detail) == ("missing_files", "Permission denied")


@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "000.dcm/below"])
def test_paths_that_no_file_has(series, name):
    row, _ = convert_one(f"{series}/{name}", dataset="d", size_px=None)
    assert row["reason"] == "missing_files"


def test_what_lies_beside_without_a_suffix(series, hu):
    for name in ("SHA256SUMS", "COPYING", "manifest", "._000.dcm"):
        (series / name).write_text("no image\n")
    np.testing.assert_array_equal(read_series(series)[0].hu, hu)


def test_packed_files_below_the_path_are_said(tmp_path, hu):
    folder = write_series(tmp_path / "p" / "s", hu)
    gzipped(folder)
    for path in folder.glob("*.dcm"):
        path.unlink()
    assert refusal(tmp_path / "p").reason == "packed_files"


def test_one_dicom_file_is_one_slice(series):
    refused = refusal(series / "001.dcm")
    assert refused.reason == "too_few_slices" and "not its folder" in refused.detail
    bare = shutil.copy(series / "001.dcm", series.parent / "without_suffix")
    assert refusal(bare).reason == "too_few_slices"


def test_a_uid_made_of_a_uuid_names_a_study_and_a_series(series, hu):
    uid = "2.25.329800735698586629295641978511506172918"
    write_series(
        series, phantom((9, 12, 16)), series=OTHER, order=range(10, 19), edit=setting("StudyInstanceUID", uid)
    )
    row, scan = convert_one(series, dataset="d", size_px=None, study_id=uid)
    np.testing.assert_array_equal(scan.hu, phantom((9, 12, 16)))
    assert row["study_id"] == uid and "6 file(s) of other studies" in row["detail"]
    row, _ = convert_one(series, dataset="d", size_px=None, study_id="s", series_id=uid)
    assert row["reason"] == "wrong_series"


def test_the_download_step_lists_what_lies_below_and_never_advises_to_delete(tmp_path, hu):
    write_series(tmp_path / "p" / "a", hu)
    write_series(tmp_path / "p" / "b", hu[:2], series=OTHER)
    assert len(study_folders.series_files(tmp_path, "p")) == 8
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        study_folders.series_files(tmp_path, "empty")
    assert "delete" not in str(caught.value)


def test_what_the_ledger_says_of_a_nested_scan(tmp_path, hu):
    write_series(tmp_path / "p" / "Jane Doe", hu)
    row, _ = convert_one(tmp_path / "p", dataset="d", size_px=None)
    assert row["status"] == "accepted" and "Jane" not in str(row)
