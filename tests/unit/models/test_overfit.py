"""Every model learns eight windows by heart: every layer gets its gradient, and no input is lost.

The models at full size take some minutes: ``CHESTCT_FULL_SIZE=1 pytest`` on this file.
"""

import os
from collections.abc import Callable

import pytest
import torch
from model_sets import LARGE, SMALL
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from chestct.catalogue import MODELS
from chestct.models import build_model, tune_for_cpu

Liven = Callable[[nn.Module, torch.Tensor], None]

#: Steps within which the loss must fall from 0.7 (guessing) below the bound; the slowest needs half of them.
MAX_STEPS, BOUND = 50, 0.1


def trained_whole(names: list[str]) -> list[str]:
    return [name for name in names if not getattr(MODELS[name], "frozen", False)]


def learn(model: nn.Module, size_px: int, *, learning_rate: float, liven: Liven | None) -> None:
    """Train on eight windows of noise until the model has their labels by heart, or fail."""
    windows_BCTHW = torch.randn(8, 3, 8, size_px, size_px, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0.0, 1, 0, 1, 1, 0, 1, 0])[:, None]
    if liven is not None:
        liven(model, windows_BCTHW)
    tune_for_cpu(model)
    model.train()
    torch.manual_seed(0)  # of dropout and stochastic depth
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    for step in range(MAX_STEPS):
        loss = binary_cross_entropy_with_logits(model(windows_BCTHW), labels)
        assert step or loss > 0.5, "a model that knew the labels before would show nothing"
        if loss < BOUND:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"loss {loss:.3f} after {MAX_STEPS} steps")


FULL_SIZE = pytest.mark.skipif(
    "CHESTCT_FULL_SIZE" not in os.environ, reason="minutes: set CHESTCT_FULL_SIZE=1"
)


@pytest.mark.parametrize(
    "name", [*trained_whole(SMALL), *(pytest.param(name, marks=FULL_SIZE) for name in trained_whole(LARGE))]
)
def test_eight_windows_are_learned_by_heart(name: str, liven: Liven) -> None:
    size_px = 32 if name in SMALL else 64
    rates = dict.fromkeys(SMALL, 0.003) | {"x3d_m": 0.001}  # X3D has few channels and learns slowly
    model = build_model(name, num_slices=8, size_px=size_px, seed=0)
    # Hardly anything would pass through the LRCN's frozen part if it were fresh.
    frozen = MODELS[name].features_from is not None
    learn(model, size_px, learning_rate=rates.get(name, 0.0001), liven=liven if frozen else None)
