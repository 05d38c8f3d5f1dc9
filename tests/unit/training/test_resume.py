"""A killed run goes on to the same weights, whenever it was killed."""

import hashlib
import io
import os
import pickle
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from engine_data import (
    assert_equal_runs,
    history,
    in_child,
    make_job,
    pretrain_on_clips,
    record,
    train,
    weights,
    windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from chestct.errors import InputError
from chestct.training import checkpoint, loop

STATE = Path(".checkpoint") / "last.ckpt"


def kill_at_step(monkeypatch, step, number=signal.SIGKILL, *, group=False):
    """Send this process a signal in the middle of a step."""
    usual = loop.Loop.take_step

    def take_step(self, pieces):
        if self.steps_done == step:
            (os.killpg if group else os.kill)(os.getpid(), number)
        usual(self, pieces)

    monkeypatch.setattr(loop.Loop, "take_step", take_step)


def kill_in_validation(monkeypatch, step, number):
    """Send this process a signal between two batches of the validation after a step."""
    usual = loop.Loop.validate

    def validate(self, validation):
        if self.steps_done == step:
            check = self.progress.during_validation

            def during_validation(batch, total):
                if batch == 1:
                    os.kill(os.getpid(), number)
                check(batch, total)

            self.progress.during_validation = during_validation
        return usual(self, validation)

    monkeypatch.setattr(loop.Loop, "validate", validate)


def kill_in_write(monkeypatch, count):
    """End this process half-way through the writing of a state."""
    usual, written = torch.save, []

    def save(content, sink):
        usual(content, sink)
        written.append(sink)
        if len(written) == count:
            sink.file.truncate(sink.file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(checkpoint.torch, "save", save)


def train_killed(job, folder, arrange):
    """Train in a process that ends as ``arrange`` says; returns its exit code."""

    def run():
        with pytest.MonkeyPatch.context() as monkeypatch:
            arrange(monkeypatch)
            train(job, folder)

    return in_child(run)


def saved_step(folder):
    return torch.load(folder / STATE, weights_only=True)["state"]["step"]


@pytest.mark.parametrize(
    ("arrange", "step"),
    [
        (lambda patch: kill_at_step(patch, 7), 4),
        (lambda patch: kill_at_step(patch, 11), 8),
        (lambda patch: kill_in_validation(patch, 8, signal.SIGKILL), 4),
        (lambda patch: kill_in_validation(patch, 12, signal.SIGKILL), 8),
        (lambda patch: kill_in_write(patch, 2), 4),
    ],
    ids=["mid-pass", "after two validations", "in validation", "in the last validation", "in a write"],
)
def test_a_killed_run_goes_on_to_equal_weights(data, trained, tmp_path, monkeypatch, arrange, step):
    # Every validation saves, however long the write before took.
    monkeypatch.setattr(checkpoint, "_LARGEST_SHARE", 1e9)
    assert train_killed(make_job(data), tmp_path, arrange) == -signal.SIGKILL
    assert not (tmp_path / "run.csv").exists()
    assert saved_step(tmp_path) == step
    train(make_job(data), tmp_path)
    assert_equal_runs(tmp_path, trained)
    assert record(tmp_path)["resumed"] == 1
    assert not (tmp_path / ".checkpoint").exists()


@pytest.mark.parametrize(
    ("arrange", "step", "number"),
    [
        (lambda patch: kill_at_step(patch, 6, signal.SIGTERM), 7, signal.SIGTERM),
        (lambda patch: kill_at_step(patch, 2, signal.SIGUSR1), 3, signal.SIGUSR1),
        (lambda patch: kill_in_validation(patch, 8, signal.SIGUSR1), 8, signal.SIGUSR1),
    ],
    ids=["SIGTERM in a step", "before any validation", "SIGUSR1 in validation"],
)
def test_preemption_saves_first_and_then_fails(data, trained, tmp_path, arrange, step, number):
    assert train_killed(make_job(data), tmp_path, arrange) == 128 + number
    assert saved_step(tmp_path) == step
    train(make_job(data), tmp_path)
    assert_equal_runs(tmp_path, trained)
    assert record(tmp_path)["resumed"] == 1


def test_a_signal_to_the_whole_job_leaves_its_reading_processes_alive(data, trained, tmp_path):
    def run():
        os.setpgid(0, 0)
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at_step(monkeypatch, 6, signal.SIGTERM, group=True)
            train(make_job(data, num_workers=2), tmp_path)

    assert in_child(run) == 128 + signal.SIGTERM
    assert saved_step(tmp_path) == 7
    train(make_job(data, num_workers=2), tmp_path)
    assert_equal_runs(tmp_path, trained)


def test_it_may_be_killed_again_and_again(data, trained, tmp_path):
    for step in (2, 5, 9):
        code = train_killed(
            make_job(data), tmp_path, lambda patch, step=step: kill_at_step(patch, step, signal.SIGTERM)
        )
        assert code == 128 + signal.SIGTERM
    train(make_job(data), tmp_path)
    assert_equal_runs(tmp_path, trained)
    assert record(tmp_path)["resumed"] == 3


def test_early_stopping_counts_over_a_kill(data, tmp_path):
    job = make_job(data, learning_rate=1e-30, num_validations=6, patience=windows(32), budget=windows(96))
    train(job, tmp_path / "whole")
    train_killed(job, tmp_path / "cut", lambda patch: kill_at_step(patch, 6, signal.SIGTERM))
    train(job, tmp_path / "cut")
    assert_equal_runs(tmp_path / "cut", tmp_path / "whole")
    assert record(tmp_path / "cut")["stopped_early"] == 1


@pytest.fixture
def cut(data, tmp_path):
    """A run that was killed after its state was saved."""
    train_killed(make_job(data), tmp_path, lambda patch: kill_at_step(patch, 6, signal.SIGTERM))
    return tmp_path


def test_a_state_of_other_settings_is_never_used(data, cut, tmp_path_factory, capsys):
    other = make_job(data, weight_decay=0.1)
    train(other, cut)
    assert "training starts anew" in capsys.readouterr().out
    assert record(cut)["resumed"] == 0
    assert_equal_runs(cut, train(other, tmp_path_factory.mktemp("fresh")))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "code"])
def test_a_damaged_state_is_left_and_its_code_is_not_executed(data, trained, cut, capsys, damage):
    path, mark = cut / STATE, cut / "executed"
    if damage == "truncated":
        os.truncate(path, path.stat().st_size // 3)
    elif damage == "flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x20
        path.write_bytes(content)
    elif damage == "emptied":
        path.write_bytes(b"")
    else:

        class Evil:
            def __reduce__(self):
                return Path.touch, (mark,)

        buffer = io.BytesIO()
        torch.save({"key": "k", "state": Evil()}, buffer)
        path.write_bytes(buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())
        pickle.loads(pickle.dumps(Evil()))
        assert mark.exists()  # the trap works
        mark.unlink()
    train(make_job(data), cut)
    assert "WARNING: the saved state" in capsys.readouterr().out
    assert not mark.exists()
    assert record(cut)["resumed"] == 0
    assert_equal_runs(cut, trained)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_flipped_bit_of_a_state_is_noticed_and_the_file_set_aside(draw):
    with tempfile.TemporaryDirectory() as name:
        file = checkpoint.StateFile(Path(name), "key")
        file.save({"step": 3, "model": {"w": torch.arange(300.0)}})
        content = bytearray(file.path.read_bytes())
        content[draw.draw(st.integers(0, len(content) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
        file.path.write_bytes(content)
        assert file.load() is None
        file.save({"step": 4})
        assert file.load() == {"step": 4}
        assert file.path.with_suffix(".damaged").read_bytes() == content


def test_a_disk_that_is_full_is_named_while_a_state_is_written(tmp_path, monkeypatch):
    file = checkpoint.StateFile(tmp_path, "key")
    file.save({"step": 3})
    monkeypatch.setattr(checkpoint, "open", lambda *_: io.FileIO("/dev/full", "w"), raising=False)
    with pytest.raises(InputError, match="No space left on device"):
        file.save({"step": 4, "model": {"w": torch.arange(300.0)}})
    monkeypatch.undo()
    assert file.load() == {"step": 3}


def test_pretraining_goes_on_too(tmp_path):
    def killed():
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at_step(monkeypatch, 13)  # in the second pass of 10 steps
            pretrain_on_clips(tmp_path / "cut", 42)

    pretrain_on_clips(tmp_path / "whole", 42)
    assert in_child(killed) == -signal.SIGKILL
    pretrain_on_clips(tmp_path / "cut", 42)
    assert_equal_runs(tmp_path / "cut", tmp_path / "whole")
    assert not (tmp_path / "cut" / ".checkpoint").exists()


def test_writing_states_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    file, now = checkpoint.StateFile(tmp_path, "key"), [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    usual = torch.save

    def slow_save(content, path):
        usual(content, path)
        now[0] += 2.0

    monkeypatch.setattr(checkpoint.torch, "save", slow_save)
    assert file.due
    file.save({"step": 1})
    now[0] += 39
    assert not file.due
    now[0] += 2
    assert file.due
    assert file.load() == {"step": 1}


def test_weights_differ_where_runs_differ(trained, data, tmp_path):
    """The comparison that these tests rest on can fail."""
    train(make_job(data, learning_rate=0.0031), tmp_path)
    with pytest.raises(AssertionError):
        assert_equal_runs(tmp_path, trained)
    assert weights(tmp_path).keys() == weights(trained).keys()
    assert len(history(tmp_path)) == len(history(trained))
