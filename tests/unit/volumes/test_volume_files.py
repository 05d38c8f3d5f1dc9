"""Volume files keep to the same axes and rules as DICOM."""

import os
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import phantom, refusal

from chestct.errors import InputError
from chestct.volumes.convert_scan import read_series
from chestct.volumes.volume_file import write_volume_file


def save(path, array, *, spacing=(0.7, 0.8, 2.0), origin=(-5.0, 6.0, -70.0), direction=None, vector=False):
    image = sitk.GetImageFromArray(array, isVector=vector)
    if array.ndim == 3 or vector:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        if direction is not None:
            image.SetDirection(np.asarray(direction, dtype=float).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_formats(tmp_path, hu, suffix):
    scan, report = read_series(save(tmp_path / f"v{suffix}", hu))
    np.testing.assert_array_equal(scan.hu, hu)
    np.testing.assert_allclose(scan.spacing_mm, (2.0, 0.8, 0.7), rtol=1e-6)
    np.testing.assert_allclose(scan.origin_mm, (-5, 6, -70), rtol=1e-6)
    np.testing.assert_allclose(scan.z_mm, -70 + 2.0 * np.arange(6))
    assert scan.sop_uids == (None,) * 6
    assert (report.num_files, report.num_slices) == (1, 6)


@pytest.mark.parametrize(
    ("turn", "geometry"),
    [
        # Stored from head to feet and from left to right.
        (
            lambda hu: hu[::-1, :, ::-1],
            {"direction": np.diag([-1, 1, -1]), "origin": (-5.0 + 15 * 0.7, 6.0, -70.0 + 5 * 2.0)},
        ),
        # A sagittal stack: the first index runs from front to back, the last along x.
        (
            lambda hu: hu.transpose(2, 0, 1),
            {"direction": [[0, 0, 1], [1, 0, 0], [0, 1, 0]], "spacing": (0.8, 2.0, 0.7)},
        ),
        # Left-handed: from left to right alone.
        (
            lambda hu: hu[:, :, ::-1],
            {"direction": np.diag([-1, 1, 1]), "origin": (-5.0 + 15 * 0.7, 6.0, -70.0)},
        ),
    ],
    ids=["flipped", "permuted", "mirrored"],
)
@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_axes_are_turned_to_the_patient(tmp_path, hu, turn, geometry, suffix):
    scan, _ = read_series(save(tmp_path / f"v{suffix}", np.ascontiguousarray(turn(hu)), **geometry))
    np.testing.assert_array_equal(scan.hu, hu)
    np.testing.assert_allclose(scan.origin_mm, (-5, 6, -70), atol=1e-5)
    assert scan.spacing_mm == pytest.approx((2.0, 0.8, 0.7))


def test_values_are_clipped_at_air_and_fractions_rounded(tmp_path):
    array = np.array([[[-3000.0, -0.6], [99.6, 40.2]]] * 2, dtype=np.float32)
    scan, _ = read_series(save(tmp_path / "v.mha", array))
    np.testing.assert_array_equal(scan.hu[0], [[-1024, -1], [100, 40]])


def test_resampling_keeps_the_field_of_view(tmp_path, hu):
    square = np.ascontiguousarray(hu[:, :, :12])
    scan, _ = read_series(save(tmp_path / "v.nrrd", square), size_px=6)
    exact = square.reshape(6, 6, 2, 6, 2).mean((2, 4))
    assert np.abs(scan.hu - exact).max() <= 0.5
    assert scan.spacing_mm == pytest.approx((2.0, 1.6, 1.4))
    assert scan.origin_mm == pytest.approx((-5 + 0.35, 6 + 0.4, -70))


@pytest.mark.parametrize(
    ("name", "array", "vector", "reason"),
    [
        ("v.nii.gz", phantom((2, 3, 4, 5)), False, "not_3d"),
        ("v.nrrd", phantom((4, 5)), False, "not_3d"),
        ("v.mha", phantom((3, 4, 5, 2)), True, "not_scalar"),
        ("v.mha", phantom((1, 4, 5)), False, "too_few_slices"),
        ("v.mha", np.where(phantom((3, 4, 5)) > 0, np.nan, 0.0).astype(np.float32), False, "not_finite"),
        ("v.mha", np.random.default_rng(0).random((3, 4, 5)), False, "not_hounsfield"),
        ("v.mha", np.full((3, 4, 5), 60000, dtype=np.uint16), False, "not_hounsfield"),
    ],
)
def test_unfit_volumes_are_refused(tmp_path, name, array, vector, reason):
    assert refusal(save(tmp_path / name, array, vector=vector)).reason == reason


def test_oblique_volume_is_refused(tmp_path, hu):
    c, s = np.cos(0.2), np.sin(0.2)
    path = save(tmp_path / "v.nrrd", hu, direction=[[1, 0, 0], [0, c, -s], [0, s, c]])
    refused = refusal(path)
    assert refused.reason == "not_axial" and "11.5 degrees" in refused.detail


@pytest.mark.parametrize("name", ["broken.nii.gz", "broken.nii", "broken.nrrd", "broken.mha"])
def test_file_that_does_not_open_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"not a volume")
    refused = refusal(path)
    assert refused.reason == "unreadable_file" and "damaged" in refused.detail


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_truncated_volume_is_refused(tmp_path, suffix, compressed):
    """ITK itself fills the missing end of NIfTI files with zeros."""
    path = tmp_path / f"v{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(phantom((8, 32, 32))), str(path), useCompression=compressed)
    path.write_bytes(path.read_bytes()[:-4000])
    refused = refusal(path)
    assert refused.reason in ("unreadable_file", "wrong_length") and "copy" in refused.detail


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_volume_with_wrong_checksum_is_refused(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(phantom((8, 32, 32))), str(path), useCompression=True)
    (data,) = [path] if suffix != ".mhd" else tmp_path.glob("*.zraw")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0x55
    data.write_bytes(content)
    assert refusal(path).reason in ("unreadable_file", "wrong_length")


def test_twins_are_not_mixed_up(tmp_path, hu):
    """ITK itself reads v.nii where v.nii.gz is asked for and both exist."""
    save(tmp_path / "v.nii", hu)
    save(tmp_path / "v.nii.gz", phantom(seed=1))
    np.testing.assert_array_equal(read_series(tmp_path / "v.nii")[0].hu, hu)
    np.testing.assert_array_equal(read_series(tmp_path / "v.nii.gz")[0].hu, phantom(seed=1))


def test_scaled_nifti(tmp_path, hu):
    """Stored bytes are counted by the header's own type, not by the type after scaling."""
    path = save(tmp_path / "v.nii", hu)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", 2.0, -5.0)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_series(path)[0].hu, np.maximum(2 * hu.astype(int) - 5, -1024))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "slice.png"
    path.write_bytes(b"png")
    assert refusal(path).reason == "unsupported_format"


def test_written_volume_reads_back(tmp_path, hu):
    path = tmp_path / "deep" / "v.nii.gz"
    write_volume_file(path, hu, (2.5, 0.75, 0.5), (-10.0, 20.0, -300.0))
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    assert image.GetSpacing() == pytest.approx((0.5, 0.75, 2.5))
    assert image.GetOrigin() == pytest.approx((-10, 20, -300))
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel())
    scan, _ = read_series(path)
    np.testing.assert_array_equal(scan.hu, hu)


def test_failed_writing_leaves_nothing(tmp_path, hu, monkeypatch):
    def fail(*arguments, **keywords):
        raise RuntimeError("disk full")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(InputError, match="cannot be written"):
        write_volume_file(tmp_path / "v.nii.gz", hu, (1, 1, 1), (0, 0, 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_file_that_the_disk_cuts_is_no_file(tmp_path, suffix):
    """ITK writes the beginning of a NIfTI file, prints a line and goes on: limits of a file's size do as a
    full disk does."""
    hu = np.random.default_rng(0).integers(-1024, 2000, (40, 40, 40)).astype(np.int16)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, before[1]))
    try:
        with pytest.raises(InputError, match="room on the disk"):
            write_volume_file(tmp_path / f"v{suffix}", hu, (1, 1, 1), (0, 0, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_names_that_are_no_utf_8_are_written_and_read(tmp_path, hu, suffix):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller" + suffix.encode()))
    write_volume_file(path, hu, (2.5, 0.75, 0.5), (-10.0, 20.0, -300.0))
    np.testing.assert_array_equal(read_series(path)[0].hu, hu)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("first", [".nii", ".nii.gz", ".mha"])
def test_a_suffix_that_stands_twice_is_another_name(tmp_path, hu, first, suffix):
    """Of scans a.nii and a.nii.gz of one folder: ITK drops one of the suffixes, and opens another file."""
    write_volume_file(tmp_path / f"v{suffix}", hu[:3], (2.5, 0.75, 0.5), (-10.0, 20.0, -300.0))
    path = tmp_path / f"v{first}{suffix}"
    write_volume_file(path, hu, (2.5, 0.75, 0.5), (-10.0, 20.0, -300.0))
    np.testing.assert_array_equal(read_series(path)[0].hu, hu)
    assert {path.name for path in tmp_path.iterdir()} == {f"v{suffix}", f"v{first}{suffix}"}


def test_voxels_beside_a_header_whose_name_is_no_utf_8_are_refused(tmp_path, hu):
    write_volume_file(tmp_path / "v.mha", hu, (2.5, 0.75, 0.5), (-10.0, 20.0, -300.0))
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.mhd"))
    (tmp_path / "v.mha").rename(path)
    assert "not UTF-8" in refusal(path).detail
