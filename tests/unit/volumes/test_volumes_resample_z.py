"""Resampling along z keeps to its rule, and marks on slices keep their place."""

import numpy as np
import pytest
from dicom_files import phantom, write_series
from hypothesis import given
from hypothesis import strategies as st
from shard_jobs import obtained_table, outputs, run, series_table

from chestct.tables import read_table
from chestct.volumes.acquisition import Acquisition
from chestct.volumes.convert_shard import convert_shard
from chestct.volumes.resample_z import new_positions, resample_z, slice_weights
from chestct.volumes.scan import Scan
from chestct.volumes.share_shard import TABLES, share_shard


def scan_of(profile, spacing_mm=1.0, copies=None) -> Scan:
    """A scan whose slices have one value each."""
    values = np.asarray(profile, dtype=np.int16)
    return Scan(
        hu=np.broadcast_to(values[:, None, None], (len(values), 2, 3)).copy(),
        spacing_mm=(spacing_mm, 0.7, 0.7),
        origin_mm=(1.0, 2.0, 10.0),
        z_mm=10.0 + spacing_mm * np.arange(len(values)),
        sop_uids=tuple(f"u{number}" for number in range(len(values))),
        acquisition=Acquisition(spacing_z_mm=spacing_mm, pixel_mm=0.7, num_slices=len(values)),
        copies=copies or {},
    )


def test_twice_the_spacing_averages_pairs():
    found = resample_z(scan_of([0, 10, 20, 40, 100, 100], copies={"copy": 3}), 2.0)
    assert found.hu[:, 0, 0].tolist() == [5, 30, 100]
    assert found.spacing_mm == (2.0, 0.7, 0.7)
    assert found.z_mm.tolist() == [10.5, 12.5, 14.5]
    assert found.origin_mm == (1.0, 2.0, 10.5)
    # Every old slice is in the new one that holds it.
    placed = dict(found.copies) | {uid: number for number, uid in enumerate(found.sop_uids)}
    assert placed == {"u0": 0, "u1": 0, "u2": 1, "u3": 1, "copy": 1, "u4": 2, "u5": 2}


def test_half_the_spacing_interpolates_and_repeats_the_ends():
    found = resample_z(scan_of([0, 100, 200]), 0.5)
    assert found.hu[:, 0, 0].tolist() == [0, 25, 75, 125, 175, 200]
    assert found.z_mm.tolist() == [9.75, 10.25, 10.75, 11.25, 11.75, 12.25]
    assert not found.copies
    assert found.sop_uids == ("u0", "u0", "u1", "u1", "u2", "u2")


def test_the_same_spacing_changes_nothing():
    scan = scan_of([1, 2, 3], spacing_mm=1.25)
    assert resample_z(scan, 1.25) is scan
    assert resample_z(scan, 1.2502) is scan


@given(st.integers(2, 60), st.floats(0.2, 6.0))
def test_weights_sum_to_one_and_every_slice_has_a_place(num_slices, step):
    positions = new_positions(num_slices, 1.0, step)
    assert len(positions) >= 2 and np.allclose(np.diff(positions), step)
    assert positions.mean() == pytest.approx((num_slices - 1) / 2)
    for position in positions:
        numbers, weights = slice_weights(num_slices, float(position), step)
        assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
        assert numbers.min() >= 0 and numbers.max() < num_slices
    scan = scan_of(np.arange(num_slices))
    found = resample_z(scan, step)
    assert set(found.sop_uids) | set(found.copies) == set(scan.sop_uids)


def test_a_smooth_profile_stays_where_it_is():
    z = np.arange(80) * 1.0
    profile = 500 * np.sin(z / 12)
    for spacing in (0.7, 1.6, 2.5):
        found = resample_z(scan_of(profile), spacing)
        expected = 500 * np.sin((found.z_mm - 10.0) / 12)
        assert np.abs(found.hu[1:-1, 0, 0] - expected[1:-1]).max() < 12


def test_a_shard_is_resampled_and_its_ledger_says_so(tmp_path):
    write_series(tmp_path / "scan", phantom((6, 16, 16)))  # slices 2.5 mm apart
    series, out = series_table("scan"), outputs(tmp_path / "thick")
    convert_shard(
        series,
        obtained=obtained_table(series),
        root=tmp_path,
        dataset="d",
        size_px=8,
        spacing_z_mm=5.0,
        code_digest="c",
        **out,
    )
    (row,) = read_table(out["index_path"], "index").to_dict("records")
    assert (row["num_slices"], row["spacing_z_mm"]) == (3, 5.0)
    slices = read_table(out["slices_path"], "slices")
    assert slices["slice_index"].tolist() == [0, 0, 1, 1, 2, 2] and slices["sop_instance_uid"].nunique() == 6
    assert "along z from 2.5 to 5 mm: 3 slices" in read_table(out["ledger_path"], "ledger")["detail"][0]
    acquired = read_table(out["acquisition_path"], "acquisition").iloc[0]
    assert (acquired["spacing_z_mm"], acquired["num_slices"]) == (2.5, 6), "as it was acquired"


def test_a_shared_shard_is_the_same_file_with_tables_of_its_own(tmp_path):
    write_series(tmp_path / "scan", phantom((6, 16, 16)))
    first = run(series_table("scan"), tmp_path, tmp_path / "first")
    own = outputs(tmp_path / "second")
    own["store_path"].parent.mkdir()
    for _ in range(2):  # again, over what is there
        share_shard(
            "second",
            store=first["store_path"],
            tables={name: first[f"{name}_path"] for name in TABLES},
            store_path=own["store_path"],
            table_paths={name: own[f"{name}_path"] for name in TABLES},
        )
    assert own["store_path"].samefile(first["store_path"])
    index = read_table(own["index_path"], "index")
    assert index["dataset"].tolist() == ["second"] and index["store"].tolist() == [str(own["store_path"])]
    assert read_table(own["slices_path"], "slices").equals(read_table(first["slices_path"], "slices"))
    for name in ("ledger", "acquisition"):
        assert read_table(own[f"{name}_path"], name)["dataset"].tolist() == ["second"]
