"""Regular series of every kind give their own voxels, and SimpleITK's; tilted ones are refused."""

import numpy as np
import pytest
from dicom_files import DIRECTIONS, assert_equals_reference, make_slice, property_test
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from chestct.volumes.convert_scan import read_series
from chestct.volumes.refusals import RefusedScan

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
]


def as_scanned(plane, row, column):
    """A plane (y, x) as a scanner stores it whose columns and rows run along these axes."""
    stored = plane if row[0] else plane.T
    return stored[:: sum(column), :: sum(row)]


def first_pixel(shape, spacing_yx, row, column):
    """Where the first stored pixel of such a plane lies, (x, y) mm, if the volume starts at 0."""
    backwards = np.add(row, column) < 0  # along x, along y
    return [(shape[1] - 1) * spacing_yx[1] * backwards[0], (shape[0] - 1) * spacing_yx[0] * backwards[1]]


@st.composite
def series_of_any_kind(draw):
    """HU (z, y, x) and the DICOM files of it, by name."""
    shape = draw(st.tuples(st.integers(2, 6), st.integers(4, 7), st.integers(4, 7)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    slopes = draw(st.lists(st.sampled_from([1, 1, 2, 3]), min_size=shape[0], max_size=shape[0]))
    signed = draw(st.booleans())
    intercept = draw(st.sampled_from([0, -1, -24, -1000] if signed else [-1024, -1000, -2000]))
    bits = draw(st.sampled_from([12, 16]))
    low, high = (-1000, 1000) if signed else (0, 4000)
    stored = rng.integers(low, high, shape)
    stored[:, :2, :2] = low  # air, which no chest is without
    hu = np.maximum(stored * np.array(slopes)[:, None, None] + intercept, -1024)
    row, column = draw(st.sampled_from(DIRECTIONS))
    spacing_yx = draw(st.tuples(*[st.sampled_from([0.5, 0.703125, 0.9])] * 2))
    step, start = draw(st.sampled_from([0.625, 1, 2.5, 5])), draw(st.sampled_from([-310.5, 0, 77.7]))
    syntax = draw(st.sampled_from(SYNTAXES))
    names = draw(st.permutations(range(shape[0])))
    instances = draw(st.permutations(range(shape[0])))
    files = {}
    for i, name in enumerate(names):
        plane = as_scanned(stored[i], row, column).astype(np.int16 if signed else np.uint16)
        dataset = make_slice(
            plane,
            position=(*first_pixel(shape[1:], spacing_yx, row, column), start + step * i),
            orientation=(*row, *column),
            spacing=spacing_yx if row[0] else spacing_yx[::-1],
            slope=slopes[i],
            intercept=intercept,
            instance=instances[i],
            syntax=syntax,
        )
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        files[f"{name}.dcm"] = dataset
    return hu, files, (step, *spacing_yx)


def save(files, folder):
    folder.mkdir()
    for name, dataset in files.items():
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder


@property_test(60)
@given(case=series_of_any_kind())
def test_a_regular_series_gives_its_voxels(tmp_path_factory, case):
    """Permuted files, every direction of rows and columns, both signs of the step, slopes a slice, bits."""
    hu, files, spacing_mm = case
    folder = save(files, tmp_path_factory.mktemp("case") / "s")
    scan, report = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.spacing_mm == pytest.approx(spacing_mm)
    assert scan.origin_mm[:2] == pytest.approx((0, 0), abs=1e-4)
    assert report.repairs == report.notes == []
    if files["0.dcm"].file_meta.TransferSyntaxUID != RLELossless:  # which GDCM reads from 80 pixels on
        assert_equals_reference(folder, scan)
    if hu.shape[1] == hu.shape[2] and hu.shape[1] % 2 == 0:
        half = hu.shape[1] // 2
        exact = hu.reshape(len(hu), half, 2, half, 2).mean((2, 4))
        assert np.abs(read_series(folder, size_px=half)[0].hu - exact).max() <= 0.5


@property_test(40)
@given(
    degrees=st.floats(0, 20),
    tilted_step=st.booleans(),
    sign=st.sampled_from([1, -1]),
    num_slices=st.integers(3, 8),
)
def test_tilted_stacks_are_refused_and_nearly_straight_ones_are_not_touched(
    tmp_path_factory, degrees, tilted_step, sign, num_slices
):
    """Oblique stacks and gantry tilt: within the tolerance the voxels as they are, beyond it no volume."""
    angle = np.radians(degrees) * sign
    normal = np.array([0, -np.sin(angle), np.cos(angle)])
    step = 2.0 * (normal if tilted_step else np.array([0, 0, 1]))
    hu = np.random.default_rng(num_slices).integers(-1024, 1500, (num_slices, 6, 6)).astype(np.int16)
    files = {
        f"{i}.dcm": make_slice(
            plane, position=i * step, orientation=(1, 0, 0, 0, np.cos(angle), np.sin(angle)), instance=i
        )
        for i, plane in enumerate(hu)
    }
    folder = save(files, tmp_path_factory.mktemp("case") / "s")
    shift = 0 if tilted_step else 2.0 * (num_slices - 1) * abs(np.sin(angle))
    try:
        scan, _ = read_series(folder)
    except RefusedScan as refused:
        assert degrees > 0.99 or shift > 0.99
        assert refused.reason in ("not_axial", "gantry_tilt")
    else:
        assert degrees < 1.01 and shift < 1.01
        np.testing.assert_array_equal(scan.hu, hu)
        assert (np.diff(scan.z_mm) > 0).all()
