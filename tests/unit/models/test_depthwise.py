"""Depthwise kernels by Triton's interpreter; CSN and X3D with channels last against their published form."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from model_sets import build_on_meta
from torch import nn

from chestct.catalogue import MODELS
from chestct.models import build_model, kernel_gpus
from chestct.models.channels_last import DepthwiseConv3d, PointwiseConv3d
from chestct.models.fast_forms import apply_fast_forms
from chestct.models.kernel_gpus import find_gpus


def test_kernels_compute_what_pytorch_does() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("depthwise_interpreted.py")],
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def outcome(model: nn.Module, x_BCTHW: torch.Tensor, training: bool) -> dict[str, torch.Tensor]:
    """The output, all gradients and running statistics."""
    model.train(training).zero_grad()
    torch.manual_seed(0)  # of dropout
    x_BCTHW = x_BCTHW.clone().requires_grad_()
    logits = model(x_BCTHW)
    (logits * torch.linspace(0.5, 1.0, len(logits))[:, None]).sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    statistics = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    return {"output": logits.detach(), "input": x_BCTHW.grad, **gradients, **statistics}  # type: ignore[dict-item]


@pytest.mark.parametrize("size", [(8, 32), (9, 44)])
@pytest.mark.parametrize("name", ["csn_narrow", "x3d_narrow"])
def test_the_fast_form_is_the_published_network(
    name: str, size: tuple[int, int], liven: Callable[[nn.Module, torch.Tensor], None]
) -> None:
    slices, pixels = size
    x_BCTHW = torch.randn(3, 3, slices, pixels, pixels, generator=torch.Generator().manual_seed(1))
    plain = build_model(name, num_slices=slices, size_px=pixels, seed=0)
    liven(plain, x_BCTHW)
    fast = copy.deepcopy(plain)
    found = apply_fast_forms(fast, mixed=False)
    convolutions = [module for module in plain.modules() if isinstance(module, nn.Conv3d)]
    assert found["depthwise"] == sum(conv.groups > 1 for conv in convolutions)
    assert found["pointwise"] == sum(conv.kernel_size == (1, 1, 1) for conv in convolutions)
    assert [*fast.state_dict()] == [*plain.state_dict()]
    # In float32 a ReLU whose input is nearly zero opens or closes by rounding, and gradients jump: they are
    # compared in float64, where no input is that near. Rounding of float32 grows to 1e-5 on some processors.
    for dtype, limit in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        for training in (True, False):
            expected, ours = (
                outcome(model.to(dtype), x_BCTHW.to(dtype), training) for model in (plain, fast)
            )
            assert expected.keys() == ours.keys()
            compared = ["output"] if dtype == torch.float32 else [*expected]
            apart = {
                key: float((ours[key] - expected[key]).norm() / expected[key].norm()) for key in compared
            }
            worst = max(apart, key=apart.__getitem__)
            assert apart[worst] < limit, f"{worst} differs by {apart[worst]:.1e} in {dtype}"


@pytest.mark.parametrize("name", ["csn_narrow", "x3d_narrow"])
def test_channels_lie_last_from_the_first_depthwise_convolution_on(name: str) -> None:
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    apply_fast_forms(model, mixed=False)
    layouts: list[tuple[str, bool]] = []

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            layouts.append((name, inputs[0].is_contiguous(memory_format=torch.channels_last_3d)))

        return hook

    for part, module in model.named_modules():
        if isinstance(module, (DepthwiseConv3d, PointwiseConv3d, nn.modules.batchnorm._BatchNorm)):
            module.register_forward_pre_hook(note(part))
    model(torch.randn(2, 3, 8, 32, 32).contiguous(memory_format=torch.channels_last_3d))
    assert len(layouts) > 20
    assert [part for part, last in layouts if not last] == []


def test_models_with_other_grouped_convolutions_and_dilated_ones_stay_as_they_are() -> None:
    grouped = build_model("shufflenet3d_0.5x", num_slices=8, size_px=64, seed=0)
    dilated = nn.Sequential(nn.Conv3d(4, 4, 3, dilation=2, groups=4), nn.Conv3d(4, 4, 1))
    for model in (grouped, dilated):
        assert "depthwise" not in apply_fast_forms(model, mixed=False)
        assert {type(module) for module in model.modules() if isinstance(module, nn.Conv3d)} == {nn.Conv3d}


def test_a_bias_is_added_and_autocast_decides_on_the_type() -> None:
    conv = nn.Conv3d(6, 6, 3, stride=(1, 2, 2), padding=1, groups=6)
    x_BCTHW = torch.randn(2, 6, 3, 5, 5)
    expected = conv(x_BCTHW)
    apply_fast_forms(model := nn.Sequential(copy.deepcopy(conv)), mixed=True)
    torch.testing.assert_close(model(x_BCTHW), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x_BCTHW).dtype == conv(x_BCTHW).dtype == torch.bfloat16


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[int, int], object], None]:
    """A GPU of some compute capability, and what a first Triton kernel does there."""

    def count_on(device: torch.device) -> bool:
        if isinstance(outcome, Exception):
            raise outcome
        return bool(outcome)

    outcome: object = True

    def make(capability: tuple[int, int], found: object) -> None:
        nonlocal outcome
        outcome = found
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(kernel_gpus, "_gpus", set())
        monkeypatch.setattr(kernel_gpus, "_triton_runs", kernel_gpus._triton_runs.__wrapped__)
        trial = SimpleNamespace(count_on=count_on)
        monkeypatch.setitem(sys.modules, "chestct.models.kernel_trial", trial)

    return make


@pytest.mark.parametrize(
    ("capability", "found", "told"),
    [
        ((7, 0), True, ""),
        ((9, 0), RuntimeError("Failed to find C compiler. Please\nspecify"), "Failed to find C compiler"),
        ((9, 0), False, "other numbers"),
    ],
)
def test_where_the_kernels_do_not_run_the_published_form_stays(
    gpu: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    capability: tuple[int, int],
    found: object,
    told: str,
) -> None:
    pytest.importorskip("triton")
    gpu(capability, found)
    assert not find_gpus()
    model = build_model("x3d_narrow", num_slices=8, size_px=32, seed=0)
    assert not {"depthwise", "pointwise"} & apply_fast_forms(model, mixed=True).keys()
    out = capsys.readouterr().out
    assert told in out and bool(out) == bool(told)


def test_where_the_kernels_run_they_are_taken(gpu: Callable[..., None]) -> None:
    pytest.importorskip("triton")
    gpu((8, 0), True)
    assert find_gpus() and kernel_gpus.runs_kernels(torch.device("cuda", 0))


def test_networks_that_take_forms_are_those_that_are_compared() -> None:
    """Here and in test_fused_attention.py, at two sizes, in training and evaluation."""
    taken = {}
    for name, entry in MODELS.items():
        if not entry.frozen and entry.build.endswith("narrow"):
            model = build_on_meta(name, num_slices=16, size_px=32)
            taken[name] = set(apply_fast_forms(model, mixed=False))
    assert {name: forms for name, forms in taken.items() if forms} == {
        "csn_narrow": {"depthwise", "pointwise"},
        "x3d_narrow": {"activation", "depthwise", "pointwise"},
        "mvit_narrow": {"attention", "depthwise"},
        "swin_narrow": {"attention"},
    }
