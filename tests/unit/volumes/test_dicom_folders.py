"""DICOM where people keep it: below the path, packed, beside lists of images, in one file."""

import gzip
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from dicom_files import phantom, refusal, write_series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)

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


@pytest.mark.parametrize("pack", [zipped, tarred, gzipped])
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


def test_packed_files_below_the_path_are_said(tmp_path, hu):
    folder = write_series(tmp_path / "p" / "s", hu)
    gzipped(folder)
    for path in folder.glob("*.dcm"):
        path.unlink()
    assert refusal(tmp_path / "p").reason == "packed_files"


def test_one_dicom_file_is_one_slice(series):
    assert refusal(series / "001.dcm").reason == "too_few_slices"
    bare = shutil.copy(series / "001.dcm", series.parent / "without_suffix")
    assert refusal(bare).reason == "too_few_slices"


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
