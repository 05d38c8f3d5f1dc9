"""The floor of a training step: values counted by hand, and what binds."""

import pytest
import torch
from torch import nn

from chestct.training.measure import floor
from chestct.training.measure.floor import Floor
from chestct.training.measure.machine_speeds import product_tflops


class Attention(nn.Module):
    """Scores of 64 queries and keys of 2 channels, times values."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        q = (self.scale * x_BCTHW).flatten(2)[:, :2].transpose(1, 2)
        return torch.bmm(torch.bmm(q, q.transpose(1, 2)), q)


def test_values_of_a_convolution_and_its_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> nn.Module:
        return nn.Sequential(nn.Conv3d(3, 4, 1, bias=False), nn.BatchNorm3d(4))

    monkeypatch.setattr(floor, "build_trained", build)
    monkeypatch.setattr(floor, "count_flops", lambda *_, **__: (1, 100))
    found = Floor.of("any", window=2, size=2)
    # 24 values in and 32 out. Forward: in, weight, out. Backward: gradient, in, weight and its gradient.
    # Normalisation: its 32 values twice more.
    assert found == Floor(flops=100, window_values=24 + 32 + 32 + 24 + 64, step_values=3 * 12, parameters=20)
    assert found.bytes(2, value_bytes=2) == 2 * (2 * 176 + 36) + 28 * 20
    compute, memory = found.seconds(2, value_bytes=2, tflops=1e-10, tbps=1e-9)
    assert (compute, memory) == (pytest.approx(2.0), pytest.approx(1.336))


def test_the_matrix_of_attention_needs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "build_trained", lambda *_: Attention())
    monkeypatch.setattr(floor, "count_flops", lambda *_, **__: (1, 100))
    found = Floor.of("any", window=4, size=4)
    # Six products, each of the 64 x 64 scores and two times 64 x 2 values: these alone are moved.
    assert (found.window_values, found.step_values) == (6 * 2 * 128, 0)


def test_a_matrix_product_is_measured() -> None:
    assert 0 < product_tflops(torch.device("cpu"), "bf16-mixed", size=32) < 100
