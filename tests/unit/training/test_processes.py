"""Several processes train one run: real processes, started as on GPUs, talking over gloo on CPUs."""

import gc
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import tracing_worker
from engine_data import assert_close_runs, in_child, make_job, record, train, windows
from torch.distributed.launcher.api import elastic_launch

from chestct.errors import InputError
from chestct.training import start
from chestct.training.budget import Batches
from chestct.training.header import read_facts
from chestct.training.machine import compiled, launch

WORKER = (str(Path(tracing_worker.__file__)),)


def start_forked(config, place):
    """Start the processes as copies of this one, which has imported everything: the same, sooner."""
    config.start_method = "fork"
    elastic_launch(config, tracing_worker.main)(str(place))


@pytest.fixture
def traced(monkeypatch, tmp_path):
    """Processes that write down what they read; returns where."""
    folder = tmp_path / "trace"
    folder.mkdir()
    monkeypatch.setenv("TRACE", str(folder))
    monkeypatch.setattr(launch, "_start", start_forked)
    yield folder
    # What the launcher leaves waits for threads of its own when it is collected; a process that is forked
    # later has no such threads.
    gc.collect()


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The same run in one process."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(start, "build_model", tracing_worker.build_plain)
        folder = tmp_path_factory.mktemp("alone")
        train(make_job(data, batch_size=8, budget=windows(96)), folder)
    return folder


def read_trace(folder):
    """What each rank read: lists of words."""
    return [[line.split() for line in path.read_text().splitlines()] for path in sorted(folder.iterdir())]


def test_two_processes_see_each_sample_once_and_train_as_one_does(data, alone, traced, tmp_path, monkeypatch):
    # Here as in a study: processes of their own.
    monkeypatch.undo()
    monkeypatch.setenv("TRACE", str(traced))
    monkeypatch.setattr(launch, "WORKER", WORKER)
    train(make_job(data, batch_size=8, budget=windows(96), processes=2), tmp_path / "run", threads=2)
    assert_close_runs(tmp_path / "run", alone)
    written = {path.name for path in (tmp_path / "run").glob("[!.]*")}
    assert written == {"weights.safetensors", "history.csv", "run.csv", "config.yaml"}
    assert record(tmp_path / "run")["device"] == "2 x cpu"
    ranks = read_trace(traced)
    assert len(ranks) == 2
    # 12 steps of 8 draws, half of each step's on either process, none on both.
    draws = [Counter(int(words[1]) for words in rank if words[0] == "train") for rank in ranks]
    assert draws[0].keys().isdisjoint(draws[1])
    assert draws[0] + draws[1] == Counter(range(96))
    for rank in draws:
        assert Counter(draw // 8 for draw in rank) == Counter({step: 4 for step in range(12)})
    # 6 validation scans of 2 windows, 3 times, shared out evenly.
    scored = [sum(words[0] == "score" for words in rank) for rank in ranks]
    assert scored == [18, 18]


def test_preemption_of_one_process_saves_the_state_of_all(data, alone, traced, tmp_path, monkeypatch):
    shared = make_job(data, batch_size=8, budget=windows(96), processes=2)
    with monkeypatch.context() as patch:
        patch.setenv("KILL_AT_STEP", "6")
        with pytest.raises(SystemExit) as end:
            train(shared, tmp_path / "run", threads=2)
        assert end.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "run" / ".checkpoint" / "last.ckpt").is_file()
    train(shared, tmp_path / "run", threads=2)
    assert record(tmp_path / "run")["resumed"] == 1
    assert_close_runs(tmp_path / "run", alone)
    draws = Counter(int(words[1]) for rank in read_trace(traced) for words in rank if words[0] == "train")
    assert draws == Counter(range(96))


def test_compiled_processes_that_end_halfway_train_as_one_does(data, alone, traced, tmp_path, monkeypatch):
    """The compiler's way without its back end, which would take a minute in each process."""
    import torch._dynamo  # noqa: F401 (here, so that no process takes the time)

    monkeypatch.setattr(compiled, "BACKEND", "eager")
    shared = make_job(
        data, batch_size=8, budget=windows(96), processes=2, compile="always", compile_form="whole"
    )
    with monkeypatch.context() as patch:
        patch.setenv("KILL_AT_STEP", "6")
        with pytest.raises(SystemExit):
            train(shared, tmp_path / "run", threads=2)
    train(shared, tmp_path / "run", threads=2)
    assert record(tmp_path / "run")["resumed"] == 1
    assert read_facts(tmp_path / "run" / "weights.safetensors")["settings"]["compile"] is True
    assert_close_runs(tmp_path / "run", alone)


def test_preemption_of_the_launching_process_reaches_all(data, alone, traced, tmp_path):
    shared = make_job(data, batch_size=8, budget=windows(96), processes=2)

    trace = traced / "rank-1.txt"

    def run():
        os.environ["WAIT_AT_STEP"] = "3"  # or a run of a second is over before the signal arrives
        threading.Thread(target=wait_and_kill, daemon=True).start()
        train(shared, tmp_path / "run", threads=2)

    def wait_and_kill():
        while not (trace.exists() and "waits" in trace.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    assert in_child(run) == 128 + signal.SIGUSR1
    assert (tmp_path / "run" / ".checkpoint" / "last.ckpt").is_file()
    train(shared, tmp_path / "run", threads=2)
    assert record(tmp_path / "run")["resumed"] == 1
    assert_close_runs(tmp_path / "run", alone)


def test_an_error_in_a_process_arrives_as_it_was(data, traced, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIL_AT_STEP", "1")
    with pytest.raises(InputError, match="the second process failed\n  where: here"):
        train(make_job(data, batch_size=8, budget=windows(96), processes=2), tmp_path / "run", threads=2)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(InputError, match="cannot be cut into 1 x 3 pieces"):
        Batches(size=8, world=3)


def test_several_nodes_outside_a_cluster_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match="needs a Slurm job"):
        train(make_job(data, nodes=2), tmp_path)
