"""Models as they are after some training: fresh ones hide what these tests look at."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@pytest.fixture
def liven() -> Callable[[nn.Module, torch.Tensor], None]:
    """A function that gives a fresh model living activations: ``liven(model, x_BCTHW)``.

    Scales that start at zero hide the branches behind them, and running statistics of no data let
    activations fade from layer to layer.
    """

    def run(model: nn.Module, x_BCTHW: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
            layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
            model.eval()
            for layer in layers:
                layer.momentum = 1.0
                layer.train()
            model(x_BCTHW)
        model.eval()

    return run
