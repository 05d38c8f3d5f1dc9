"""Every defect of a DICOM folder has its rule: refused with its reason, or repaired and reported."""

import re
import shutil

import numpy as np
import pydicom
import pytest
from dicom_files import phantom, refusal, setting, write_series
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ComputedRadiographyImageStorage, RLELossless, SecondaryCaptureImageStorage

from chestct.volumes.convert_scan import read_series
from chestct.volumes.geometry import spacing_tolerance_mm
from chestct.volumes.refusals import ACCEPTABLE, REFUSALS, REPAIRS
from chestct.volumes.remedies import REMEDIES, remedy_for_reason, remedy_lines


def tilted(degrees):
    angle = np.radians(degrees)
    return 1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))


def raw(keyword, vr, value):
    """An element that is written as it is, whatever pydicom thinks of it."""
    return RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


def deleting(keyword):
    return lambda i, dataset: delattr(dataset, keyword) if i == 2 else None


BENT = {
    "gap of one": ({"z_offsets": [0, 0, 0, 2.5, 2.5, 2.5]}, "missing_slices", "1 at a spacing of 2.500"),
    "gap of 38 mm": ({"z_offsets": [0, 0, 0, 0, 0, 37.5]}, "missing_slices", "15 at a spacing"),
    "irregular": ({"z_offsets": [0, 0, 0.4, 0.4, 0.4, 0.4]}, "irregular_spacing", "2.900 mm"),
    "one slice out of line": ({"z_offsets": [0, 0, 0.4, 0, 0, 0]}, "irregular_spacing", "2.100 to 2.900"),
    "half the spacing": ({"z_offsets": [0, 0, 0, -1.25, -1.25, -1.25]}, "irregular_spacing", "1.250"),
    "tilt in the header": ({"edit": setting("GantryDetectorTilt", "-12.5")}, "gantry_tilt", "-12.5"),
    "tilted planes along z": ({"orientation": tilted(15)}, "gantry_tilt", "sheared by 15.0"),
    "axial planes sheared": ({"step": (0, 0.5, 2.5)}, "gantry_tilt", "sheared by 11.3"),
    "one slice aside": (
        {"edit": setting("ImagePositionPatient", [-100, -60, -295], only=2)},
        "shifted_slices",
        "20.0 mm",
    ),
    "coronal": ({"orientation": (1, 0, 0, 0, 0, -1), "step": (0, 2.5, 0)}, "not_axial", "90.0 degrees"),
    "oblique stack": (
        {"orientation": tilted(10), "step": (0, -2.5 * np.sin(np.radians(10)), 2.5 * np.cos(np.radians(10)))},
        "not_axial",
        "10.0 degrees",
    ),
    "rotated in plane": (
        {"orientation": (0.966, 0.2588, 0, -0.2588, 0.966, 0)},
        "not_axial",
        "15.0 degrees",
    ),
    "mixed orientation": (
        {"edit": setting("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0], only=3)},
        "mixed_orientation",
        "-1.0",
    ),
    "mixed spacing": ({"edit": setting("PixelSpacing", [0.8, 0.8], only=3)}, "mixed_spacing", "0.8"),
    "no position": ({"edit": deleting("ImagePositionPatient")}, "bad_geometry", "position None"),
    "no orientation": ({"edit": deleting("ImageOrientationPatient")}, "bad_geometry", "orientation None"),
    "no pixel spacing": ({"edit": deleting("PixelSpacing")}, "bad_geometry", "pixel spacing None"),
    "pixel spacing 0": ({"edit": setting("PixelSpacing", [0, 0])}, "bad_geometry", "0.0"),
    "orientation of no length": (
        {"edit": setting("ImageOrientationPatient", [0, 0, 0, 0, 1, 0])},
        "bad_geometry",
        "not orthonormal",
    ),
    "no slope": ({"edit": deleting("RescaleSlope")}, "bad_rescale", "slope None"),
    "slope 0": ({"edit": setting("RescaleSlope", "0")}, "bad_rescale", "slope 0.0"),
    "beyond int16": ({"edit": setting("RescaleIntercept", "40000")}, "bad_rescale", "HU"),
    "electron density": ({"edit": setting("RescaleType", "ED")}, "not_hounsfield", "ED"),
    "multiframe": ({"edit": setting("NumberOfFrames", 5)}, "multiframe", "5 frames"),
    "colour": ({"edit": setting("SamplesPerPixel", 3)}, "unsupported_pixels", "3 x"),
    "inverted": (
        {"edit": setting("PhotometricInterpretation", "MONOCHROME1")},
        "unsupported_pixels",
        "MONOCHROME1",
    ),
    "odd bits": ({"edit": setting("BitsAllocated", 12)}, "unsupported_pixels", "12 bits"),
    "no pixels": ({"edit": deleting("PixelData")}, "truncated_file", "no pixel data"),
    "too few pixels": ({"edit": setting("PixelData", b"\0" * 40, only=1)}, "truncated_file", "40 of 384"),
    "magnetic resonance": ({"edit": setting("Modality", "MR")}, "wrong_modality", "MR instead of CT"),
    "two series alike": (
        {"edit": lambda i, dataset: setattr(dataset, "SeriesInstanceUID", f"1.2.{i % 2}")},
        "several_series",
        "1.2.0 (3 slices, 3 files), 1.2.1 (3 slices, 3 files)",
    ),
    "two patients": (
        {"edit": setting("PatientID", "another", only=3)},
        "mixed_identifiers",
        "2 patients in series",
    ),
    "two studies": ({"edit": setting("StudyInstanceUID", "1.2.3", only=3)}, "mixed_identifiers", "2 studies"),
    "two frames of reference": (
        {"edit": setting("FrameOfReferenceUID", "1.2.3", only=3)},
        "mixed_identifiers",
        "2 frames of reference",
    ),
    "high bits that are not the low ones": (
        {"edit": setting("BitsStored", 12)},
        "unsupported_pixels",
        "12 bits, the highest of them bit 15",
    ),
    "as large as damage makes it": (
        {"edit": setting("Rows", 60000)},
        "unsupported_pixels",
        "60000 x 16 pixels",
    ),
    "a table of values": (
        {"edit": lambda i, dataset: setattr(dataset, "ModalityLUTSequence", [Dataset()])},
        "bad_rescale",
        "Modality LUT",
    ),
    "no air": ({"intercepts": [2000] * 6}, "not_hounsfield", "no air"),
    "nothing but air": ({"intercepts": [-20000] * 6}, "not_hounsfield", "values from -1024 to -1024"),
    "numbers with underscores": (
        {"edit": lambda i, dataset: dataset.add(raw("RescaleSlope", "DS", b"1_0 "))},
        "bad_rescale",
        "slope None",
    ),
    "localizers only": (
        {"edit": setting("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])},
        "no_original_images",
        "LOCALIZER",
    ),
    "derived only": (
        {"edit": setting("ImageType", ["DERIVED", "SECONDARY", "REFORMATTED"])},
        "no_original_images",
        "REFORMATTED",
    ),
    "one identifier at two positions": (
        {"edit": setting("SOPInstanceUID", "1.2.3.4")},
        "duplicate_identifiers",
        "1.2.3.4",
    ),
    "undecodable": (
        {"syntax": RLELossless, "edit": lambda i, d: _spoil(d) if i == 4 else None},
        "undecodable_pixels",
        "004.dcm",
    ),
}


def _spoil(dataset):
    """Claim seventeen segments where RLE knows fifteen."""
    content = bytearray(dataset.PixelData)
    start = content.index(b"\x02\x00\x00\x00\x40\x00\x00\x00")
    content[start] = 17
    dataset.PixelData = bytes(content)


@pytest.mark.parametrize("name", BENT)
def test_defect_is_refused_with_its_reason_and_numbers(bent_series, name):
    arguments, reason, detail = BENT[name]
    refused = refusal(bent_series(**arguments))
    assert refused.reason == reason, refused
    assert detail in refused.detail


def test_mixed_sizes(tmp_path):
    folder = write_series(tmp_path / "s", phantom((3, 12, 16)))
    write_series(folder, phantom((1, 12, 20)), order=[3], origin=(-100, -80, -292.5))
    refused = refusal(folder)
    assert (refused.reason, refused.detail) == ("mixed_sizes", "12x16 and 12x20")


def test_truncated_file(series):
    path = series / "003.dcm"
    path.write_bytes(path.read_bytes()[:-10])
    refused = refusal(series)
    assert refused.reason == "truncated_file" and "003.dcm: 374 of 384 pixel bytes" in refused.detail


@pytest.mark.parametrize("content", [b"", b"not a DICOM file at all" * 50])
def test_unreadable_file_is_named(series, content):
    (series / "005.dcm").write_bytes(content)
    refused = refusal(series)
    assert refused.reason == "unreadable_file" and "005.dcm" in refused.detail


def test_identical_duplicates_are_dropped(series, hu):
    shutil.copy(series / "002.dcm", series / "copy.dcm")
    scan, report = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [("dropped_duplicates", "1 file(s)")]
    assert (report.num_files, report.num_slices) == (7, 6)
    assert scan.copies == {}  # one identifier for both


def test_identifiers_of_dropped_duplicates_lead_to_the_slice_that_stayed(series, hu):
    for number, (name, uid) in enumerate([("002", "1.2.3"), ("002", "1.2.4"), ("005", "1.2.5")]):
        dataset = pydicom.dcmread(series / f"{name}.dcm")
        dataset.SOPInstanceUID = uid
        dataset.save_as(series / f"copy-{number}.dcm")
    scan, report = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [("dropped_duplicates", "3 file(s)")]
    assert scan.copies == {"1.2.3": 2, "1.2.4": 2, "1.2.5": 5}


def test_different_images_at_one_position_are_refused(series):
    dataset = pydicom.dcmread(series / "002.dcm")
    pixels = dataset.pixel_array.copy()
    pixels[5, 5] += 7
    dataset.PixelData = pixels.tobytes()
    dataset.SOPInstanceUID = "1.2.3"
    dataset.save_as(series / "other.dcm")
    refused = refusal(series)
    assert refused.reason == "duplicate_positions"
    assert "differ in 1 pixels by up to 7 HU" in refused.detail


@pytest.mark.parametrize(
    ("keyword", "value", "repair"),
    [
        ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"], "dropped_localizers"),
        ("ImageType", ["DERIVED", "SECONDARY", "MPR"], "dropped_derived"),
        ("SOPClassUID", SecondaryCaptureImageStorage, "dropped_secondary"),
        ("Modality", "SR", "dropped_secondary"),
    ],
)
def test_what_lies_beside_the_series_is_left_out(series, hu, tmp_path, keyword, value, repair):
    def edit(i, dataset):
        setattr(dataset, keyword, value)
        dataset.SeriesInstanceUID = "1.2.3.9"

    write_series(series, phantom((1, 30, 30)), order=[90], edit=edit)
    scan, report = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)
    assert report.repairs == [(repair, "1 file(s)")]


def test_folders_without_a_series(tmp_path):
    assert refusal(tmp_path / "nowhere").reason == "missing_files"
    (tmp_path / "readme.txt").write_text("no images here")
    assert refusal(tmp_path).reason == "no_dicom_files"


def test_other_object_classes_are_no_modality_ct(bent_series):
    refused = refusal(bent_series(edit=setting("SOPClassUID", ComputedRadiographyImageStorage)))
    assert refused.reason == "no_original_images"


def test_too_few_slices(tmp_path):
    assert refusal(write_series(tmp_path / "s", phantom((1, 8, 8)))).reason == "too_few_slices"


def test_expected_numbers_and_identifiers(series):
    assert refusal(series, num_instances=7).detail == "6 of 7"
    assert refusal(series, series_id="1.2.3").reason == "wrong_series"
    read_series(series, num_instances=6, series_id="1.2.826.0.1.3680043.8.498.7.1")


def test_spacing_tolerance():
    """5 %, at least a tenth of a millimetre, never as much as could hide a missing slice."""
    assert spacing_tolerance_mm(5.0) == pytest.approx(0.25)
    assert spacing_tolerance_mm(1.0) == pytest.approx(0.1)
    assert spacing_tolerance_mm(0.2) == pytest.approx(0.05)


def test_reasons_are_unambiguous_and_documented(root):
    assert not set(REFUSALS) & set(REPAIRS)
    codes = set(re.findall(r"`([a-z0-9_]+)`", (root / "docs" / "volumes.md").read_text()))
    assert set(REFUSALS) | set(REPAIRS) <= codes


def test_every_refusal_has_a_remedy():
    assert set(REMEDIES) == {*REFUSALS, "not_obtained", "altered", "unexpected_error"}
    for reason in REFUSALS:
        assert (f"--accept {reason}" in remedy_for_reason(reason)) == (reason in ACCEPTABLE)
    lines = remedy_lines(["not_3d", "gantry_tilt", "not_3d"])
    assert [line.split(":")[0] for line in lines] == ["remedy for not_3d", "remedy for gantry_tilt"]
