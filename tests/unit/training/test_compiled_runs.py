"""What of a study is compiled, and what runs: which networks, fast forms and kernels the compiler takes.

As in test_compiled.py, the compiler's own back end stays out of it.
"""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from compiled_network import assert_same, batch, outcome, pair
from engine_data import SETTINGS, assert_equal_runs, make_job, record, train, windows
from torch import nn
from torch.nn import functional as F

from chestct.models import build_model, depthwise
from chestct.models.channels_last import put_depthwise
from chestct.models.fast_forms import apply_fast_forms
from chestct.training.compile_choice import ALWAYS, NEVER, WHOLE, wish
from chestct.training.compiling import start_compiling
from chestct.training.header import read_facts
from chestct.training.machine import compiled
from chestct.training.machine.compiled import CompiledModel, is_compiled
from chestct.training.machine.processes import Processes

pytestmark = pytest.mark.usefixtures("backend")


def test_batchnorm_of_several_gpus_is_not_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    computation: Any = SimpleNamespace(name="a run", gpus=2, processes=Processes(0, 2))
    settings = replace(SETTINGS, compile=ALWAYS)
    arguments = "slow_r50", settings, computation
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(pair()[0])
    assert start_compiling(shared, *arguments, num_slices=8, windows=(8, 8)) is None
    assert not is_compiled(shared) and "BatchNorm exchanges statistics" in capsys.readouterr().out
    start_compiling(shared.eval(), *arguments, num_slices=8, windows=(8, 8))
    assert is_compiled(shared), "frozen layers exchange nothing"


def test_a_run_compiled_is_the_run(data, tmp_path, plain) -> None:
    short = {"budget": windows(16), "num_validations": 2}
    usual = train(make_job(data, compile=NEVER, **short), tmp_path / "usual")
    fast = train(make_job(data, compile=ALWAYS, compile_form=WHOLE, **short), tmp_path / "fast")
    assert_equal_runs(usual, fast)
    headers = [read_facts(folder / "weights.safetensors") for folder in (usual, fast)]
    assert [facts["settings"].pop("compile") for facts in headers] == [False, True]
    assert headers[0] == headers[1] and "compile_form" not in headers[0]["settings"]
    assert record(usual)["num_parameters"] == record(fast)["num_parameters"]


def test_automatically_nothing_is_compiled_on_a_cpu(data, tmp_path, plain, backend: list[int]) -> None:
    assert SETTINGS.compile == "auto"
    short = {"budget": windows(8), "num_validations": 1}
    auto = train(make_job(data, **short), tmp_path / "auto")
    off = train(make_job(data, compile=False, **short), tmp_path / "off")
    assert (auto / "weights.safetensors").read_bytes() == (off / "weights.safetensors").read_bytes()
    assert not backend


@pytest.mark.parametrize("name", ["csn_narrow", "x3d_narrow"])
def test_a_block_in_its_fast_form_is_one_graph(name: str) -> None:
    """With breaks, what lies between convolutions would go through memory once an operation."""
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    apply_fast_forms(model, mixed=True)
    block, inputs = model.get_submodule("blocks.1.res_blocks.0"), []  # of another stride than 1
    block.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 8, 32, 32))
        torch.compile(block.forward, backend="eager", fullgraph=True)(*inputs)


def test_the_compiler_takes_depthwise_kernels_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU alone they run: here PyTorch computes in their place what they would."""
    calls: list[str] = []
    lines: list[str] = []

    def convolution(x: torch.Tensor, weight: torch.Tensor, stride: Any, padding: Any) -> torch.Tensor:
        x = x.permute(0, 4, 1, 2, 3)
        y = F.conv3d(x, weight, None, stride, padding, groups=len(weight))
        return y.permute(0, 2, 3, 4, 1).contiguous()

    def convolve(*arguments: Any) -> torch.Tensor:
        calls.append("forward")
        return convolution(*arguments)

    def gradients(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, *geometry: Any) -> Any:
        calls.append("backward")
        grad, x = (values.permute(0, 4, 1, 2, 3) for values in (grad, x))
        rest = (None, *geometry[:2], (1, 1, 1), False, (0, 0, 0), len(weight), (True, True, False))
        found_x, found_weight, _ = torch.ops.aten.convolution_backward(grad, x, weight, *rest)
        return (found_x.permute(0, 2, 3, 4, 1).contiguous() if geometry[2][0] else None), found_weight

    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    monkeypatch.setattr(depthwise, "convolve", convolve)
    monkeypatch.setattr(depthwise, "gradients", gradients)
    monkeypatch.setattr(depthwise, "runs_kernels", lambda device: True)
    torch.manual_seed(0)
    first = nn.Conv3d(3, 3, 3, stride=(1, 2, 2), padding=1, groups=3)
    plain = nn.Sequential(
        first, nn.ReLU(), nn.Conv3d(3, 3, 3, padding=1, groups=3), nn.Flatten(), nn.Linear(54, 1)
    )
    fast = copy.deepcopy(plain)
    assert put_depthwise(fast, False) == 2
    CompiledModel(fast, WHOLE, say=lines.append)
    assert_same(outcome(fast, batch()), outcome(plain, batch()), 1e-5)
    assert is_compiled(fast), lines
    assert {"forward", "backward"} == set(calls)


def test_old_values_of_the_setting_stay_valid() -> None:
    assert [wish(value) for value in (True, False, "auto")] == [ALWAYS, NEVER, "auto"]
