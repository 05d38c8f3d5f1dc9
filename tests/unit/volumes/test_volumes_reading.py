"""Reading equals an independent reader, voxel by voxel, and the voxels that were written."""

import math

import numpy as np
import pydicom
import pytest
from dicom_files import assert_equals_reference, phantom, write_series

from chestct.volumes.convert_scan import read_series


def test_plain_series_gives_the_voxels_that_were_written(series, hu):
    scan, report = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.spacing_mm == (2.5, 0.75, 0.75)
    assert scan.origin_mm == (-100.0, -80.0, -300.0)
    np.testing.assert_allclose(scan.z_mm, -300 + 2.5 * np.arange(6))
    assert report.num_files == report.num_slices == 6
    assert report.repairs == [] and report.notes == []
    assert (report.patient_id, report.study_id) == ("patient-007", "1.2.826.0.1.3680043.8.498.7")
    assert_equals_reference(series, scan)


def test_slices_carry_their_identifiers_feet_to_head(bent_series):
    folder = bent_series(step=(0, 0, -2.5))
    scan, _ = read_series(folder)
    by_z = {}
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        by_z[float(dataset.ImagePositionPatient[2])] = dataset.SOPInstanceUID
    assert list(scan.sop_uids) == [by_z[z] for z in sorted(by_z)]


def test_fractional_slope_is_rounded_once(tmp_path):
    stored = np.random.default_rng(2).integers(0, 4000, (4, 8, 8)).astype(np.uint16)
    folder = write_series(tmp_path / "s", stored, slopes=[0.3] * 4, intercepts=[-1000.4] * 4)
    scan, _ = read_series(folder)
    assert_equals_reference(folder, scan)
    half, _ = read_series(folder, size_px=4)
    exact = (stored * 0.3 - 1000.4).clip(-1024).reshape(4, 4, 2, 4, 2).mean((2, 4))
    assert np.abs(half.hu - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("padding", "vr", "declared", "limit"),
    [
        (3000, "US", 3000, None),
        (-2000, "US", 63536, None),
        (-2000, "SS", -2000, None),
        ((2000, 2005, 2010, 2010), "SS", 2000, 2010),
    ],
)
def test_padding_becomes_air(tmp_path, padding, vr, declared, limit):
    """Whatever value representation the padding was written with, and on whichever side of tissue."""
    stored = phantom((3, 8, 8))
    stored[:, 0, :4] = padding

    def edit(i, dataset):
        dataset.add_new("PixelPaddingValue", vr, declared)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", vr, limit)

    scan, _ = read_series(write_series(tmp_path / "s", stored, edit=edit))
    assert (scan.hu[:, 0, :4] == -1024).all()
    np.testing.assert_array_equal(scan.hu[:, 1:], stored[:, 1:])


def test_padding_that_tissue_takes_is_not_believed(tmp_path):
    """Some scanners declare 0 while water is 0 HU: no corner holds it, so nothing is padded."""
    stored = phantom((3, 8, 8))
    stored[:, 3:5, 3:5] = 0
    scan, _ = read_series(
        write_series(
            tmp_path / "s", stored, edit=lambda i, dataset: dataset.add_new("PixelPaddingValue", "SS", 0)
        )
    )
    np.testing.assert_array_equal(scan.hu, stored)


def test_unused_high_bits_are_masked(tmp_path):
    values = np.random.default_rng(3).integers(0, 4096, (3, 8, 8))
    stored = (values | 0xF000).astype(np.uint16)

    def edit(i, dataset):
        dataset.BitsStored, dataset.HighBit = 12, 11

    scan, _ = read_series(write_series(tmp_path / "s", stored, edit=edit, intercepts=[-1024] * 3))
    np.testing.assert_array_equal(scan.hu, values - 1024)


def test_rounded_positions_are_regular(bent_series):
    """A spacing of 0.625 mm whose positions the scanner rounded to a tenth."""
    exact = 0.625 * np.arange(6)
    scan, _ = read_series(bent_series(step=(0, 0, 0.625), z_offsets=exact.round(1) - exact))
    assert math.isclose(scan.spacing_mm[0], 3.1 / 5, rel_tol=1e-6)


def test_other_files_beside_the_series_are_left_alone(series, hu):
    (series / "069.xml").write_text("<reading/>")
    (series / "LICENSE").write_text("text")
    (series / ".hidden").write_bytes(b"x")
    scan, report = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.num_files == 6 and report.notes == ["2 other file(s) beside the series"]


def test_files_without_suffix_or_preamble_are_read(series, hu):
    """Names made of UIDs, and files from before the preamble existed."""
    for number, path in enumerate(sorted(series.iterdir())):
        dataset = pydicom.dcmread(path)
        path.unlink()
        name = series / ("IM" + path.stem if number % 2 else f"1.2.840.{path.stem}")
        dataset.save_as(name)
        if number == 0:
            content = name.read_bytes()
            meta_length = 12 + int.from_bytes(content[140:144], "little")
            name.write_bytes(content[132 + meta_length :])
    scan, _ = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)


@pytest.mark.parametrize(
    "absent",
    [
        ("ImageType", "SOPClassUID"),
        ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientID"),
    ],
)
def test_anonymised_files_without_type_or_identifiers_are_one_series(bent_series, hu, absent):
    def anonymise(i, dataset):
        for keyword in absent:
            delattr(dataset, keyword)

    scan, report = read_series(bent_series(edit=anonymise))
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == []
