"""Jobs beside each other on one machine take different GPUs."""

import stat
import subprocess
import sys

import pytest

from chestct.training.machine import free_gpus as gpus

CLAIM = """
import os, sys
from pathlib import Path
from chestct.training.machine.free_gpus import claim_gpus
claim_gpus(int(sys.argv[1]), gpus=["0", "1", "2", "3"], folder=Path(sys.argv[2]))
print("claimed", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


class Job:
    """A process that claims GPUs and holds them until it is let go."""

    def __init__(self, count: int, folder) -> None:
        command = [sys.executable, "-c", CLAIM, str(count), str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        lines = iter(self.process.stdout.readline, "")
        self.claimed = next(line for line in lines if line.startswith("claimed")).split()[1]

    def end(self) -> None:
        self.process.communicate("")


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_jobs_beside_each_other_take_different_gpus(tmp_path):
    jobs = [Job(2, tmp_path), Job(1, tmp_path), Job(1, tmp_path)]
    try:
        assert [job.claimed for job in jobs] == ["0,1", "2", "3"]
        full = Job(1, tmp_path)
        assert full.claimed == "None"
        full.end()
        jobs[0].end()
        again = Job(1, tmp_path)
        assert again.claimed == "0"
        again.end()
    finally:
        for job in jobs:
            job.process.kill()
            job.process.communicate()


@pytest.mark.parametrize(("count", "slurm"), [(0, False), (4, False), (1, True)])
def test_nothing_is_chosen_where_there_is_no_choice(tmp_path, monkeypatch, count, slurm):
    if slurm:
        monkeypatch.setenv("SLURM_JOB_ID", "1")
    gpus.claim_gpus(count, gpus=["0", "1", "2", "3"], folder=tmp_path)
    assert "CUDA_VISIBLE_DEVICES" not in gpus.os.environ


@pytest.fixture
def shared_tmp(tmp_path, monkeypatch):
    """A folder for temporary files that others may write to, and a home."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(gpus, "_held", [])
    yield tmp_path / "tmp" / f"chestct-gpus-{gpus.os.getuid()}"
    gpus.os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    for handle in gpus._held:
        gpus.os.close(handle)


@pytest.mark.parametrize(
    "trap", ["link in it", "link to a folder", "of everybody", "file", "of somebody else"]
)
def test_what_another_user_prepares_is_neither_followed_nor_emptied(shared_tmp, tmp_path, monkeypatch, trap):
    precious = tmp_path / "thesis"
    precious.mkdir()
    for name in ("0", "1"):
        (precious / name).write_text("precious")
    if trap == "link in it":
        shared_tmp.mkdir(mode=0o700)
        (shared_tmp / "0").symlink_to(precious / "0")
    elif trap == "link to a folder":
        shared_tmp.symlink_to(precious)
    elif trap == "file":
        shared_tmp.write_text("precious")
    else:
        shared_tmp.mkdir()
        shared_tmp.chmod(0o777 if trap == "of everybody" else 0o700)
        (shared_tmp / "0").symlink_to(precious / "0")
        if trap == "of somebody else":
            uid = gpus.os.getuid()
            monkeypatch.setattr(gpus.os, "getuid", lambda: uid + 1)
            shared_tmp.rename(shared_tmp.with_name(f"chestct-gpus-{uid + 1}"))
    gpus.claim_gpus(1, gpus=["0", "1"])
    assert [(precious / name).read_text() for name in ("0", "1")] == ["precious"] * 2
    # The other GPU, or a private folder of this user's own.
    expected = None if trap == "of somebody else" else "1" if trap == "link in it" else "0"
    assert gpus.os.environ.get("CUDA_VISIBLE_DEVICES") == expected


def test_the_folder_of_locks_is_private(shared_tmp):
    gpus.claim_gpus(1, gpus=["0", "1"])
    assert gpus.os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert stat.S_IMODE(shared_tmp.stat().st_mode) == 0o700
    assert stat.S_IMODE((shared_tmp / "0").stat().st_mode) == 0o600


def test_a_users_choice_limits_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert gpus.list_gpus() == ["3", "5"]
