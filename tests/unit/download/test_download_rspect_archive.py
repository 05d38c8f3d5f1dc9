"""RSPECT by range from an archive: where it lies in it, changes, what is lacking, resuming."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chestct.download.sources import rspect, rspect_archive
from chestct.download.transfer import disk
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.tables import read_table
from tests.unit.download.file_server import ALWAYS, SETTINGS, Fault, FileServer
from tests.unit.download.rspect_samples import archive_entry, contents, zip_folder
from tests.unit.download.zip_samples import zipped


@pytest.mark.parametrize("prefix", ["", "./", "rsna-str/", "a/b/"])
@pytest.mark.parametrize("make", ["deflated", "stored", "streamed"])
def test_the_layout_is_found_below_any_folder(
    prefix: str, make: str, small_rspect: Path, rspect_server: FileServer, tmp_path: Path
) -> None:
    method = zipfile.ZIP_STORED if make == "stored" else zipfile.ZIP_DEFLATED
    rspect_server.content = zip_folder(small_rspect, prefix, method, streamed=make == "streamed")
    entry = archive_entry(rspect_server)
    listing = rspect.list_series(entry, tmp_path, 5, SETTINGS)
    assert len(listing.series) == 3 and listing.left_out.empty
    assert rspect.obtain(entry, tmp_path, listing.series, SETTINGS) == {}
    assert contents(tmp_path) == contents(small_rspect)


def test_the_directory_is_read_once_and_jobs_read_their_part(
    small_rspect: Path, rspect_server: FileServer, tmp_path: Path
) -> None:
    entry = archive_entry(rspect_server)
    first = rspect.list_series(entry, tmp_path, 1, SETTINGS).series
    rspect_server.asked.clear()
    again = rspect.list_series(entry, tmp_path, 1, SETTINGS).series
    pd.testing.assert_frame_equal(first, again)
    assert rspect_server.asked == [(0, 1)]
    assert "0a1b2c" not in (tmp_path / rspect_archive.MEMBERS).read_bytes().decode("latin1")
    members = read_table(tmp_path / rspect_archive.MEMBERS, "archive_members")
    row = first.iloc[1]
    mine = members[members["series_id"] == row["series_id"]]
    assert row["num_bytes"] == mine["num_bytes"].sum() and len(mine) == 6
    rspect_server.asked.clear()
    rspect.obtain(entry, tmp_path, first.iloc[1:2], SETTINGS)
    assert rspect_server.asked == [(0, 1), (mine["offset"].min(), mine["end"].max())]
    assert set(contents(tmp_path)) == {n for n in contents(small_rspect) if row["series_id"] in n}


def test_a_job_fetches_only_what_is_lacking_or_cut(
    small_rspect: Path, rspect_server: FileServer, tmp_path: Path
) -> None:
    entry = archive_entry(rspect_server)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    rspect.obtain(entry, tmp_path, series, SETTINGS)
    names = sorted(contents(tmp_path))
    (tmp_path / names[2]).unlink()
    (tmp_path / names[9]).write_bytes(b"cut")
    rspect_server.asked.clear()
    assert rspect.obtain(entry, tmp_path, series, SETTINGS) == {}
    assert contents(tmp_path) == contents(small_rspect)
    members = read_table(tmp_path / rspect_archive.MEMBERS, "archive_members")
    files = "train/" + members["study_id"] + "/" + members["series_id"] + "/" + members["name"]
    lacking = members[files.isin([names[2], names[9]])]
    ranges = list(zip(lacking["offset"], lacking["end"], strict=True))
    assert sorted(rspect_server.asked) == sorted([(0, 1), *ranges])
    rspect_server.asked.clear()
    assert rspect.obtain(entry, tmp_path, series, SETTINGS) == {} and rspect_server.asked == []


@pytest.mark.parametrize(
    ("lost", "reason", "detail"), [("*/*.dcm", "incomplete", "5 of 6"), ("*", "not_found", "0 of 6")]
)
def test_scans_that_the_archive_lacks_go_to_the_ledger(
    lost: str,
    reason: str,
    detail: str,
    small_rspect: Path,
    rspect_server: FileServer,
    tmp_path: Path,
    run_steps: Callable[..., None],
) -> None:
    shutil.copytree(small_rspect, tmp_path / "there")
    study = min(p.name for p in (small_rspect / "train").iterdir())
    path = min((tmp_path / "there" / "train" / study).glob(lost))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    rspect_server.content = zip_folder(tmp_path / "there")
    run_steps(archive_entry(rspect_server), tmp_path / "r", num_shards=1)
    table = read_table(tmp_path / "r/shards/shard-0.csv", "shard").set_index("study_id")
    assert table.loc[study, ["status", "reason"]].tolist() == ["failed", reason]
    assert detail in table.loc[study, "detail"] and (table["status"] == "obtained").sum() == 2
    labels = read_table(tmp_path / "r/labels.csv", "labels").set_index("study_id")
    assert labels.loc[study, "exclusion"] == "not_obtained" and len(labels) == 3


def test_a_scan_that_stays_altered_goes_to_the_ledger(
    small_rspect: Path, rspect_server: FileServer, tmp_path: Path
) -> None:
    entry = archive_entry(rspect_server)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    members = read_table(tmp_path / rspect_archive.MEMBERS, "archive_members")
    bad = members.iloc[8]
    rspect_server.faults = [Fault("flip", ALWAYS, at=int(bad["end"]) - 2)]
    rspect_server.asked.clear()
    failed = rspect.obtain(entry, tmp_path, series, SETTINGS)
    assert {key: error.reason for key, error in failed.items()} == {bad["series_id"]: "altered"}
    assert bad["name"] in failed[bad["series_id"]].detail
    assert rspect_server.asked.count((bad["offset"], bad["end"])) == 1, "the one member alone, once more"
    there = contents(small_rspect)
    assert contents(tmp_path).items() < there.items() and len(contents(tmp_path)) == len(there) - 1
    rspect_server.faults = [Fault("flip", 1, at=int(bad["end"]) - 2)]
    assert rspect.obtain(entry, tmp_path, series, SETTINGS) == {}
    assert contents(tmp_path) == there


@pytest.mark.parametrize("change", ["size", "etag"])
def test_an_archive_that_changes_is_noticed_and_listed_anew(
    change: str, small_rspect: Path, rspect_server: FileServer, tmp_path: Path
) -> None:
    entry = archive_entry(rspect_server)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    rspect_server.content = zip_folder(small_rspect, "another-folder/")
    if change == "size":
        rspect_server.etag = ""
    else:
        rspect_server.content = zip_folder(small_rspect, "rsna/")
        rspect_server.etag = '"second"'
    with pytest.raises(InputError, match="not the one that was listed") as caught:
        rspect.obtain(entry, tmp_path, series, SETTINGS)
    assert "--forcerun list_series" in str(caught.value) and "0a1b2c" not in str(caught.value)
    assert contents(tmp_path) == {}
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    assert rspect.obtain(entry, tmp_path, series, SETTINGS) == {}
    assert contents(tmp_path) == contents(small_rspect)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a.txt",), "0 folders of the archive hold train.csv"),
        (("train.csv", "p/train/s/r/i.dcm"), "0 folders of the archive"),
        (("a/train.csv", "a/train/s/r/i.dcm", "b/train.csv", "b/train/s/r/j.dcm"), "2 folders of the"),
        (("train.csv", "train/s/r/i.dcm", "train/../../x/r/i.dcm"), "names that leave the folder"),
        (("train.csv", "train/s/r/i.dcm", "/etc/cron.d/x"), "names that leave the folder"),
    ],
)
def test_archives_of_another_layout_are_refused_and_nothing_is_written(
    names: tuple[str, ...], words: str, rspect_server: FileServer, tmp_path: Path
) -> None:
    rspect_server.content = zipped(lambda archive: [archive.writestr(name, b"x") for name in names])
    with pytest.raises(InputError, match=words):
        rspect.list_series(archive_entry(rspect_server), tmp_path / "root", 5, SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_the_address_may_come_from_the_environment(
    rspect_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = archive_entry(rspect_server) | {"archive": "${RSPECT_ARCHIVE}"}
    monkeypatch.delenv("RSPECT_ARCHIVE", raising=False)
    with pytest.raises(InputError, match="needs the path or the address") as caught:
        rspect.list_series(entry, tmp_path, 5, SETTINGS)
    assert "registry.opendata.aws" in str(caught.value)
    monkeypatch.setenv("RSPECT_ARCHIVE", f"{rspect_server.url}/r.zip?X-Amz-Signature=0a1b2c")
    assert len(rspect.list_series(entry, tmp_path, 5, SETTINGS).series) == 3
    assert rspect.manifest(entry)["source"] == f"{rspect_server.url}/r.zip"


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    rspect_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = archive_entry(rspect_server)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    # Without what is to come there would be room; others on this machine may free some at any moment.
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 10**9)
    roomy = TransferSettings(reserve_bytes=10**9)
    with pytest.raises(InputError, match="the disk is too small"):
        rspect.obtain(entry, tmp_path, series, roomy)
    assert contents(tmp_path) == {}


def test_the_list_of_members_is_missing_or_broken(rspect_server: FileServer, tmp_path: Path) -> None:
    entry = archive_entry(rspect_server)
    series = rspect.list_series(entry, tmp_path, 5, SETTINGS).series
    for damage in (lambda path: path.write_bytes(b"no table"), Path.unlink):
        damage(tmp_path / rspect_archive.MEMBERS)
        with pytest.raises(InputError, match=r"list of the archive's members[\s\S]*--forcerun list_series"):
            rspect.obtain(entry, tmp_path, series, SETTINGS)
