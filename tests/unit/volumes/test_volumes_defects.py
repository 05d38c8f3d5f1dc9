"""Defects of a series, alone, in pairs and several: no wrong volume, no other exception."""

import copy
from itertools import combinations

import numpy as np
import pytest
from dicom_files import make_slice, property_test
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import SecondaryCaptureImageStorage

from chestct.volumes.convert_scan import read_series
from chestct.volumes.refusals import REFUSALS, REPAIRS, RefusedScan
from chestct.volumes.scan import Report

OTHER = "1.2.826.0.1.3680043.8.498.7.9"
NUM = 5


def flawless(seed=0, num_slices=NUM, **arguments):
    """Datasets feet to head, and their HU."""
    hu = np.random.default_rng(seed).integers(-1024, 1500, (num_slices, 6, 6)).astype(np.int16)
    datasets = [
        make_slice(plane, position=(-100, -80, 2.5 * i - 300), instance=i, **arguments)
        for i, plane in enumerate(hu)
    ]
    return hu, datasets


def setting(keyword, value, *slices):
    """A defect that sets one attribute, of these slices or of all."""

    def apply(files):
        for i in slices or range(NUM):
            if f"{i}.dcm" in files:
                setattr(files[f"{i}.dcm"], keyword, value)

    return apply


def deleting(keyword, i):
    def apply(files):
        if keyword in files[f"{i}.dcm"]:
            delattr(files[f"{i}.dcm"], keyword)

    return apply


def moving(axis, by, *slices):
    def apply(files):
        for i in slices:
            dataset = files.get(f"{i}.dcm")
            if dataset is not None and dataset.get("ImagePositionPatient"):
                dataset.ImagePositionPatient[axis] += by(i) if callable(by) else by

    return apply


def repeating(i, **changes):
    """A copy of one slice, with some attributes changed."""

    def apply(files):
        dataset = copy.deepcopy(files[f"{i}.dcm"])
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        files[f"again-{len(files)}.dcm"] = dataset

    return apply


def accompanying(num_slices, **changes):
    """A second series beside the first."""

    def apply(files):
        for dataset in flawless(7, num_slices, series=OTHER)[1]:
            for keyword, value in changes.items():
                setattr(dataset, keyword, value)
            files[f"beside-{len(files)}.dcm"] = dataset

    return apply


def shrinking(files):
    dataset = files["1.dcm"]
    if "PixelData" in dataset:
        dataset.Rows, dataset.PixelData = 5, dataset.PixelData[:60]


CORONAL, LOCALIZER = [1, 0, 0, 0, 0, -1], ["ORIGINAL", "PRIMARY", "LOCALIZER"]
FATAL = {
    "a file less": (lambda files: files.pop("2.dcm"), "missing_slices"),
    "a slice out of step": (moving(2, 1, 3), "irregular_spacing"),
    "tilt declared": (setting("GantryDetectorTilt", "-12"), "gantry_tilt"),
    "sheared": (moving(1, lambda i: 1.5 * i, *range(NUM)), "gantry_tilt"),
    "a slice aside": (moving(0, 20, 3), "shifted_slices"),
    "another size": (shrinking, "mixed_sizes"),
    "another orientation": (setting("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0], 3), "mixed_orientation"),
    "another spacing": (setting("PixelSpacing", [0.8, 0.8], 1), "mixed_spacing"),
    "no position": (deleting("ImagePositionPatient", 0), "bad_geometry"),
    "no spacing": (deleting("PixelSpacing", 4), "bad_geometry"),
    "coronal": (setting("ImageOrientationPatient", CORONAL), "shifted_slices"),
    "no slope": (deleting("RescaleSlope", 1), "bad_rescale"),
    "not in HU": (setting("RescaleType", "ED", 3), "not_hounsfield"),
    "intercept lost": (setting("RescaleIntercept", "1100"), "not_hounsfield"),
    "all of another modality": (setting("Modality", "MR"), "wrong_modality"),
    "all localizers": (setting("ImageType", LOCALIZER), "no_original_images"),
    "frames": (setting("NumberOfFrames", 3, 3), "multiframe"),
    "colour": (setting("SamplesPerPixel", 3, 3), "unsupported_pixels"),
    "high bit": (setting("HighBit", 11, 1), "unsupported_pixels"),
    "no pixels": (deleting("PixelData", 1), "truncated_file"),
    "few pixels": (setting("PixelData", b"\x00" * 40, 3), "truncated_file"),
    "no file at all": (
        lambda files: files.update({"4.dcm": b"<html>not found</html>" * 9}),
        "unreadable_file",
    ),
    "two images at one position": (
        repeating(3, PixelData=b"\x11" * 72, SOPInstanceUID="1.2.3"),
        "duplicate_positions",
    ),
    "one identifier twice": (setting("SOPInstanceUID", "1.2.3.4", 1, 3), "duplicate_identifiers"),
    "two patients": (setting("PatientID", "another", 1), "mixed_identifiers"),
    "two studies": (setting("StudyInstanceUID", "1.2.3", 3), "mixed_identifiers"),
    "two series alike": (accompanying(NUM), "several_series"),
}
HARMLESS = {
    "a copy": (repeating(3), "dropped_duplicates"),
    "a localizer": (accompanying(1, ImageType=LOCALIZER), "dropped_localizers"),
    "a derived image": (accompanying(1, ImageType=["DERIVED", "SECONDARY", "MPR"]), "dropped_derived"),
    "a capture": (accompanying(1, SOPClassUID=SecondaryCaptureImageStorage), "dropped_secondary"),
    "a smaller series": (accompanying(2), "chose_largest_series"),
    "instances numbered alike": (setting("InstanceNumber", 1), None),
    "no instance numbers": (setting("InstanceNumber", None), None),
    "types removed": (setting("ImageType", None), None),
    "another file": (lambda files: files.update({"notes.txt": b"seen"}), None),
    "padding declared": (setting("PixelPaddingValue", -2000), None),
}


def outcome(folder, files):
    """Save and read; returns the scan and the report, or the refusal."""
    folder.mkdir()
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            content.save_as(folder / name, enforce_file_format=True)
    report = Report()
    try:
        return read_series(folder, report=report)[0], report
    except RefusedScan as refused:
        return refused, report


def apply_all(defects):
    hu, datasets = flawless()
    files = {f"{i}.dcm": dataset for i, dataset in enumerate(datasets)}
    # What is harmless comes first: removing types would undo that all are localizers. What is no data set
    # any more comes last.
    for name in sorted(defects, key=lambda name: (name in FATAL, name == "no file at all")):
        (FATAL | HARMLESS)[name][0](files)
    return hu, files


@pytest.mark.parametrize("name", FATAL)
def test_each_defect_alone_is_refused_with_its_reason(tmp_path, name):
    refused, _ = outcome(tmp_path / "s", apply_all([name])[1])
    assert isinstance(refused, RefusedScan)
    assert refused.reason == FATAL[name][1], refused


@pytest.mark.parametrize("name", HARMLESS)
def test_each_oddity_alone_is_repaired_or_accepted(tmp_path, name):
    hu, files = apply_all([name])
    scan, report = outcome(tmp_path / "s", files)
    np.testing.assert_array_equal(scan.hu, hu)
    repair = HARMLESS[name][1]
    assert [reason for reason, _ in report.repairs] == ([repair] if repair else [])
    assert {reason for reason, _ in report.repairs} <= set(REPAIRS)


def check_pair(folder, pair):
    hu, files = apply_all(pair)
    found, report = outcome(folder, files)
    if isinstance(found, RefusedScan):
        assert set(pair) & set(FATAL), f"{pair} refused: {found}"
        assert found.reason in REFUSALS and found.detail
    elif report.series_id == OTHER:
        # The first series has fewer slices, or none of CT, and so the one beside it is taken.
        assert {"two series alike", "a smaller series"} & set(pair), pair
        np.testing.assert_array_equal(found.hu, flawless(7, len(found.hu))[0])
    else:
        assert not set(pair) & set(FATAL), f"{pair} accepted"
        np.testing.assert_array_equal(found.hu, hu)


@pytest.mark.parametrize("name", FATAL | HARMLESS)
def test_defects_in_pairs(tmp_path, name):
    """Every defect with every other that stands behind it."""
    names = [*FATAL, *HARMLESS]
    for number, other in enumerate(names[names.index(name) + 1 :]):
        check_pair(tmp_path / f"a{number}", (name, other))


def test_pairs_are_all(tmp_path):
    assert len(list(combinations([*FATAL, *HARMLESS], 2))) == 666


@property_test(40)
@given(names=st.lists(st.sampled_from([*FATAL, *HARMLESS]), min_size=3, max_size=5, unique=True))
def test_several_defects_in_any_order(tmp_path_factory, names):
    check_pair(tmp_path_factory.mktemp("case") / "s", names)
