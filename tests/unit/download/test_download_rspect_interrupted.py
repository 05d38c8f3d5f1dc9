"""RSPECT's downloads that are killed or that fill the disk: every file is whole or absent, then go on."""

import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chestct.download.sources import rspect, rspect_archive
from chestct.errors import InputError
from chestct.tables import read_table
from tests.unit.download.file_server import SETTINGS, FileServer, holding, running
from tests.unit.download.rspect_samples import archive_entry, contents


def asked_files(server: FileServer, root: Path) -> set[str]:
    """Files of which the server was asked for bytes."""
    table = read_table(root / rspect_archive.MEMBERS, "archive_members")
    return {
        f"train/{row.study_id}/{row.series_id}/{row.file}"
        for row in table.rename(columns={"name": "file"}).itertuples()
        for start, stop in server.asked
        if stop - start > 1 and start < row.end and stop > row.offset
    }


def hidden(root: Path) -> list[Path]:
    return [path for path in (root / "train").rglob(".*") if path.is_file()]


def written(root: Path) -> list[Path]:
    """Names alone, while a job writes: what is hidden is renamed at any moment."""
    return [path for path in (root / "train").rglob("*.dcm") if not path.name.startswith(".")]


def test_a_job_that_is_killed_goes_on_where_it_was(
    rspect_server: FileServer, small_rspect: Path, tmp_path: Path
) -> None:
    entry, data = archive_entry(rspect_server), tmp_path / "data"
    series = rspect.list_series(entry, data, 5, SETTINGS).series
    arguments = (entry, data, series, replace(SETTINGS, parallel=2))
    job = multiprocessing.get_context("spawn").Process(target=rspect.obtain, args=arguments)
    with holding(rspect_server, lambda: len(written(data)) >= 3):
        job.start()
        while len(written(data)) < 3:
            assert job.is_alive()
            time.sleep(0.005)
        job.kill()
        job.join()
    there, whole = contents(small_rspect), contents(data)
    assert whole.items() <= there.items() and 3 <= len(whole) < len(there)
    # As a kill in the middle of a file leaves it.
    lacking = sorted(there.keys() - whole.keys())
    for name in lacking[:2]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).with_name(f".{Path(name).name}.0123abcd.part").write_bytes(there[name][:100])
    # Requests of the killed job may still be on their way to the first server.
    with running(FileServer(rspect_server.content)) as other:
        assert rspect.obtain(archive_entry(other), data, series, SETTINGS) == {}
    assert contents(data) == there and hidden(data) == []
    assert asked_files(other, data) == set(lacking)


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_a_disk_that_others_fill_meanwhile(
    rspect_server: FileServer, small_rspect: Path, small_disk: Path
) -> None:
    """The space is there when the job begins and is gone when it writes."""
    entry, data = archive_entry(rspect_server), small_disk / "data"
    series = rspect.list_series(entry, data, 5, SETTINGS).series
    other = small_disk / "of-somebody-else"

    rspect_server.asked.clear()

    def fill() -> None:
        if rspect_server.asked and not other.exists():
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            other.write_bytes(bytes(free - 60_000))

    rspect_server.before = fill
    with pytest.raises(InputError, match="the disk is full") as caught:
        rspect.obtain(entry, data, series, replace(SETTINGS, parallel=2))
    assert str(data) in str(caught.value)
    there, whole = contents(small_rspect), contents(data)
    assert whole.items() < there.items() and hidden(data) == []
    other.unlink()
    rspect_server.before = lambda: None
    rspect_server.asked.clear()
    assert rspect.obtain(entry, data, series, SETTINGS) == {}
    assert contents(data) == there
    assert asked_files(rspect_server, data) == there.keys() - whole.keys()


def test_what_a_power_cut_left_of_zeros_or_altered_is_fetched_again(
    rspect_server: FileServer, small_rspect: Path, tmp_path: Path
) -> None:
    entry, data = archive_entry(rspect_server), tmp_path / "data"
    series = rspect.list_series(entry, data, 5, SETTINGS).series
    assert rspect.obtain(entry, data, series, SETTINGS) == {}
    zeros, flipped, *_ = sorted(path for path in (data / "train").rglob("*.dcm"))
    zeros.write_bytes(bytes(zeros.stat().st_size))
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 4
    flipped.write_bytes(content)
    rspect_server.asked.clear()
    assert rspect.obtain(entry, data, series, SETTINGS) == {}
    assert contents(data) == contents(small_rspect)
    assert len(asked_files(rspect_server, data)) >= 2


@pytest.mark.parametrize("name", ["archive_members.parquet", "train.csv"])
def test_a_damaged_list_is_read_again_from_the_archive(
    rspect_server: FileServer, tmp_path: Path, name: str
) -> None:
    entry, data = archive_entry(rspect_server), tmp_path / "data"
    first = rspect.list_series(entry, data, 5, SETTINGS).series
    content = bytearray((data / name).read_bytes())
    content[len(content) // 2] ^= 1
    (data / name).write_bytes(content)
    if name == "archive_members.parquet":
        with pytest.raises(InputError, match="damaged, or was changed by hand"):
            rspect.obtain(entry, data, first, SETTINGS)
    again = rspect.list_series(entry, data, 5, SETTINGS).series
    assert again.equals(first)
    assert rspect.obtain(entry, data, again, SETTINGS) == {}
