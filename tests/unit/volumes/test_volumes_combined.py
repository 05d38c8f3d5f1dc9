"""The tables of all shards in one, or the reason why the study stops."""

import pytest
from shard_jobs import combine, run, series_table

from chestct.errors import InputError
from chestct.tables import read_table


def test_combined_tables_hold_every_shard_in_order(scans, tmp_path):
    shards = [
        run(series_table("twice", "gap"), scans, tmp_path / "r", 0),
        run(series_table("broken.nii.gz"), scans, tmp_path / "r", 1),
        run(series_table("good", "v.nii.gz"), scans, tmp_path / "r", 2),
    ]
    out = combine(shards, tmp_path / "all", 40)
    assert read_table(out["index_path"], "index")["study_id"].tolist() == ["s-twice", "s-good", "s-v.nii.gz"]
    assert len(read_table(out["ledger_path"], "ledger")) == 5
    acquisition = read_table(out["acquisition_path"], "acquisition")
    assert acquisition["study_id"].tolist() == ["s-twice", "s-good", "s-v.nii.gz"]
    slices = read_table(out["slices_path"], "slices")
    assert slices["study_id"].unique().tolist() == ["s-twice", "s-good", "s-v.nii.gz"]


def test_too_many_refused_scans_stop_the_study_with_a_summary(scans, tmp_path):
    shards = [run(series_table("good", "gap", "broken.nii.gz"), scans, tmp_path / "r")]
    with pytest.raises(InputError, match="2 of 3 scans of dataset 'd' were refused") as caught:
        combine(shards, tmp_path / "all", 66)
    assert "missing_slices 1" in str(caught.value) and "unreadable_file 1" in str(caught.value)
    assert not (tmp_path / "all").exists()
    combine(shards, tmp_path / "all", 67)


def test_nothing_converted_stops_the_study_whatever_the_share(scans, tmp_path):
    shards = [run(series_table("gap"), scans, tmp_path / "r")]
    with pytest.raises(InputError, match="at least one scan converted"):
        combine(shards, tmp_path / "all", 100)


def test_scan_in_two_shards_is_found(scans, tmp_path):
    shards = [run(series_table("good"), scans, tmp_path / "r", shard) for shard in (0, 1)]
    with pytest.raises(InputError, match="scans in two shards"):
        combine(shards, tmp_path / "all", 0)
