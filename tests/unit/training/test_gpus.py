"""Jobs beside each other on one machine take different GPUs."""

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


def test_a_users_choice_limits_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert gpus.list_gpus() == ["3", "5"]
