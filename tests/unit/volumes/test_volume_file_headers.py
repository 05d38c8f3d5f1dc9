"""Headers of volume files that contradict themselves, or say what no scan has, are refused with a remedy."""

import os
import struct

import numpy as np
import pytest
from dicom_files import property_test, refusal, write_series
from hypothesis import given
from hypothesis import strategies as st
from volume_writers import DEPTH, HU, RAW, SIDE, write_meta, write_nifti, write_nrrd

from chestct.volumes.convert_scan import convert_one, read_series
from chestct.volumes.refusals import RefusedScan

CONTRADICTIONS = {
    "slope 0 and an intercept": ({"scaling": (0, -1024)}, "scl_slope 0 says that values are not scaled"),
    "no slope and an intercept": ({"scaling": (np.nan, -1024)}, "scl_inter -1024"),
    "spacings": ({"sform": (-0.7, -0.7, 1.25), "pixdim": (1, 1, 1)}, "0.7 x 0.7 x 1.25 mm by the sform"),
    "a half turn": ({"sform": (1, 1, 2.5), "codes": (1, 2)}, "turn axis x 180 degrees apart"),
    "a quarter turn": ({"codes": (1, 1), "quaternion": (0, 0, 0.70710678)}, "turn axis x 90 degrees apart"),
    "a flip": ({"sform": (-1, -1, -2.5), "codes": (1, 1)}, "turn axis z 180 degrees apart"),
    "bits and type": ({"edit": {72: struct.pack("<h", 32)}}, "bitpix 32 of datatype 4"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_headers_of_nifti_that_contradict_themselves(tmp_path, name):
    arguments, words = CONTRADICTIONS[name]
    refused = refusal(write_nifti(tmp_path / "v.nii.gz", HU, **arguments))
    assert refused.reason == "contradicting_header" and words in refused.detail
    assert "write the scan anew" in refused.detail


def test_headers_of_others_that_contradict_themselves(tmp_path):
    (tmp_path / "v.raw").write_bytes(RAW)
    for path in (
        write_meta(tmp_path / "a.mhd", more="ElementSpacing = 2 2 5\n"),
        write_meta(tmp_path / "b.mhd", more="Offset = 0 0 0\nPosition = 0 0 5\n"),
        write_meta(tmp_path / "c.mhd", size=(SIDE, SIDE * DEPTH)),
        write_nrrd(tmp_path / "a.nhdr", more="spacings: 1 1 5\n"),
        write_nrrd(tmp_path / "b.nhdr", more="encoding: gzip\n"),
    ):
        assert refusal(path).reason == "contradicting_header", path.name


def test_headers_that_say_the_same_twice_or_nothing(tmp_path):
    slight = write_nifti(tmp_path / "a.nii.gz", HU, codes=(1, 1), origins=((0, 0, 0), (0, 0, 0.4)))
    assert read_series(slight)[1].notes == []
    apart = write_nifti(tmp_path / "b.nii.gz", HU, codes=(1, 1), origins=((0, 0, 0), (0, 0, -200)))
    assert read_series(apart)[1].notes == ["origins of sform and qform are 200 mm apart"]
    for scaling in ((0, 0), (np.nan, np.nan)):
        path = write_nifti(tmp_path / "c.nii.gz", HU, scaling=scaling)
        np.testing.assert_array_equal(read_series(path)[0].hu, HU)
    (tmp_path / "v.raw").write_bytes(RAW)
    for path in (
        write_nifti(tmp_path / "d.nii.gz", HU, codes=(0, 0)),
        write_nrrd(tmp_path / "d.nhdr", place=False, more="spacings: 1 1 2.5\n"),
    ):
        row, _ = convert_one(path, dataset="d", size_px=None)
        assert row["status"] == "accepted" and row["detail"].startswith("orientation unknown")


BENT = {
    "negative slope": ({"scaling": (-1, 0)}, "bad_rescale"),
    "infinite intercept": ({"scaling": (1, np.inf)}, "bad_rescale"),
    "sheared": ({"sform": [[-1, 0.2, 0], [0, -1, 0], [0, 0, 2.5]], "pixdim": (1, 1.02, 2.5)}, "sheared_axes"),
    "tilted gantry": ({"sform": [[-1, 0, 0], [0, -1, 0.5], [0, 0, 2.45]]}, "sheared_axes"),
    "metres": ({"units": 1, "pixdim": (1e-3, 1e-3, 2.5e-3), "sform": (-1e-3, -1e-3, 2.5e-3)}, "other_units"),
    "micrometres": ({"units": 3, "pixdim": (700, 700, 1250), "sform": (-700, -700, 1250)}, "other_units"),
    "metres without a word": ({"units": 0, "pixdim": (7e-4, 7e-4, 1e-3), "codes": (0, 0)}, "bad_geometry"),
    "centimetres without a word": (
        {"units": 0, "pixdim": (0.07, 0.07, 0.1), "codes": (0, 0)},
        "bad_geometry",
    ),
    "micrometres without a word": ({"units": 0, "pixdim": (700, 700, 1250), "codes": (0, 0)}, "bad_geometry"),
    "slices 100 mm apart": ({"pixdim": (1, 1, 100), "sform": (-1, -1, 100)}, "bad_geometry"),
    "slices 1000 km apart": ({"pixdim": (1, 1, 1e6), "sform": (-1, -1, 1e6)}, "bad_geometry"),
    "slices 0.02 mm apart": ({"pixdim": (1, 1, 0.02), "sform": (-1, -1, 0.02)}, "bad_geometry"),
    "no spacing": ({"pixdim": (0, 0, 0), "codes": (0, 0)}, "bad_geometry"),
    "NaN spacing": ({"pixdim": (1, np.nan, 1), "codes": (0, 0)}, "bad_geometry"),
    "NaN axes": ({"sform": (-1, np.nan, 2.5)}, "bad_geometry"),
    "NaN origin": ({"origins": ((0, 0, 0), (0, np.nan, 0))}, "bad_geometry"),
    "infinite origin": ({"origins": ((0, 0, 0), (0, 0, np.inf))}, "bad_geometry"),
    "an axis without length": ({"sform": (-1, 0, 2.5)}, "bad_geometry"),
    "a quaternion too long": ({"codes": (1, 0), "quaternion": (1, 1, 1)}, "bad_geometry"),
    "a NaN quaternion": ({"codes": (1, 0), "quaternion": (np.nan, 0, 0)}, "bad_geometry"),
    "32767 slices": ({"edit": {40: struct.pack("<4h", 3, SIDE, SIDE, 32767)}}, "too_large"),
    "5000 columns": ({"edit": {40: struct.pack("<4h", 3, 5000, SIDE, DEPTH)}}, "too_large"),
    "4096 x 4096 x 4096": ({"edit": {40: struct.pack("<4h", 3, 4096, 4096, 4096)}}, "too_large"),
    "no columns": ({"edit": {40: struct.pack("<4h", 3, 0, SIDE, DEPTH)}}, "unreadable_file"),
    "negative columns": ({"edit": {40: struct.pack("<4h", 3, -5, SIDE, DEPTH)}}, "unreadable_file"),
    "Analyze": ({"edit": {344: b"\0\0\0\0"}}, "unsupported_format"),
    "NIfTI-2": ({"edit": {0: struct.pack("<i", 540)}}, "unsupported_format"),
    "voxels within the header": ({"edit": {108: struct.pack("<f", 0)}}, "unreadable_file"),
    "voxels nowhere": ({"edit": {108: struct.pack("<f", np.nan)}}, "unreadable_file"),
    "voxels far away": ({"edit": {108: struct.pack("<f", 1e12)}}, "unreadable_file"),
}


@pytest.mark.parametrize("name", BENT)
def test_headers_of_nifti_beyond_reason(tmp_path, name):
    arguments, reason = BENT[name]
    refused = refusal(write_nifti(tmp_path / "v.nii.gz", HU, **arguments))
    assert refused.reason == reason, refused


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("Offset = 0 nan 0\n", "bad_geometry"),
        ("Offset = 1 2\n", "bad_geometry"),
        ("DistanceUnits = um\n", "other_units"),
        ("ElementToIntensityFunctionSlope = 1\nElementToIntensityFunctionOffset = -1024\n", "bad_rescale"),
        ("Rotation = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nPosition = 0.0 0.0 0.0\n", None),
        ("CompressedData = True\nCompressedDataSize = 99999999999999\n", "wrong_length"),
        ("HeaderSize = many\n", "unreadable_file"),
    ],
)
def test_headers_of_meta_images_beyond_reason(tmp_path, more, reason):
    path = write_meta(tmp_path / "v.mha", "LOCAL", more, content=RAW)
    if reason is None:
        read_series(path)
    else:
        assert refusal(path).reason == reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ElementSpacing = 1 1 2.5", "ElementSpacing = 1 2.5", "bad_geometry"),
        ("ElementSpacing = 1 1 2.5", "ElementSpacing = 1 1 2.5 1", "bad_geometry"),
        ("= 1 0 0 0 1 0 0 0 1", "= 1 0 0 1", "bad_geometry"),
        ("= 1 0 0 0 1 0 0 0 1", "= 1 0 0 0 1 0 0 0 2.5", "contradicting_header"),
        ("spacings: 1 1 2.5", "spacings: 1 2.5", "bad_geometry"),
        ("spacings: 1 1 2.5", "spacings: 1 1 2.5\nspace dimension: 3\nspace origin: (1,2)", "bad_geometry"),
    ],
)
def test_as_many_numbers_as_axes(tmp_path, old, new, reason):
    if "spacings" in old:
        path = write_nrrd(tmp_path / "v.nrrd", None, "spacings: 1 1 2.5\n", content=RAW, place=False)
    else:
        path = write_meta(tmp_path / "v.mha", "LOCAL", content=RAW)
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))
    assert refusal(path).reason == reason


@pytest.mark.parametrize("step", [100.0, 1e6, 0.02])
def test_slices_of_dicom_keep_to_the_same_limits(tmp_path, step):
    refused = refusal(write_series(tmp_path / "series", HU, step=(0, 0, step)))
    assert refused.reason == "bad_geometry" and "expected 0.1 to 50 mm" in refused.detail


@pytest.mark.parametrize("unit", ["um", "cm", "m", "μm"])
def test_units_of_nrrd(tmp_path, unit):
    step = {"cm": 0.1, "m": 0.001}.get(unit, 1000)
    path = write_nrrd(
        tmp_path / "v.nrrd", None, f'space units: "{unit}" "{unit}" "{unit}"\n', step, content=RAW
    )
    refused = refusal(path)
    assert refused.reason == "other_units" and "expected mm" in refused.detail


@pytest.mark.parametrize("unit", ["mm", "millimeter", "Millimetre"])
def test_spellings_of_mm(tmp_path, unit):
    more = f'space units: "{unit}" "{unit}" "{unit}"\n'
    path = write_nrrd(tmp_path / "v.nrrd", None, more, content=RAW)
    assert read_series(path)[0].spacing_mm == pytest.approx((2.5, 1, 1))


@pytest.mark.parametrize("make", [write_meta, write_nrrd])
@pytest.mark.parametrize(
    "name", ["/etc/v.raw", "../v.raw", "in/../../v.raw", "C:\\data\\v.raw", "..\\v.raw", "v.pipe"]
)
def test_headers_that_name_voxels_elsewhere(tmp_path, make, name):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "v.raw").write_bytes(RAW)
    os.mkfifo(folder / "v.pipe")  # reading it would wait for ever
    refused = refusal(make(folder / ("v.mhd" if make is write_meta else "v.nhdr"), name))
    assert refused.reason == "outside_file", refused


@property_test(60)
@given(
    start=st.integers(0, 351),
    content=st.binary(min_size=1, max_size=8),
    kind=st.sampled_from(["nii", "mha", "nrrd"]),
)
def test_a_damaged_header_is_refused_or_says_what_it_said(tmp_path_factory, start, content, kind):
    """Never an exception, never other voxels under a name that is accepted."""
    path = tmp_path_factory.mktemp("bent") / f"v.{kind}"
    {
        "nii": lambda: write_nifti(path, HU, packed=False),
        "mha": lambda: write_meta(path, "LOCAL", content=RAW),
        "nrrd": lambda: write_nrrd(path, None, content=RAW),
    }[kind]()
    whole = bytearray(path.read_bytes())
    start = start % (len(whole) - len(RAW))
    stop = min(start + len(content), len(whole) - len(RAW))
    whole[start:stop] = content[: stop - start]
    path.write_bytes(whole)
    try:
        scan, _ = read_series(path)
    except RefusedScan as refused:
        assert refused.reason != "unexpected_error"
    else:
        assert scan.hu.size == HU.size
