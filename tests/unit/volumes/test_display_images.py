"""Display images: grey values from 0 to 255 that are no HU, of any number of slices, filled with black."""

import h5py
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import phantom, write_series
from hypothesis import given
from hypothesis import strategies as st
from shard_jobs import obtained_table, outputs, series_table

from chestct.intensity import AIR_HU, DISPLAY, HU
from chestct.tables import read_table
from chestct.volume_store import WindowReader, read_volume
from chestct.volumes.acquisition import Acquisition
from chestct.volumes.convert_scan import convert_one, read_series
from chestct.volumes.convert_shard import convert_shard
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample_z import resample_slices
from chestct.volumes.scan import Scan


def stack(depth, side=(16, 16), high=255, dtype=np.uint8):
    array = np.random.default_rng(depth).integers(0, high + 1, (depth, *side)).astype(dtype)
    array[0, 0, :2] = 0, high
    return array


def save(path, array, **keys):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.6, 0.6, 2.5))
    for key, value in keys.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("depth", [1, 2, 56])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_values_and_slices_are_taken_as_they_are(tmp_path, depth, suffix):
    array = stack(depth)
    scan, _ = read_series(save(tmp_path / f"v{suffix}", array), size_px=16, intensity=DISPLAY)
    np.testing.assert_array_equal(scan.hu, array)
    assert (scan.hu.dtype, scan.intensity) == (np.int16, DISPLAY)
    assert scan.spacing_mm == pytest.approx((2.5, 0.6, 0.6))
    assert (scan.acquisition.num_slices, scan.acquisition.slice_thickness_mm) == (depth, None)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_header_may_name_thickness_and_slices(tmp_path, suffix):
    keys = {"slice_thickness_mm": "3.0", "slice_names": "a b"}
    scan, _ = read_series(save(tmp_path / f"v{suffix}", stack(2), **keys), intensity=DISPLAY)
    assert scan.acquisition.slice_thickness_mm == 3.0
    assert scan.sop_uids == ("a", "b")
    for keys in ({"slice_thickness_mm": "thick", "slice_names": "a"}, {"slice_thickness_mm": "-1"}):
        scan, _ = read_series(save(tmp_path / f"v{suffix}", stack(2), **keys), intensity=DISPLAY)
        assert scan.acquisition.slice_thickness_mm is None
        assert scan.sop_uids == (None, None)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (stack(3, high=256, dtype=np.int16), "not_display"),
        (stack(3, dtype=np.int16) - np.int16(1), "not_display"),
        (np.full((3, 4, 4), np.nan, np.float32), "not_finite"),
    ],
)
def test_other_values_are_refused(tmp_path, array, reason):
    with pytest.raises(RefusedScan, match=f"^{reason}"):
        read_series(save(tmp_path / "v.mha", array), intensity=DISPLAY)


def test_dicom_is_no_display_image(tmp_path, hu):
    with pytest.raises(RefusedScan, match=r"not_display: .*holds DICOM"):
        read_series(write_series(tmp_path / "series", hu), intensity=DISPLAY)


def test_without_saying_so_a_display_image_is_checked_as_hu(tmp_path):
    with pytest.raises(RefusedScan, match="too_few_slices"):
        read_series(save(tmp_path / "v.mha", stack(1)))
    with pytest.raises(RefusedScan, match="not_hounsfield"):
        read_series(save(tmp_path / "w.mha", stack(3, high=1)))


def test_what_is_not_square_is_padded_with_black(tmp_path):
    array = np.full((2, 8, 12), 200, np.uint8)
    scan, _ = read_series(save(tmp_path / "v.mha", array), size_px=12, intensity=DISPLAY)
    assert (scan.hu[:, :2] == 0).all() and (scan.hu[:, 10:] == 0).all()
    assert (scan.hu[:, 2:10] == 200).all()


def scan_of(profile, spacing_mm=2.0):
    values = np.asarray(profile, dtype=np.int16)
    return Scan(
        hu=np.broadcast_to(values[:, None, None], (len(values), 2, 2)).copy(),
        spacing_mm=(spacing_mm, 0.7, 0.7),
        origin_mm=(1.0, 2.0, 10.0),
        z_mm=10.0 + spacing_mm * np.arange(len(values)),
        sop_uids=tuple(f"s{number}" for number in range(len(values))),
        acquisition=Acquisition(spacing_z_mm=spacing_mm, pixel_mm=0.7, num_slices=len(values)),
        intensity=DISPLAY,
    )


def test_one_slice_is_repeated():
    found = resample_slices(scan_of([7]), 8)
    assert found.hu[:, 0, 0].tolist() == [7] * 8
    assert found.spacing_mm[0] == 0.25
    # The same 2 mm, from 9 to 11.
    assert (found.z_mm[0], found.z_mm[-1]) == (9.125, 10.875)
    assert found.sop_uids == ("s0",) * 8
    assert found.acquisition.num_slices == 1


def test_fewer_slices_are_interpolated_and_more_are_averaged():
    found = resample_slices(scan_of([0, 100, 200, 300]), 8)
    assert found.hu[:, 0, 0].tolist() == [0, 25, 75, 125, 175, 225, 275, 300]
    found = resample_slices(scan_of([0, 100, 200, 300]), 2)
    assert found.hu[:, 0, 0].tolist() == [50, 250]
    assert found.spacing_mm[0] == 4.0
    scan = scan_of(range(8))
    assert resample_slices(scan, 8) is scan


@given(st.integers(1, 56), st.integers(2, 40))
def test_the_whole_extent_is_covered_and_every_slice_is_marked(depth, number):
    found = resample_slices(scan_of([100] * depth), number)
    assert found.hu.shape == (number, 2, 2)
    assert (found.hu == 100).all()
    assert found.spacing_mm[0] * number == pytest.approx(2.0 * depth)
    assert found.z_mm.mean() == pytest.approx(10 + depth - 1)
    assert np.allclose(np.diff(found.z_mm), found.spacing_mm[0])
    assert set(found.sop_uids) | set(found.copies) == {f"s{k}" for k in range(depth)}


def converted(root, folder, names, intensity, **settings):
    series = series_table(*names)
    out = outputs(folder)
    convert_shard(
        series,
        obtained=obtained_table(series),
        root=root,
        dataset="d",
        size_px=16,
        code_digest="c",
        intensity=intensity,
        **settings,
        **out,
    )
    return out


def test_a_shard_says_what_its_values_are_and_windows_end_in_black(tmp_path):
    for depth in (1, 5):
        save(tmp_path / f"{depth}.nrrd", stack(depth), slice_thickness_mm="3")
    out = converted(tmp_path, tmp_path / "out", ["1.nrrd", "5.nrrd"], DISPLAY)
    store = str(out["store_path"])
    assert read_volume(store, "s-5.nrrd").intensity == DISPLAY
    window = WindowReader().read(store, "s-5.nrrd", 2, 8)
    np.testing.assert_array_equal(window[:3], stack(5)[2:])
    assert (window[3:] == 0).all()
    ledger = read_table(out["ledger_path"], "ledger")
    assert ledger["detail"].tolist() == ["display values, not HU"] * 2
    assert ledger["num_slices"].tolist() == [1, 5]


def test_acquisition_keeps_what_resampling_changes(tmp_path):
    save(tmp_path / "v.nrrd", stack(5), slice_thickness_mm="3")
    out = converted(tmp_path, tmp_path / "out", ["v.nrrd"], DISPLAY, num_slices=8)
    (row,) = read_table(out["acquisition_path"], "acquisition").to_dict("records")
    assert (row["num_slices"], row["spacing_z_mm"], row["slice_thickness_mm"]) == (5, 2.5, 3)
    assert row["pixel_mm"] == pytest.approx(0.6)
    (row,) = read_table(out["index_path"], "index").to_dict("records")
    assert (row["num_slices"], row["spacing_z_mm"]) == (8, pytest.approx(2.5 * 5 / 8))
    detail = read_table(out["ledger_path"], "ledger")["detail"][0]
    assert detail == "display values, not HU; along z from 2.5 to 1.5625 mm: 8 slices"


def test_shards_of_hu_stay_as_they_were(tmp_path):
    write_series(tmp_path / "good", phantom((6, 16, 16), seed=1))
    out = converted(tmp_path, tmp_path / "out", ["good"], HU)
    with h5py.File(out["store_path"]) as file:
        names = {"spacing_mm", "z_mm", "crc32", "patient_id", "series_id", "sha256"}
        assert set(file["s-good"].attrs) == names
    window = WindowReader().read(str(out["store_path"]), "s-good", 4, 8)
    assert (window[2:] == AIR_HU).all()
    assert convert_one(tmp_path / "good", dataset="d", size_px=16)[0]["detail"] is None
