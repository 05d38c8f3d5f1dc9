"""The real LIDC-IDRI series converts to the voxels of an independent reading."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.uid import RLELossless

from chestct.volumes.__main__ import main
from chestct.volumes.convert_scan import read_series
from chestct.volumes.fast_header import parse_header
from chestct.volumes.slice_header import read_header
from tests.unit.volumes.dicom_files import assert_equals_reference, compress_with_gdcm


@pytest.fixture(scope="module")
def native(real_series):
    return read_series(real_series)


def test_voxels_and_geometry_equal_an_independent_reading(real_series, native):
    scan, report = native
    assert scan.hu.shape == (133, 512, 512)
    assert scan.spacing_mm == pytest.approx((2.5, 0.703125, 0.703125), abs=1e-6)
    np.testing.assert_allclose(np.diff(scan.z_mm), 2.5)
    assert len(set(scan.sop_uids)) == 133
    assert (report.num_files, report.num_slices, report.repairs) == (133, 133, [])
    assert report.patient_id == "LIDC-IDRI-0001"
    # Names of files may hold names of people: their number is noted alone.
    assert report.notes == ["1 other file(s) beside the series"]
    assert_equals_reference(real_series, scan)


def test_the_fast_parser_reads_every_real_header(real_series):
    """As pydicom does, field by field, and none is left to pydicom."""
    paths = sorted(real_series.glob("*.dcm"))
    for path in paths:
        assert parse_header(memoryview(path.read_bytes()), path) == read_header(path)
    assert len(paths) == 133


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_real_headers_are_read_alike_or_left_to_pydicom(real_series, tmp_path):
    content = sorted(real_series.glob("*.dcm"))[0].read_bytes()
    content = content[: content.rindex(b"\xe0\x7f\x10\x00OW") + 8] + (64).to_bytes(4, "little") + bytes(64)
    rng = np.random.default_rng(0)
    path = tmp_path / "a.dcm"
    num_taken = 0
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(128, len(content), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        header = parse_header(memoryview(damaged), path)
        if header is not None:
            assert header == read_header(path)
            num_taken += 1
    assert num_taken > 50


@pytest.mark.parametrize("compressor", ["RLE", "JPEG", "JPEG2000"])
def test_real_slices_compressed_without_loss_give_the_same_voxels(real_series, native, tmp_path, compressor):
    scan, _ = native
    kept = set(scan.sop_uids[60:63])
    for path in real_series.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        if dataset.SOPInstanceUID not in kept:
            continue
        if compressor == "RLE":
            dataset.compress(RLELossless, generate_instance_uid=False)
        else:
            compress_with_gdcm(dataset, compressor, tmp_path)
        (tmp_path / "series").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "series" / path.name)
    compressed_scan, report = read_series(tmp_path / "series")
    np.testing.assert_array_equal(compressed_scan.hu, scan.hu[60:63])
    assert report.repairs == report.notes == []


def test_patient_lies_as_expected(native):
    """Air around, lungs in the upper slices, the table behind the back, no flip of z."""
    scan, _ = native
    middle = scan.hu[60]
    assert (middle[:20, :20] == -1024).all()
    lung = ((scan.hu > -950) & (scan.hu < -700)).mean((1, 2))
    assert lung[70:110].mean() > 2 * lung[:20].mean()


def test_halved_slices_are_exact_averages(real_series, native):
    scan, _ = read_series(real_series, size_px=256)
    exact = native[0].hu.reshape(133, 256, 2, 256, 2).mean((2, 4))
    assert scan.hu.shape == (133, 256, 256)
    assert np.abs(scan.hu - exact).max() <= 0.5
    assert scan.spacing_mm == pytest.approx((2.5, 1.40625, 1.40625))
    np.testing.assert_array_equal(scan.z_mm, native[0].z_mm)


def test_command_line_end_to_end(real_series, native, tmp_path: Path, capsys):
    out = tmp_path / "lidc.nii.gz"
    assert main(["convert", str(real_series), str(out), "--size", "256"]) == 0
    row = pd.read_csv(io.StringIO(capsys.readouterr().out)).iloc[0]
    assert (row["status"], row["patient_id"], row["num_slices"]) == ("accepted", "LIDC-IDRI-0001", 133)
    image = sitk.ReadImage(str(out))
    assert image.GetSize() == (256, 256, 133)
    assert image.GetSpacing() == pytest.approx((1.40625, 1.40625, 2.5))
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel())
    scan, _ = native
    # The centre of the first averaged pixel lies between the first four.
    assert image.GetOrigin() == pytest.approx(
        (scan.origin_mm[0] + 0.703125 / 2, scan.origin_mm[1] + 0.703125 / 2, scan.origin_mm[2]), abs=1e-3
    )
    exact = scan.hu[40].reshape(256, 2, 256, 2).mean((1, 3))
    assert np.abs(sitk.GetArrayViewFromImage(image)[40] - exact).max() <= 0.5


def test_real_nodule_cubes_convert(real_nodules):
    for path in sorted((real_nodules / "volumes").glob("*.nii.gz"))[:5]:
        scan, _ = read_series(path)
        assert scan.hu.shape == (51, 51, 51)
        assert scan.spacing_mm == (1.0, 1.0, 1.0)
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        np.testing.assert_array_equal(scan.hu, np.maximum(voxels, -1024))
