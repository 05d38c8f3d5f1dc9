"""Facts of models that the plan of a study computes with: parameters, and operations a window."""

import pandas as pd
import pytest
import torch
from model_sets import build_on_meta
from torch.utils.flop_counter import FlopCounterMode

from chestct.catalogue import MODELS
from chestct.plan.text import PARAMETERS
from chestct.tables import read_table
from chestct.training.measure.estimates import estimated_rows
from chestct.training.measure.throughput import WINDOWS


@pytest.mark.parametrize("name", PARAMETERS.index)
def test_parameters_of_the_plan(name: str) -> None:
    # Narrow models refuse the windows of full size; the default study's are 16 x 32 x 32.
    narrow = MODELS[name].build == "build_narrow"
    num_slices, size_px = (16, 32) if narrow else (WINDOWS[MODELS[name].sees], 224)
    model = build_on_meta(name, num_slices=num_slices, size_px=size_px)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert round(millions, 1 if millions >= 1 else 2) == PARAMETERS[name]


def test_estimated_speeds_follow_from_the_operations(root) -> None:
    """A share of the peak over the operations of a window; backward counts as two forward passes."""
    table = pd.read_csv(root / "workflow_scripts" / "chestct" / "plan" / "throughput.csv")
    assert table["standing"].str.startswith(("measured", "estimated: ")).all()
    estimated = table[table["standing"].str.startswith("estimated")]
    assert set(estimated["device"]) == {"NVIDIA A100", "NVIDIA H200"}
    for row in estimated.itertuples():
        percent, peak = (float(word) for word in row.standing.split() if word[0].isdigit())
        assert 0 < percent < 50 and peak == {"NVIDIA A100": 312, "NVIDIA H200": 989}[row.device]
        score = percent / 100 * peak * 1e3 / row.gflops_per_window
        # The LRCN's features are frozen.
        passes = 1 if row.model.startswith("lrcn") else 3
        assert row.score_windows_per_second == pytest.approx(score, rel=0.01)
        assert row.train_windows_per_second == pytest.approx(score / passes, rel=0.01)


def test_estimates_of_the_table_are_those_of_its_measurements(root) -> None:
    table = read_table(
        root / "workflow_scripts" / "chestct" / "plan" / "throughput.csv", "throughput", recorded=False
    )
    for device in ("NVIDIA A100", "NVIDIA H200"):
        rows = pd.DataFrame(estimated_rows(table, device, "NVIDIA H200")).set_index("model")
        there = table[(table["device"] == device) & table["standing"].str.startswith("estimated")]
        assert set(rows.index) == set(there["model"])
        for row in there.itertuples():
            assert rows.loc[row.model, "standing"] == row.standing
            assert rows.loc[row.model, "train_windows_per_second"] == row.train_windows_per_second


@pytest.mark.parametrize("name", ["x3d_m", "resnet18", "slowfast_r50", "resnet18_slices", "dinov2_small"])
def test_operations_of_a_window(root, name: str) -> None:
    table = pd.read_csv(root / "workflow_scripts" / "chestct" / "plan" / "throughput.csv")
    row = table[(table["model"] == name) & table["standing"].str.startswith("estimated")].iloc[0]
    model = build_on_meta(name, num_slices=row["window"], size_px=row["size"])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, row["window"], row["size"], row["size"], device="meta"))
    assert counter.get_total_flops() / 1e9 == pytest.approx(row["gflops_per_window"], abs=0.06)
