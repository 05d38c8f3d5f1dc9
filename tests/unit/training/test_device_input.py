"""A network's input by one kernel: equal to the plain way, in the type and layout of the first layer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_data import LUNG
from torch import nn

from chestct.models import build_model
from chestct.models.fast_forms import InputForm, input_form, put_input
from chestct.training.machine.device import tune
from chestct.training.windows import device_input, training_input
from chestct.training.windows.augmentation import augment
from chestct.training.windows.device_input import pixel_matrices, score_windows
from chestct.training.windows.display_window import to_input
from chestct.training.windows.training_input import TrainingInput, pixel_matrix


def test_the_kernel_gives_what_the_plain_way_gives() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("input_interpreted.py")],
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_matrices_of_a_batch_are_those_of_its_windows() -> None:
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    found = pixel_matrices(theta, (30, 40), 24)
    expected = torch.stack([torch.from_numpy(pixel_matrix(one, (30, 40), 24)) for one in theta])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_kernel_draws_the_same_numbers_for_training_and_none_for_scoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[torch.Tensor | None] = []

    def kernel(
        stored: torch.Tensor, theta: torch.Tensor | None, *_: object, dtype: torch.dtype, **__: object
    ):
        calls.append(theta)
        return torch.zeros(len(stored), 3, 2, 224, 224, dtype=dtype)

    for module in (device_input, training_input):
        monkeypatch.setattr(module, "fused_input", kernel)
        monkeypatch.setattr(module, "runs_kernels", lambda device: True)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    stored = torch.zeros(2, 2, 256, 256, dtype=torch.int16)
    form = InputForm(fused=True)
    found = TrainingInput(LUNG, generators[0], form, "bf16-mixed")(stored)
    augment(stored, LUNG, generators[1])
    assert found.dtype == torch.bfloat16 and torch.equal(generators[0].get_state(), generators[1].get_state())
    assert calls[0] is not None and calls[0].shape == (2, 2, 3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 224 * 224, 1))
    model.input_form = form  # type: ignore[assignment]
    score_windows(model, stored, LUNG)
    assert calls[1] is None
    with torch.autocast("cpu", torch.bfloat16):
        assert score_windows(model, stored, LUNG).dtype == torch.bfloat16


def test_without_a_gpu_that_runs_it_the_plain_way_is_taken() -> None:
    stored = torch.randint(-1000, 1000, (1, 2, 256, 256), dtype=torch.int16)
    found = TrainingInput(LUNG, torch.Generator().manual_seed(0), InputForm(fused=True), "bf16-mixed")(stored)
    assert found.dtype == torch.float32
    assert torch.equal(found, to_input(augment(stored, LUNG, torch.Generator().manual_seed(0)), LUNG))


def test_networks_say_how_they_want_their_input() -> None:
    conv, flat = nn.Sequential(nn.Conv3d(3, 4, 3)), nn.Sequential(nn.Conv2d(3, 4, 3))
    assert tune(conv, gpus=0, precision="32-true", fast_forms="always") == ()
    assert input_form(conv) == InputForm()
    for model, mixed, last in ((conv, True, True), (conv, False, False), (flat, False, True)):
        put_input(model, mixed=mixed)
        assert input_form(model).channels_last == last
    assert list(conv.state_dict()) == ["0.weight", "0.bias"]


@pytest.mark.parametrize("name", ["mvit_narrow"])
def test_in_mixed_precision_the_first_layer_rounds_its_input_itself(name: str) -> None:
    """So that an input in bf16 changes no bit."""
    model = build_model(name, num_slices=8, size_px=32, seed=0).eval()
    x_BCTHW = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(x_BCTHW), model(x_BCTHW.bfloat16()))
