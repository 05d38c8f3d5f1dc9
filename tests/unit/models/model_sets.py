"""Which models are quick to build, how to build the others quickly, and weights as after some training."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model

#: A probe is built like the model whose features it reads, models of slices and scans like those of windows.
_NETWORKS = {
    name: entry for name, entry in MODELS.items() if entry.probe_of is None and entry.sees == "window"
}
_SMALL_IN_FULL = ("i3d", "shufflenet3d_0.5x", "nodule_cnn", "efficientnet_lite0", "lrcn_efficientnet_lite0")
#: Models that are built and run in a blink; the others are the study's at full size.
SMALL = [name for name, entry in _NETWORKS.items() if entry.build == "build_narrow" or name in _SMALL_IN_FULL]
LARGE = [name for name in _NETWORKS if name not in SMALL]


def make_windows(num_slices: int = 8, size_px: int = 32, num_windows: int = 2, seed: int = 0) -> torch.Tensor:
    """Windows of noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_windows, 3, num_slices, size_px, size_px, generator=generator)


@contextmanager
def refused_weights(model: nn.Module, path: Path, message: str) -> Iterator[None]:
    """Loading must be refused with a message that names the file, and leave the model as it was."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(InputError, match=message) as error:
        yield
    assert str(path) in str(error.value)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


class Bomb:
    """What a hostile pickle looks like: it creates a file where it is unpickled carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@lru_cache
def build_on_meta(name: str, *, num_slices: int, size_px: int, num_classes: int = 1) -> nn.Module:
    """A model of shapes alone."""
    # MViT's constructor computes its widths with tensors; those must have numbers.
    real = {function: partial(getattr(torch, function), device="cpu") for function in ("linspace", "ones")}
    with torch.device("meta"), mock.patch.multiple(torch, **real):
        model = build_model(name, num_slices=num_slices, size_px=size_px, num_classes=num_classes, seed=0)
    return model.to("meta").eval()


@contextmanager
def without_drawing() -> Iterator[None]:
    """Models built meanwhile have zeros for fresh weights, which takes no time: to be filled or loaded.

    Not whatever lies in memory: that may be no number, which equals nothing, not even itself.
    """
    names = ("kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "normal_", "uniform_")
    with mock.patch.multiple(
        nn.init, **dict.fromkeys(names, lambda tensor, *_, **__: nn.init.zeros_(tensor))
    ):
        yield


def fill(state: dict[str, torch.Tensor], seed: int = 0) -> None:
    """Weights as after training, in place: no scale is zero, no statistics are those of no data."""
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in state.items():
        if not tensor.is_floating_point():
            if key.endswith("num_batches_tracked"):
                tensor.fill_(3)
        elif key.endswith("running_var") or (tensor.ndim == 1 and key.endswith("weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            bound = 0.1 if tensor.ndim == 1 else math.sqrt(3 / math.prod(tensor.shape[1:]))
            tensor.uniform_(-bound, bound, generator=generator)


def thin(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of the same names and shapes whose tensors repeat one number: a file of a few kilobytes."""
    return {
        key: tensor.new_ones(()).expand(tensor.shape) if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }
