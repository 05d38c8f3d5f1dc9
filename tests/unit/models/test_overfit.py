"""Every model learns eight windows by heart: gradients reach where they must, and no input is lost.

The models at full size do so too, in some minutes: ``CHESTCT_FULL_SIZE=1 pytest`` on this file.
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


@pytest.mark.parametrize("name", trained_whole(SMALL))
def test_eight_windows_are_learned_by_heart(name: str, liven: Liven) -> None:
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    # Through the LRCN's frozen part, were it fresh, hardly anything would pass.
    frozen = MODELS[name].features_from is not None
    learn(model, 32, learning_rate=0.003, liven=liven if frozen else None)


@pytest.mark.skipif("CHESTCT_FULL_SIZE" not in os.environ, reason="minutes: set CHESTCT_FULL_SIZE=1")
@pytest.mark.parametrize("name", trained_whole(LARGE))
def test_eight_windows_are_learned_by_heart_at_full_size(name: str, liven: Liven) -> None:
    model = build_model(name, num_slices=8, size_px=64, seed=0)
    frozen = MODELS[name].features_from is not None
    rate = 0.001 if name == "x3d_m" else 0.0001  # with few channels it learns slowly
    learn(model, 64, learning_rate=rate, liven=liven if frozen else None)
