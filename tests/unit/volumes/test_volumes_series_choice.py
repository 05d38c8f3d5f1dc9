"""Which images of a folder make the scan: the rule of ``choose_series``, applied in the open."""

import shutil

import numpy as np
import pytest
from dicom_files import phantom, refusal, setting, write_series

from chestct.volumes.convert_scan import convert_one, read_series
from chestct.volumes.scan import Report

UID = "1.2.826.0.1.3680043.8.498.7.1"
OTHER = "1.2.826.0.1.3680043.8.498.7.9"


@pytest.fixture
def two_series(tmp_path, hu):
    """Six slices, and three of another reconstruction beside them."""
    folder = write_series(tmp_path / "two", hu)
    return write_series(folder, phantom((3, 12, 16), seed=9), order=[50, 51, 52], series=OTHER)


def test_the_series_of_most_slices_is_taken_in_the_open(two_series, hu):
    scan, report = read_series(two_series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [
        ("chose_largest_series", f"of 2: {UID} (6 slices, 6 files), {OTHER} (3 slices, 3 files)")
    ]
    assert (report.num_files, report.num_slices, report.series_id) == (9, 6, UID)


def test_the_series_that_is_named_is_taken_however_small(two_series):
    scan, report = read_series(two_series, series_id=OTHER)
    np.testing.assert_array_equal(scan.hu, phantom((3, 12, 16), seed=9))
    assert report.repairs == []
    assert report.notes == ["6 file(s) of other series beside the one named"]
    assert report.series_id == OTHER


def test_a_tie_is_refused_with_its_numbers(tmp_path, hu):
    folder = write_series(tmp_path / "two", hu)
    write_series(folder, hu, order=range(50, 56), series=OTHER)
    refused = refusal(folder)
    assert refused.reason == "several_series"
    assert f"{UID} (6 slices, 6 files), {OTHER} (6 slices, 6 files)" in refused.detail
    assert read_series(folder, series_id=UID)[1].repairs == []


def test_positions_count_not_files(tmp_path, hu):
    """A bolus watched at one position has more files than the scan, and one slice."""
    folder = write_series(tmp_path / "two", hu)
    write_series(folder, phantom((20, 12, 16)), order=range(50, 70), series=OTHER, step=(0, 0, 0))
    scan, report = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs[0][0] == "chose_largest_series" and "1 slices, 20 files" in report.repairs[0][1]


def test_a_series_that_is_not_there(two_series):
    refused = refusal(two_series, series_id="1.2.3")
    assert refused.reason == "wrong_series"
    assert UID in refused.detail and OTHER in refused.detail


def test_a_named_series_of_another_modality(tmp_path, hu):
    folder = write_series(tmp_path / "two", hu)
    write_series(folder, hu, order=range(50, 56), series=OTHER, edit=setting("Modality", "PT"))
    assert refusal(folder, series_id=OTHER).reason == "wrong_modality"


@pytest.mark.parametrize(
    "values", [("DERIVED", "PRIMARY", "AXIAL"), ("DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 SPI")]
)
def test_derived_slices_are_taken_where_there_is_nothing_else(tmp_path, hu, values):
    scan, report = read_series(write_series(tmp_path / "s", hu, edit=setting("ImageType", list(values))))
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [("accepted_derived", "6 file(s) of type DERIVED\\PRIMARY\\AXIAL")]


@pytest.mark.parametrize(
    "values",
    [
        ("DERIVED", "SECONDARY", "AXIAL"),
        ("DERIVED", "PRIMARY", "MPR"),
        ("DERIVED", "PRIMARY", "AXIAL", "MIP"),
        ("DERIVED", "PRIMARY", "AXIAL", "CSA", "PROJECTION IMAGE"),
        ("DERIVED", "PRIMARY"),
        ("ORIGINAL", "PRIMARY", "AXIAL", "MIP"),
        ("DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 AVE"),
    ],
)
def test_reformatted_images_are_not(tmp_path, hu, values):
    refused = refusal(write_series(tmp_path / "s", hu, edit=setting("ImageType", list(values))))
    assert refused.reason == "no_original_images"
    assert "derived 6" in refused.detail and "\\".join(values) in refused.detail


def test_images_made_later_are_taken_with_a_note_where_none_is_primary(tmp_path, hu):
    """LIDC-IDRI-0002 has ORIGINAL\\SECONDARY on every slice: its pixels are the scanner's all the same."""
    edit = setting("ImageType", ["ORIGINAL", "SECONDARY", "AXIAL"])
    scan, report = read_series(write_series(tmp_path / "s", hu, edit=edit))
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == []
    assert report.notes == ["6 file(s) of type ORIGINAL\\SECONDARY, none of type PRIMARY"]


def test_primary_images_come_before_those_made_later(tmp_path, hu):
    folder = write_series(tmp_path / "two", hu)
    edit = setting("ImageType", ["ORIGINAL", "SECONDARY", "AXIAL"])
    write_series(folder, phantom((9, 12, 16)), order=range(50, 59), series=OTHER, edit=edit)
    scan, report = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [("dropped_derived", "9 file(s)")]


@pytest.mark.parametrize("values", [("ORIGINAL", "SECONDARY", "AXIAL"), ("DERIVED", "PRIMARY", "AXIAL")])
def test_images_that_watch_a_bolus_do_not_stand_for_the_scan(tmp_path, hu, values):
    """They are original, but lie at one position."""
    folder = write_series(tmp_path / "s", hu, edit=setting("ImageType", list(values)))
    bolus = phantom((9, 12, 16), seed=3)
    write_series(folder, bolus, series="1.2.3.9", order=range(50, 59), step=(0, 0, 0))
    scan, report = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.notes[0] == "9 original file(s) at one position left out"
    for path in folder.glob("00*.dcm"):
        path.unlink()
    assert refusal(folder).reason == "too_few_slices"


def test_value_2_may_change_within_a_series(tmp_path, hu):
    """Left out, the slices would be missing at an end, where no gap tells of it."""
    edit = setting("ImageType", ["ORIGINAL", "SECONDARY", "AXIAL"], only=5)
    scan, report = read_series(write_series(tmp_path / "s", hu, edit=edit))
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == []


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        (("DERIVED", "SECONDARY", "AXIAL"), True),
        (("DERIVED", "PRIMARY", "AXIAL", "AVERAGE"), True),
        (("ORIGINAL", "PRIMARY", "AXIAL", "VMI"), True),
        (("DERIVED", "PRIMARY", "AXIAL", "IODINE"), False),
        (("ORIGINAL", "PRIMARY", "LOCALIZER"), False),
    ],
)
def test_computed_images_in_hu_are_taken_if_the_user_accepts_them(tmp_path, hu, values, taken):
    folder = write_series(tmp_path / "s", hu, edit=setting("ImageType", list(values)))
    row, scan = convert_one(folder, dataset="d", size_px=None, accept=["no_original_images"])
    if taken:
        np.testing.assert_array_equal(scan.hu, hu)
        assert (row["status"], row["reason"]) == ("repaired", "accepted_by_hand")
        assert row["detail"].startswith("accepted_by_hand: no_original_images, 6 file(s)")
    else:
        assert (scan, row["reason"]) == (None, "no_original_images")


def test_several_studies_are_refused_unless_one_is_named(tmp_path, hu):
    folder = write_series(tmp_path / "two", hu)

    def of_another_study(i, dataset):
        dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.9"

    write_series(folder, hu[:3] + 1, order=range(50, 53), series=OTHER, edit=of_another_study)
    refused = refusal(folder)
    assert refused.reason == "several_studies" and "1.2.826.0.1.3680043.8.498.9 (1 series)" in refused.detail
    for identifier, expected in (("1.2.826.0.1.3680043.8.498.9", hu[:3] + 1), (OTHER, hu[:3] + 1), (UID, hu)):
        _, scan = convert_one(folder, dataset="d", size_px=None, study_id=identifier, series_id=identifier)
        np.testing.assert_array_equal(scan.hu, expected)


@pytest.mark.parametrize("identifier", ["1.2.826.0.1.3680043.8.498.7", UID, "1.2.3.4.5.6", "S" * 300])
def test_any_identifier_of_a_scan_is_one(tmp_path, hu, identifier):
    """Sources without series of their own give the scan's identifier for the series too."""
    folder = write_series(tmp_path / "s", hu)
    row, scan = convert_one(folder, dataset="d", size_px=None, study_id=identifier, series_id=identifier)
    np.testing.assert_array_equal(scan.hu, hu)
    assert row["status"] == "accepted" and row["study_id"] == identifier
    assert ("UID that its files do not have" in (row["detail"] or "")) == (identifier == "1.2.3.4.5.6")


def test_a_description_that_speaks_of_a_projection_is_noted_without_its_text(tmp_path, hu):
    edit = setting("SeriesDescription", "MIP 10mm Jane Doe")
    _, report = read_series(write_series(tmp_path / "s", hu, edit=edit))
    assert report.notes == ["SeriesDescription has the word(s) MIP: was it computed?"]


def test_original_images_come_before_derived_ones(tmp_path, hu):
    folder = write_series(tmp_path / "two", hu)
    write_series(
        folder,
        phantom((9, 12, 16)),
        order=range(50, 59),
        series=OTHER,
        edit=setting("ImageType", ["DERIVED", "PRIMARY", "AXIAL"]),
    )
    scan, report = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [("dropped_derived", "9 file(s)")]


def test_fewer_images_of_the_series_than_announced(two_series):
    """What other series hold, and copies, do not make up for what is missing."""
    report = Report()
    refused = refusal(two_series, series_id=UID, num_instances=7, report=report)
    assert (refused.reason, refused.detail) == ("fewer_files_than_expected", "6 of 7")
    assert report.num_files == 9
    shutil.copy(two_series / "002.dcm", two_series / "copy.dcm")
    assert refusal(two_series, series_id=UID, num_instances=7).detail == "6 of 7, 1 more are copies"
    read_series(two_series, series_id=UID, num_instances=6)
    read_series(two_series, num_instances=9)
