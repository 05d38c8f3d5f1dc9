"""What a plan says of networks that are compiled."""

import math

import pandas as pd
import pytest
from planned_jobs import ARM, RULES, RUN, job

from chestct.plan import speeds as plan_speeds
from chestct.plan import text
from chestct.plan.cost import compiled_jobs, hours_of_jobs
from chestct.plan.speeds import read_speeds
from chestct.tables import write_table
from chestct.training import compile_choice


@pytest.fixture
def both_ways(paper, tmp_path, monkeypatch):
    """A study on GPUs, and a table in which Swin was measured both ways and Slow as it is."""
    row = {
        "device": "NVIDIA X",
        "precision": "bf16-mixed",
        "window": 32,
        "size": 224,
        "batch": 16,
        "gflops_per_window": 1.0,
        "standing": "measured",
        "date": "2026-11-27",
    }
    speeds = [
        ("swin3d_t", 100.0, 300.0, "blocks", 60.0),
        ("swin3d_t", 80.0, 240.0, None, None),
        ("slow_r50", 100.0, 300.0, None, None),
        ("csn_r101", 70.0, 210.0, "whole", 500.0),
    ]
    names = ["model", "train_windows_per_second", "score_windows_per_second", "compiled", "compile_seconds"]
    rows = [row | dict(zip(names, values, strict=True)) for values in speeds]
    table = pd.DataFrame(rows).assign(peak_memory_gb=None)
    write_table(table, tmp_path / "throughput.csv", "throughput")
    for module in (compile_choice, plan_speeds):
        monkeypatch.setattr(module, "THROUGHPUT", tmp_path / "throughput.csv")
    paper["models"] = [entry for entry in paper["models"] if entry["name"] in ("swin3d_t", "slow_r50")]
    paper["training"] |= {"gpus": 1, "compile": "auto", "compile_form": "blocks"}
    return paper


def test_a_job_compiles_where_measured_speeds_say_that_it_pays(both_ways):
    speeds = read_speeds(both_ways)["NVIDIA X"].loc[["swin3d_t", "slow_r50"]]
    assert speeds["train"].to_dict() == {"swin3d_t": 80, "slow_r50": 100}
    assert speeds["compile_seconds"].tolist() == [60.0, pytest.approx(math.nan, nan_ok=True)]
    # A window takes a quarter of a hundredth of a second less: 60 s are 24,000 windows.
    columns = ["rule", "model", "train", "score", "predict"]
    rows = [
        ("finetune", "swin3d_t", 23_000.0, 0.0, 0.0),
        ("finetune", "swin3d_t", 25_000.0, 0.0, 0.0),
        ("predict", "swin3d_t", 0.0, 0.0, 1e6),
        ("extract_features", "swin3d_t", 0.0, 0.0, 1e6),
        ("finetune", "slow_r50", 1e9, 0.0, 0.0),
    ]
    windows = pd.DataFrame(rows, columns=columns)
    assert compiled_jobs(windows, speeds, chosen="auto").tolist() == [False, True, True, False, False]
    assert compiled_jobs(windows, speeds, chosen="auto", devices=2).tolist()[:2] == [False, False]
    assert compiled_jobs(windows, speeds, chosen="always").tolist() == [True, True, True, False, False]
    # Of two GPUs that share a run, networks with BatchNorm are not compiled in training; they predict on one.
    slow = speeds.rename(index={"swin3d_t": "csn_r101"})
    shared = compiled_jobs(windows.replace("swin3d_t", "csn_r101"), slow, chosen="always", devices=2)
    assert shared.tolist() == [False, False, True, False, False]
    plain, auto = (hours_of_jobs(windows, speeds, chosen=chosen) for chosen in ("never", "auto"))
    assert plain[1] == pytest.approx(25_000 / 80 / 3600)
    assert auto[1] == pytest.approx((60 + 25_000 / 100) / 3600)
    assert (auto <= plain).all() and auto[0] == plain[0]
    known = compile_choice.measured_on(
        "NVIDIA X", "swin3d_t", precision="bf16-mixed", window=32, size=224, form="blocks"
    )
    assert known.saving(train=25_000) == pytest.approx(2.5)
    assert (
        compile_choice.measured_on(
            "NVIDIA X", "csn_r101", precision="bf16-mixed", window=32, size=224, form="whole"
        )
        is None
    ), "measured in one way only"


def test_the_plan_says_what_is_compiled_and_how_that_is_known(both_ways):
    jobs = [job("finetune", **ARM | {"model": name}, **RUN) for name in ("swin3d_t", "slow_r50")]
    plan = text.plan_text(both_ways, RULES, jobs)
    assert (
        "torch.compile (blocks) of swin3d_t: 1 of 1 jobs, measured: 100 instead of 80 windows/s, 60 s" in plan
    )
    assert "not measured both with and without; each run times its first steps" in plan
    assert ": slow_r50." in plan
    two = text.plan_text(both_ways | {"training": both_ways["training"] | {"gpus": 2}}, RULES, jobs)
    assert "since GPUs exchange statistics of BatchNorm: slow_r50." in two and "not measured both" not in two
    for changes in ({"gpus": 0}, {"compile": False}):
        other = both_ways | {"training": both_ways["training"] | changes}
        assert "torch.compile" not in text.plan_text(other, RULES, jobs)
