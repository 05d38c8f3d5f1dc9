"""Measuring speed: operations counted right, a row a thing in the table, one clear line on failure."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model
from chestct.tables import read_table
from chestct.training.measure import speed, throughput
from chestct.training.measure.estimates import estimated_rows
from chestct.training.measure.speed import (
    Measurement,
    Setting,
    count_flops,
    measure,
    measure_or_explain,
    time_engine,
)
from chestct.training.measure.throughput import (
    Peaks,
    describe,
    full_size_models,
    list_variants,
    main,
    update_table,
)

ROW = {
    "device": "d",
    "model": "m",
    "precision": "32-true",
    "window": 32,
    "size": 224,
    "batch": 1,
    "train_windows_per_second": 2.0,
    "score_windows_per_second": 4.0,
    "gflops_per_window": 10.0,
    "peak_memory_gb": None,
    "standing": "measured",
    "date": "2026-11-23",
}


def setting(**changes: object) -> Setting:
    values = {"window": 8, "size": 32, "batch": 2, "gpus": 0, "precision": "32-true", "repeats": 2}
    return Setting(**{**values, "threads": 1, "compiled": False, "plain": True, **changes})  # type: ignore


def test_operations_of_a_transformer_are_those_of_its_formula() -> None:
    tokens, width, depth = 4 * 4 * 4, 48, 4  # 8 slices of 32 pixels, tubelets of 2 x 8 x 8
    a_block = 2 * tokens * width * width * (4 + 8) + 2 * 2 * tokens**2 * width
    expected = depth * a_block + 2 * tokens * width * 3 * 2 * 8 * 8 + 2 * width
    forward, whole = count_flops("videomae_narrow", window=8, size=32)
    assert forward == expected
    assert whole == 3 * forward - 2 * tokens * width * 3 * 2 * 8 * 8


@pytest.mark.parametrize("name", ["slow_narrow", "csn_narrow", "x3d_narrow", "swin_narrow", "penet_narrow"])
def test_backward_takes_every_product_twice_again(name: str) -> None:
    # Grouped and depthwise convolutions too. The input alone needs no gradient.
    forward, whole = count_flops(name, window=8, size=32)
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv3d))
    products = []
    first.register_forward_hook(lambda layer, _, out: products.append(out.numel() * layer.weight[0].numel()))
    model.eval()(torch.zeros(1, 3, 8, 32, 32))
    assert whole == 3 * forward - 2 * products[0]


def test_a_probe_is_not_trained() -> None:
    assert "measure csn_narrow" in str(measure_or_explain("csn_narrow_probe", setting()))


def test_every_repeat_is_timed_and_told() -> None:
    name = "videomae_narrow"
    found = measure(name, setting())
    assert [len(seconds) for seconds in (found.train, found.score, found.plain)] == [2, 2, 2]
    assert min(found.train + found.score + found.plain) > 0
    assert found.peak_memory_gb > 0.1
    found.train[:], found.plain[:] = [0.5, 0.25], [1.0, 2.0]
    peak = found.train_flops * 8 * 2 / 1e12
    text = describe(name, found, setting(), Peaks(sheet=peak, product=peak / 2))
    assert "0.25 s (median 0.375): 8 windows/s" in text
    assert (
        "50.0 % of" in text and "100.0 % of a matrix product" in text and "forms          published" in text
    )
    assert "4.00 times less" in text
    found.plain.clear()
    assert "plain float32  out of memory" in describe(name, found, setting(), Peaks(sheet=None, product=1.0))


def test_prediction_is_timed_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without autocast, which validation has where training is mixed."""
    autocast: list[bool] = []
    monkeypatch.setattr(speed, "score_windows", lambda *_: autocast.append(torch.is_autocast_enabled("cpu")))
    found = time_engine("videomae_narrow", setting(precision="bf16-mixed"))
    assert autocast == [True] * 3 + [False] * 3
    assert found.predict is not found.score and len(found.predict) == 2
    autocast.clear()
    found = time_engine("videomae_narrow", setting())
    assert autocast == [False] * 3 and found.predict is found.score, "the same pass"


def test_windows_are_scored_as_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wider than the crop, as the loader gives them."""
    scored: list[torch.Size] = []
    monkeypatch.setattr(speed, "score_windows", lambda model, hu_BTHW, _: scored.append(hu_BTHW.shape))
    time_engine("videomae_narrow", setting())
    assert set(scored) == {(4, 8, 37, 37)}, "twice as many as are trained on"


def test_forms_are_measured_where_models_take_them() -> None:
    assert [*list_variants(setting(), compiled=False)] == ["published"]
    gpu = list_variants(setting(gpus=1), compiled=True)
    assert [(s.fast_forms, s.compiled, s.plain) for s in gpu.values()] == [
        ("never", False, True),
        ("on_gpus", False, False),
        ("on_gpus", True, False),
    ]
    assert [*list_variants(setting(gpus=1, fast_forms="never"), compiled=False)] == ["published"]


def test_all_models_are_those_that_are_trained_at_full_size() -> None:
    names = full_size_models(224)
    assert {"csn_r101", "videomae_base", "resnet18_slices", "lrcn_resnext101_32x8d_scan"} <= set(names)
    assert not any("narrow" in name or "probe" in name for name in names)


def test_a_row_replaces_the_one_of_the_same_thing(tmp_path: Path) -> None:
    path = tmp_path / "throughput.csv"
    rows = [ROW, ROW | {"batch": 2}, ROW | {"precision": "bf16-mixed"}, ROW | {"device": "e"}]
    for row in [*rows, ROW | {"train_windows_per_second": 3.0, "standing": "estimated"}]:
        update_table(path, row)
    table = read_table(path, "throughput", recorded=False)
    assert len(table) == 4
    assert table.iloc[-1]["train_windows_per_second"] == 3
    assert table["train_windows_per_second"].tolist() == [2, 2, 2, 3]


# What the process apart takes is mostly imports: of this model they are few.
@pytest.mark.parametrize(("models", "code"), [(["slow_narrow"], 0), (["unknown", "videomae_narrow"], 1)])
def test_the_command_writes_the_table_and_names_what_it_cannot_measure(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    models: list[str],
    code: int,
) -> None:
    path = tmp_path / "throughput.csv"
    if len(models) > 1:  # one process of its own is enough here
        monkeypatch.setattr(throughput, "measure_apart", measure_or_explain)
    size = ["--window", "8", "--size", "32", "--batch", "2", "--threads", "1", "--device", "cpu"]
    assert main([*models, *size, "--output", str(path)]) == code
    (row,) = read_table(path, "throughput", recorded=False).to_dict("records")
    assert (row["model"], row["precision"], row["batch"]) == (models[-1], "32-true", 2)
    assert row["standing"] == "measured, processor time" and row["device"].endswith("1 thread(s)")
    gflops = count_flops(models[-1], window=8, size=32)[0] / 1e9
    assert row["gflops_per_window"] == pytest.approx(gflops, rel=1e-3)
    printed = capsys.readouterr()
    assert f"| {models[-1]} | published |" in printed.out.splitlines()[-1]
    assert ("unknown: unknown model 'unknown'" in printed.err) == bool(code)


@pytest.mark.parametrize("forms", [["--fast-forms", "never"], ["--fast-forms", "always"]])
def test_with_compiling_what_is_not_compiled_has_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forms: list[str]
) -> None:
    """Without one, nothing is known of what compiling saves."""
    found = Measurement(
        train=[1.0], score=[1.0], predict=[1.0], plain=[], forward_flops=1, train_flops=3, peak_memory_gb=1.0,
        first_seconds=1.0, forms=(), compile_seconds=2.0,
    )  # fmt: skip
    monkeypatch.setattr(throughput, "measure_apart", lambda name, setting: found)
    path = tmp_path / "throughput.csv"
    given = ["videomae_narrow", "--device", "cpu", "--compile", "whole", *forms, "--output", str(path)]
    assert main(given) == 0
    assert read_table(path, "throughput", recorded=False)["compiled"].fillna("").tolist() == ["", "whole"]


def test_a_device_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput.torch.cuda, "is_available", lambda: False)
    path = tmp_path / "throughput.csv"
    assert main(["videomae_narrow", "--device", "cuda", "--output", str(path)]) == 1
    assert "asks for 1 GPU(s), and this machine has 0" in capsys.readouterr().err
    assert not path.exists()


def test_the_projects_own_table_is_whole(root: Path) -> None:
    table = read_table(
        root / "workflow_scripts" / "chestct" / "plan" / "throughput.csv", "throughput", recorded=False
    )
    assert set(table["model"]) <= set(MODELS)
    keys = ["device", "model", "precision", "window", "size", "batch", "compiled"]
    assert not table.duplicated(keys).any()
    full = {name for name, e in MODELS.items() if e.seven and not e.build.endswith("narrow")}
    assert full <= set(table["model"])
    assert table["standing"].str.match("measured|estimated: ").all(), "an estimate is named as one"


def test_another_device_is_taken_to_reach_the_same_share_of_its_peak() -> None:
    of_h200 = ROW | {"device": "NVIDIA H200", "precision": "bf16-mixed", "size": 224, "compiled": None}
    rows = [of_h200 | {"model": "swin3d_t", "train_windows_per_second": 98.9}]
    rows += [of_h200 | {"model": "resnet18", "train_windows_per_second": 989.0}]
    rows += [of_h200 | {"model": "resnet18_slices", "device": "elsewhere", "gflops_per_window": 1.0}]
    found = pd.DataFrame(estimated_rows(pd.DataFrame(rows), "NVIDIA A100", "NVIDIA H200")).set_index("model")
    assert found["train_windows_per_second"].to_dict() == {
        "swin3d_t": 31.2,
        "resnet18": 312.0,
        "resnet18_slices": 3120.0,  # a tenth of the operations
    }
    assert found.loc["swin3d_t", "score_windows_per_second"] == 3 * 31.2
    assert (
        found.loc["resnet18_slices", "standing"]
        == "estimated: 3 % of 312 TFLOP/s, as resnet18 on NVIDIA H200"
    )
    with pytest.raises(InputError, match="nothing like 'swin3d_t' was measured"):
        estimated_rows(pd.DataFrame(rows), "NVIDIA A100", "NVIDIA H100 PCIe")
    with pytest.raises(InputError, match="the peaks of 'a GPU' are not known"):
        estimated_rows(pd.DataFrame(rows), "a GPU", "NVIDIA H200")
