"""A shard whose rows or files have changed converts those alone; scans that are taken out leave the store."""

import errno
import os
import shutil

import pytest
from dicom_files import phantom, write_series
from shard_jobs import combine, outputs, run, series_table

from chestct.tables import read_table
from chestct.volume_store import list_scans, read_volume
from chestct.volumes import convert_shard as shard_module
from chestct.volumes import decoders, one_pass
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.decoders import plain_pixels

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def root(tmp_path):
    """Four small series."""
    for seed, name in enumerate(NAMES):
        write_series(tmp_path / "data" / name, phantom((4, 16, 16), seed=seed))
    return tmp_path / "data"


@pytest.fixture
def convert(root, tmp_path, monkeypatch):
    """Converts the shards given as lists of names, as Snakemake runs the jobs; returns what was read."""
    seen = []

    def noting(path, **arguments):
        seen.append(path.name)
        return convert_one(path, **arguments)

    monkeypatch.setattr(shard_module, "convert_one", noting)

    def shards(*lists, combined=True, **options):
        seen.clear()
        done = []
        for number, names in enumerate(lists):
            for path in outputs(tmp_path / "r", number).values():
                path.unlink(missing_ok=True)
            done.append(run(series_table(*names, shard=number), root, tmp_path / "r", number, **options))
        if combined:
            combine(done, tmp_path / "all", 50)
        return list(seen)

    return shards


def digests(tmp_path, *stores):
    return {name: read_volume(store, name).sha256 for store in stores for name in list_scans(store)}


def test_only_a_scan_whose_file_changes_is_converted_again(convert, root, tmp_path):
    store = tmp_path / "r" / "shard-0.h5"
    assert convert(NAMES) == NAMES
    before = digests(tmp_path, store)
    assert convert(NAMES) == []
    assert digests(tmp_path, store) == before
    write_series(root / "c", phantom((4, 16, 16), seed=9))
    assert convert(NAMES) == ["c"]
    after = digests(tmp_path, store)
    assert {name for name in after if after[name] != before[name]} == {"s-c"}
    shutil.rmtree(tmp_path / "r")
    assert convert(NAMES) == NAMES and digests(tmp_path, store) == after


def test_rows_that_come_and_go_convert_nothing_else(convert, tmp_path):
    stores = [tmp_path / "r" / f"shard-{number}.h5" for number in (0, 1)]
    assert convert(["b", "c"]) == ["b", "c"]
    assert convert(["b", "c"], ["d"]) == ["d"]
    assert convert(["a", "b"], ["c", "d"]) == ["a"], "later scans move to the next shard"
    assert [list_scans(store) for store in stores] == [["s-a", "s-b"], ["s-c", "s-d"]]
    assert convert(["b", "c"], ["d"]) == [], "and back"


def test_voxels_of_a_scan_that_is_taken_out_leave_the_disk(convert, tmp_path):
    convert(["a", "b"], ["c"])
    convert(["a"])
    left = [path for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert not [path for path in left if "shard-1" in path.name]
    assert {tuple(list_scans(path)) for path in left if path.suffix == ".h5"} == {("s-a",)}
    assert "s-b" not in "".join(path.read_text() for path in left if path.suffix in (".csv", ".json"))


def test_other_settings_and_code_use_nothing(convert):
    assert convert(["a"]) == ["a"]
    assert convert(["a"], size_px=4) == ["a"]
    assert convert(["a"], size_px=4, code="other") == ["a"]


def test_damage_to_what_is_kept_is_found_and_converted_anew(convert, tmp_path):
    convert(["a", "b"])
    for path in (tmp_path / "r" / ".kept").glob("*.h5"):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    assert convert(["a", "b"]) != []
    for path in (tmp_path / "r" / ".kept").glob("*.json"):
        path.write_text("{")
    assert convert(["a", "b"]) == ["a", "b"]


def test_a_disk_without_hard_links_keeps_nothing_and_works(convert, tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    assert convert(["a"]) == ["a"] and convert(["a"]) == ["a"]


def test_what_failed_is_tried_again(convert, root, tmp_path):
    """A scan that could not be obtained, or on which the code failed, has no outcome to keep."""
    series = series_table("a", "b")
    run(series, root, tmp_path / "r", **{"s-b": "not_found"})
    for path in outputs(tmp_path / "r").values():
        path.unlink()
    out = run(series, root, tmp_path / "r")
    assert read_table(out["ledger_path"], "ledger")["status"].tolist() == ["accepted", "accepted"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_once_is_asked_again(convert, tmp_path, monkeypatch, number):
    def read(header, content):
        if header.path.parent.name == "a":
            raise OSError(number, os.strerror(number))
        return plain_pixels(header, content)

    with monkeypatch.context() as patch:
        patch.setattr(one_pass, "is_usual", lambda header, size_px: False)
        patch.setattr(decoders, "plain_pixels", read)
        assert convert(["a", "b"]) == ["a", "b"]
    ledger = read_table(tmp_path / "all" / "ledger.csv", "ledger").set_index("study_id")
    assert ledger.loc["s-a", ["reason", "detail"]].tolist() == ["missing_files", os.strerror(number)]
    assert convert(["a", "b"]) == ["a"]
    assert read_table(tmp_path / "all" / "ledger.csv", "ledger")["status"].tolist() == ["accepted"] * 2


def test_what_is_kept_is_closed_to_others(convert, tmp_path):
    convert(["a"])
    kept = list((tmp_path / "r" / ".kept").iterdir())
    assert len(kept) == 3 and not any(path.stat().st_mode & 0o007 for path in kept)
