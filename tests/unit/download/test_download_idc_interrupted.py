"""Downloads from the bucket that are killed, run twice at once, or find the disk full."""

import multiprocessing
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from chestct.download.labels import lidc_labels
from chestct.download.sources import imaging_data_commons, lidc_idri
from chestct.errors import InputError
from tests.unit.download.file_server import SETTINGS, BucketServer, holding, running
from tests.unit.download.idc_bucket import (
    NUM_FILES,
    PATIENTS,
    entry_of,
    expected_tree,
    is_hidden,
    obtain,
    tree,
)


def test_two_runs_on_one_folder_do_not_harm_each_other(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.delay_s = 0.01
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(obtain, bucket, tmp_path, SETTINGS) for _ in range(2)]
    assert [run.result() for run in runs] == [{}, {}]
    assert tree(tmp_path) == expected_tree(0, 1, 2)


def _download(index: Path, entry: dict, root: Path) -> None:
    imaging_data_commons.index_path = lambda: index
    lidc_labels.prepare = lambda *_: None
    rows = lidc_idri.list_series(entry, root, 10, SETTINGS).series
    lidc_idri.obtain(entry, root, rows, replace(SETTINGS, parallel=2))


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_resumes(
    bucket: BucketServer, small_index: Path, tmp_path: Path, signal_number: int
) -> None:
    def some_are_there() -> bool:
        # Names alone: what is still being written is renamed at any moment.
        return sum(path.suffix == ".dcm" and not is_hidden(path.name) for path in tmp_path.rglob("*")) >= 5

    arguments = (small_index, entry_of(bucket), tmp_path)
    job = multiprocessing.get_context("spawn").Process(target=_download, args=arguments)
    with holding(bucket, some_are_there):
        job.start()
        while not some_are_there():
            assert job.is_alive()
            time.sleep(0.01)
        os.kill(job.pid or 0, signal_number)
        job.join()
    found = tree(tmp_path)
    whole = [name for name in found if not is_hidden(name)]
    assert job.exitcode == -signal_number and 5 <= len(whole) < 3 * NUM_FILES
    assert {name: found[name] for name in whole}.items() <= expected_tree(0, 1, 2).items()
    # What a kill in the middle of a file leaves, for certain.
    (tmp_path / whole[0]).with_name(".f9-0000.dcm.0123abcd.part").write_bytes(b"half")
    # Requests of the killed job may still be on their way to the first server.
    with running(BucketServer(bucket.objects)) as other:
        assert obtain(other, tmp_path) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert other.fetches().total() == len(other.fetches()) == 3 * NUM_FILES - len(whole)


@pytest.mark.parametrize("small_disk", ["28k"], indirect=True)  # seven pages of 4 KiB
def test_a_disk_that_fills_up_ends_in_one_message_and_the_rest_follows_with_room(
    bucket: BucketServer, small_disk: Path
) -> None:
    # 8 files of less than a page each: 28 kB by their sizes, 32 KiB in pages.
    chosen = {"patients": PATIENTS[:2]}
    with pytest.raises(InputError, match="the disk is too small"):
        obtain(bucket, small_disk)
    assert tree(small_disk) == {}
    with pytest.raises(InputError, match="the disk is full") as caught:
        obtain(bucket, small_disk, replace(SETTINGS, parallel=1), **chosen)
    assert str(small_disk) in str(caught.value)
    found = tree(small_disk)
    assert 0 < len(found) < 2 * NUM_FILES and found.items() <= expected_tree(0, 1).items()
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    bucket.asked.clear()
    assert obtain(bucket, small_disk, **chosen) == {}
    assert tree(small_disk) == expected_tree(0, 1)
    assert bucket.fetches().total() == 2 * NUM_FILES - len(found)


def test_the_reserve_on_the_disk_is_kept(bucket: BucketServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too small"):
        obtain(bucket, tmp_path, replace(SETTINGS, reserve_bytes=10**18))
    assert tree(tmp_path) == {}
