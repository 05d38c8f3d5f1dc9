"""What a user can cause and mend is one message with its remedy; where a run stands is in the log."""

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import tracing_worker
from engine_data import LUNG, history, in_child, make_job, score, train, windows

from chestct import tables
from chestct.errors import DivergenceError, InputError
from chestct.training import loop, progress, scoring
from chestct.training.machine import device as hardware


def changed_table(data, tmp_path, name, change):
    table = change(tables.read_table(data[name], name))
    path = str(tmp_path / Path(data[name]).name)
    tables.write_table(table, path, name)
    return data | {name: path}


@pytest.mark.parametrize(
    ("split", "label", "words"),
    [
        ("train", 1, "training subset holds 6 positive and 0 negative"),
        ("train", 0, "training subset holds 0 positive and 6 negative"),
        ("validation", 0, "validation split holds 0 positive and 3 negative"),
    ],
)
def test_scans_of_one_class_stop(data, tmp_path, split, label, words):
    labels = tables.read_table(data["splits"], "splits").set_index("study_id")["label"]

    def of_one_class(table):
        return table[(table["study_id"].map(labels) == label) | (table["split"] != split)]

    changed = changed_table(data, tmp_path, "subset", of_one_class)
    with pytest.raises(InputError, match=words) as error:
        train(make_job(changed), tmp_path / "run")
    assert "a larger" in str(error.value)
    assert changed["subset"] in str(error.value)


def out_of_memory(monkeypatch, error):
    def forward(self, x_BCTHW):
        raise error

    monkeypatch.setattr(tracing_worker.Plain, "forward", forward)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of GPU memory with 2"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "of GPU memory"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"), "out of memory with 2"),
        (MemoryError(), "out of memory with 2 windows at once"),
    ],
    ids=["gpu", "its libraries", "cpu", "python"],
)  # fmt: skip
def test_too_little_memory_says_what_to_change(data, tmp_path, plain, monkeypatch, error, words):
    out_of_memory(monkeypatch, error)
    with pytest.raises(InputError, match=words) as found:
        train(make_job(data, accumulate=2), tmp_path)
    for key in ("accumulate", "batch_size", "precision"):
        assert key in str(found.value)


def test_other_errors_stay_what_they_are(data, tmp_path, plain, monkeypatch):
    out_of_memory(monkeypatch, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(make_job(data), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(data, tmp_path):
    with pytest.raises(InputError, match=r"asks for 2 GPU\(s\), and this machine has 0"):
        hardware.check_hardware(gpus=2, precision="bf16-mixed")
    with pytest.raises(InputError, match=r"set training\.gpus to 0"):
        score(data, tmp_path, tmp_path / "predictions.csv", gpus=1)


def test_a_precision_that_the_device_lacks(data, tmp_path):
    with pytest.raises(InputError, match="16-mixed needs a GPU"):
        train(make_job(data, precision="16-mixed"), tmp_path)


def test_validation_scores_that_are_no_numbers_stop(data, tmp_path, plain, monkeypatch):
    usual = loop.scan_logits
    monkeypatch.setattr(loop, "scan_logits", lambda *a, **k: usual(*a, **k) * torch.nan)
    with pytest.raises(DivergenceError, match="validation scans are not finite at step 4"):
        train(make_job(data), tmp_path)


@pytest.fixture
def impatient(monkeypatch):
    """Reports at every step and batch."""
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)


def test_the_log_says_where_a_run_stands(data, tmp_path, plain, impatient, capsys):
    train(make_job(data), tmp_path)
    log = capsys.readouterr().out
    line = (
        r"d/swin_narrow/scratch/100/0/0: step (\d+)/12: loss \d\.\d{3}, [\d.]+ windows/s, \d+ % of the time"
    )
    steps = [int(step) for step in re.findall(line + r" waiting for data, [\d.]+ (?:s|min|h) left", log)]
    assert steps == list(range(1, 13))
    assert log.count("validating, batch 0/2") == 3
    assert "step 8/12: validation AUROC" in log
    assert "12 steps of 4 windows on cpu" in log


def test_long_silence_is_broken_and_short_is_not(data, tmp_path, plain, monkeypatch, capsys):
    now = [0.0]

    def clock():
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr(progress.time, "perf_counter", clock)
    monkeypatch.setattr(progress, "REPORT_SECONDS", 10.0)
    train(make_job(data, budget=windows(240)), tmp_path)
    reports = re.findall(r"step (\d+)/60: loss", capsys.readouterr().out)
    assert 3 < len(reports) < 30


def test_time_left_is_in_fit_units(monkeypatch):
    bar = progress.Progress(Mock(), num_steps=100, loader=None, events=progress.Events(None))
    for seconds, words in [(5, "45 s"), (100, "15.0 min"), (1000, "2.5 h")]:
        monkeypatch.setattr(progress.Progress, "seconds", seconds)
        assert bar._left(10) == words


def test_tensorboard_that_is_not_installed_is_explained(data, tmp_path, plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"set training\.tensorboard to false"):
        train(make_job(data, tensorboard=True), tmp_path)


def test_event_files_hold_the_learning_curve(data, tmp_path, plain, impatient):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def killed():
        with pytest.MonkeyPatch.context() as patch:
            usual = loop.Loop.validate

            def validate(self, validation):
                if self.steps_done == 8:
                    raise SystemExit(1)
                return usual(self, validation)

            patch.setattr(loop.Loop, "validate", validate)
            train(make_job(data, tensorboard=True), tmp_path)

    assert in_child(killed) == 1
    time.sleep(1.1)  # event files are named by the second, and read in that order
    train(make_job(data, tensorboard=True), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    aurocs = events.Scalars("validation/auroc")
    assert [event.step for event in aurocs] == [4, 8, 12]
    assert [event.value for event in aurocs] == pytest.approx(history(tmp_path)["validation_auroc"].tolist())
    # Steps that were done twice show once.
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 13))


def test_a_score_is_the_largest_over_the_windows_of_the_scan(data):
    class Brightness(torch.nn.Module):
        def forward(self, x_BCTHW):
            return x_BCTHW.amax(dim=(1, 2, 3, 4), keepdim=False).unsqueeze(1)

    from chestct.training.windows.dataset import collect_scans
    from chestct.training.windows.display_window import centre_crop, to_input

    keys = tables.read_table(data["splits"], "splits")[:5]
    tables_ = [tables.read_table(data[name], name) for name in ("index", "windows")]
    scans = collect_scans(keys, *tables_, dict.fromkeys(keys["study_id"], 0))
    settings = replace(LUNG, crop_px=32, mean=(0.5,) * 3, std=(1.0,) * 3)
    loader = scoring.scoring_loader(scans, batch_size=3, num_workers=0)
    found = scoring.scan_logits(Brightness(), loader, 5, settings, device=torch.device("cpu"))
    for number, scan in enumerate(scans):
        windows = [loader.loader.dataset.dataset[2 * number + i][0][None] for i in range(len(scan.starts))]
        best = max(float(to_input(centre_crop(window, 32), settings).max()) for window in windows)
        assert found[number] == pytest.approx(best)


def test_a_job_imports_what_it_needs():
    """A second or two of every job. One process imports the three, one after another."""
    code = """
import importlib, sys
for step in ("finetune", "pretrain", "predict"):
    importlib.import_module(f"chestct.training.{step}")
    print(step, [name for name in sys.argv[1:] if name in sys.modules])
"""
    others = ["transformers", "torchvision", "matplotlib", "scipy", "tensorboard"]
    done = subprocess.run([sys.executable, "-c", code, *others], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["finetune []", "pretrain []", "predict []", ""]
