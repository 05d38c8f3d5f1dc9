"""RSPECT's downloads that are killed or that fill the disk: every file is whole or absent, then go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chestct.download.sources import rspect, rspect_archive
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.tables import read_table, write_table
from tests.unit.download.kaggle_server import KaggleServer, kaggle_service
from tests.unit.download.rspect_servers import ArchiveServer, Server, contents, copy_few, running, zip_folder

#: What a job does, in a process of its own; argv: entry, root, series table.
JOB = """
import json, sys
from pathlib import Path
from chestct.download.sources import rspect
from chestct.download.transfer.retries import TransferSettings
from chestct.tables import read_table
settings = TransferSettings(parallel=2, reserve_bytes=0)
rspect.obtain(json.loads(sys.argv[1]), Path(sys.argv[2]), read_table(sys.argv[3], "series"), settings)
"""


@dataclass
class Origin:
    """An origin's server, what it holds, and the dataset's entry."""

    server: Server
    folder: Path
    entry: dict

    def asked_files(self, root: Path) -> set[str]:
        """Files of which the server was asked for bytes."""
        if isinstance(self.server, KaggleServer):
            return set(self.server.asked)
        table = read_table(root / rspect_archive.MEMBERS, "archive_members")
        return {
            f"train/{row.study_id}/{row.series_id}/{row.name_}"
            for row in table.rename(columns={"name": "name_"}).itertuples()
            for start, stop in self.server.asked
            if stop - start > 1 and start < row.end and stop > row.offset
        }


@pytest.fixture(scope="session")
def small(pe_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scans of six slices each, with their train.csv."""
    return copy_few(pe_root, tmp_path_factory.mktemp("small") / "rspect")


@pytest.fixture(params=["archive", "kaggle"])
def origin(
    request: pytest.FixtureRequest, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Origin]:
    entry = {"name": "r", "source": "rspect", "from": request.param}
    if request.param == "kaggle":
        with kaggle_service(small, tmp_path / "home", monkeypatch) as kaggle:
            yield Origin(kaggle, small, entry)
    else:
        with running(ArchiveServer(zip_folder(small))) as archive:
            yield Origin(archive, small, entry | {"archive_url": f"{archive.url}/r.zip"})


def hidden(root: Path) -> list[Path]:
    return [path for path in (root / "train").rglob(".*") if path.is_file()]


def test_a_job_that_is_killed_goes_on_where_it_was(
    origin: Origin, root: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    data = tmp_path / "data"
    series = rspect.list_series(origin.entry, data, 5, settings).series
    write_table(series, tmp_path / "series.csv", "series")
    origin.server.delay_s = 0.15
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, json.dumps(origin.entry), str(data), str(tmp_path / "series.csv")],
        env=os.environ | {"PYTHONPATH": str(root / "workflow_scripts")},
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 60
        while len(contents(data)) < 3:
            assert job.poll() is None and time.monotonic() < limit
            time.sleep(0.005)
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    there, whole = contents(origin.folder), contents(data)
    assert whole.items() <= there.items() and 3 <= len(whole) < len(there)
    # As a kill in the middle of a file leaves it.
    lacking = sorted(there.keys() - whole.keys())
    for name in lacking[:2]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).with_name(f".{Path(name).name}.part").write_bytes(there[name][:100])
    origin.server.asked.clear()
    origin.server.delay_s = 0
    assert rspect.obtain(origin.entry, data, series, settings) == {}
    assert contents(data) == there and hidden(data) == []
    asked = origin.asked_files(data)
    assert asked == set(lacking)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_others_fill_meanwhile(
    origin: Origin, small_disk: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The space is there when the job begins and is gone when it writes."""
    data = small_disk / "data"
    settings = replace(settings, parallel=2)
    series = rspect.list_series(origin.entry, data, 5, settings).series
    monkeypatch.setattr(rspect, "SLICE_BYTES", 20_000)  # as these slices are
    other = small_disk / "of-somebody-else"

    origin.server.asked.clear()
    asked_before = 4 if origin.entry["from"] == "kaggle" else 1

    def fill() -> None:
        if len(origin.server.asked) >= asked_before and not other.exists():
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            other.write_bytes(bytes(free - 60_000))

    origin.server.before = fill
    with pytest.raises(InputError, match="the disk is full") as caught:
        rspect.obtain(origin.entry, data, series, settings)
    assert str(data) in str(caught.value)
    there, whole = contents(origin.folder), contents(data)
    assert whole.items() < there.items() and hidden(data) == []
    other.unlink()
    origin.server.before = lambda: None
    origin.server.asked.clear()
    assert rspect.obtain(origin.entry, data, series, settings) == {}
    assert contents(data) == there
    assert origin.asked_files(data) == there.keys() - whole.keys()
