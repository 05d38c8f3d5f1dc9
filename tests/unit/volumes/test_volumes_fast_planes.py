"""The fast way from a file's bytes to a volume gives what the general way gives, bit by bit."""

import numpy as np
import pydicom
import pytest
from dicom_files import DIRECTIONS, make_slice, phantom, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless

from chestct.volumes import one_pass
from chestct.volumes.convert_scan import read_series
from chestct.volumes.fast_header import parse_header
from chestct.volumes.fast_plane import convert_plane, is_usual
from chestct.volumes.pixels import read_hu
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample import resample_plane


def parsed(path, stored, intercept=0, bits=16, **keywords):
    """Header and bytes of a slice that is written with these values and attributes."""
    dataset = make_slice(stored, position=(0, 0, 0), intercept=intercept)
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    for keyword, value in keywords.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    content = memoryview(path.read_bytes())
    return parse_header(content, path), content


def slices_of_the_usual_kind():
    """Stored values, intercept, bits stored."""
    rng = np.random.default_rng(7)
    for side in (2, 6, 10, 34, 66):
        shape = (side, side)
        yield rng.integers(0, 4096, shape).astype(np.uint16), -1024, 12
        yield rng.integers(0, 4096, shape).astype(np.uint16), -1000, 16
        yield rng.integers(-3024, 3072, shape).astype(np.int16), 0, 16
        yield rng.integers(-2048, 2048, shape).astype(np.int16), -1, 12
        yield rng.integers(-2000, 32768, shape).astype(np.int16), -1024, 16
        yield rng.integers(0, 40000, shape).astype(np.uint16), -8192, 16
        yield rng.integers(7000, 9000, shape).astype(np.uint16), -8192, 16
        yield rng.integers(0, 3000, shape).astype(np.int16), 20000, 16


@pytest.mark.parametrize("factor", [1, 2])
def test_planes_equal_those_of_the_general_way(tmp_path, factor):
    scratch, num = {}, 0
    for stored, intercept, bits in slices_of_the_usual_kind():
        header, content = parsed(tmp_path / "a.dcm", stored, intercept, bits)
        side = stored.shape[0] // factor
        out = np.full((3, side, side), 77, dtype=np.int16)
        assert is_usual(header, side)
        assert convert_plane(header, content, out[1], scratch)
        np.testing.assert_array_equal(out[1], resample_plane(read_hu(header), side))
        assert (out[::2] == 77).all()
        num += 1
    assert num == 40


@pytest.mark.parametrize(
    ("stored", "intercept", "bits"),
    [
        (np.full((8, 8), 40000, dtype=np.uint16), 0, 16),  # beyond int16
        (np.full((8, 8), 0xF123, dtype=np.uint16), 0, 12),  # unused bits in use
        (np.full((8, 8), 100, dtype=np.uint16), -20000, 16),  # far below air
    ],
)
def test_unusual_values_are_left_to_the_general_way(tmp_path, stored, intercept, bits):
    header, content = parsed(tmp_path / "a.dcm", stored, intercept, bits)
    assert not convert_plane(header, content, np.empty((4, 4), dtype=np.int16), {})


def test_other_slices_are_unusual(tmp_path):
    def header(shape=(8, 8), **keywords):
        return parsed(tmp_path / "a.dcm", np.zeros(shape, dtype=np.int16), **keywords)[0]

    assert is_usual(header(), None) and is_usual(header(), 8) and is_usual(header(), 4)
    assert is_usual(header(PixelPaddingValue=-2000), 4)
    assert not is_usual(header(), 3) and not is_usual(header(), 2) and not is_usual(header((7, 7)), 3)
    assert not is_usual(header((8, 6)), None)
    assert not is_usual(header(RescaleSlope="0.5"), 4) and not is_usual(header(RescaleIntercept="0.5"), 4)
    assert not is_usual(header(PixelPaddingValue=100), 4)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.permutations(range(n)))), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_slices_move_to_their_places_in_memory(case, data):
    num, order = case
    kept = order[: data.draw(st.integers(0, num))]
    planes = np.arange(num)[:, None, None] * np.ones((1, 2, 2), dtype=int)
    one_pass._permute(planes, kept)
    np.testing.assert_array_equal(planes[: len(kept), 0, 0], kept)


def awkward_folder(folder):
    """Usual slices, others among them (a slope, run lengths, a copy), and another series."""

    def edit(i, dataset):
        dataset.InstanceNumber = 17 * i % 8
        if i == 2:
            dataset.RescaleSlope = "2"
        if i == 5:
            dataset.compress(RLELossless)

    hu = phantom((8, 16, 16))
    write_series(folder, hu, edit=edit, order=[3, 0, 5, 7, 1, 4, 2, 6])
    write_series(folder, phantom((4, 8, 8), seed=3), order=[30, 31, 32, 33], series="1.2.3")
    (folder / "copy.dcm").write_bytes((folder / "000.dcm").read_bytes())
    hu[2] = np.maximum(2 * hu[2].astype(int), -1024)
    return hu


@pytest.mark.parametrize("size_px", [None, 8, 16, 5])
def test_one_pass_and_two_give_the_same_volume(tmp_path, monkeypatch, size_px):
    hu = awkward_folder(tmp_path)
    scan, report = read_series(tmp_path, size_px=size_px)
    if size_px in (None, 16):
        np.testing.assert_array_equal(scan.hu, hu)
    monkeypatch.setattr(one_pass, "is_usual", lambda header, size_px: False)
    monkeypatch.setattr(one_pass, "parse_header", lambda content, path: None)
    general, general_report = read_series(tmp_path, size_px=size_px)
    np.testing.assert_array_equal(scan.hu, general.hu)
    assert scan.sop_uids == general.sop_uids and vars(report) == vars(general_report)
    assert scan.origin_mm == general.origin_mm and scan.spacing_mm == general.spacing_mm


@pytest.mark.parametrize(("row", "column"), DIRECTIONS)
def test_halving_and_turning_commute(tmp_path, monkeypatch, row, column):
    folder = write_series(tmp_path / "s", phantom((4, 18, 18)), orientation=(*row, *column))
    scan, _ = read_series(folder, size_px=9)
    monkeypatch.setattr(one_pass, "is_usual", lambda header, size_px: False)
    np.testing.assert_array_equal(scan.hu, read_series(folder, size_px=9)[0].hu)


def test_files_too_large_for_the_fast_way_are_read_all_the_same(series, hu, monkeypatch):
    monkeypatch.setattr(one_pass, "_MAX_BYTES", 500)
    np.testing.assert_array_equal(read_series(series)[0].hu, hu)


def test_a_file_that_cannot_be_opened_is_missing(series):
    (series / "003.dcm").unlink()
    (series / "003.dcm").symlink_to(series / "nowhere")
    with pytest.raises(RefusedScan, match=r"missing_files: 1 file\(s\)"):
        read_series(series)
    (series / "003.dcm").unlink()
    (series / "003.dcm").mkdir()
    with pytest.raises(RefusedScan, match="missing_slices"):
        read_series(series)


def test_a_file_that_vanishes_is_missing(series, monkeypatch):
    def listed(folder, report):
        return [*sorted(folder.iterdir()), folder / "gone.dcm"]

    monkeypatch.setattr("chestct.volumes.dicom_series.list_dicom_files", listed)
    with pytest.raises(RefusedScan, match="missing_files: No such file"):
        read_series(series)


def test_the_usual_series_is_read_without_pydicom(series, hu, monkeypatch):
    """So that the speed that is measured is the speed of the fast way."""

    def refuse(*arguments, **keywords):
        raise AssertionError("pydicom was asked")

    monkeypatch.setattr(pydicom, "dcmread", refuse)
    np.testing.assert_array_equal(read_series(series, size_px=None)[0].hu, hu)


@pytest.mark.parametrize("num_beside", [1, 3])
def test_the_first_file_may_be_of_another_series(tmp_path, hu, num_beside):
    """Whose slices, of another size, were converted in vain."""
    folder = write_series(tmp_path / "s", phantom((num_beside, 8, 8)), series="1.2.3")
    write_series(folder, hu, order=range(50, 56))
    np.testing.assert_array_equal(read_series(folder)[0].hu, hu)
    alone, _ = read_series(write_series(tmp_path / "alone", hu), size_px=8)
    np.testing.assert_array_equal(read_series(folder, size_px=8)[0].hu, alone.hu)


def test_a_header_that_claims_a_large_image_takes_no_memory(series):
    path = series / "000.dcm"
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 4096
    dataset.save_as(path)
    content = memoryview(path.read_bytes())
    assert not is_usual(parse_header(content, path), None)
    with pytest.raises(RefusedScan, match="mixed_sizes"):
        read_series(series)
