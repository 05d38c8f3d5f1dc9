"""Which models have BatchNorm that is trained, and what computing a batch in parts does to their step."""

import copy
from functools import cache

import pytest
import torch
from model_sets import SMALL, build_on_meta, make_windows
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from chestct.catalogue import MODELS
from chestct.models import build_model
from chestct.training.budget import Batches
from chestct.training.loop import Step
from chestct.training.schedule import Schedule


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if not entry.frozen])
def test_the_catalogue_says_whose_batchnorm_is_trained(name):
    num_slices = 1 if MODELS[name].sees == "slice" else 16
    model = copy.deepcopy(build_on_meta(name, num_slices=num_slices, size_px=64))
    model.train()
    trained = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.training]
    assert bool(trained) == MODELS[name].batchnorm


def without_chance(model):
    """Switch off dropout and stochastic depth, which are drawn anew for every part."""
    for module in model.modules():
        for key in ("p", "drop_prob", "dropout", "attention_dropout"):
            if isinstance(vars(module).get(key), float):
                setattr(module, key, 0.0)
        if hasattr(module, "survival"):
            module.survival = 1.0


@cache
def gradient(name, parts):
    """Of the training loop's own step on a batch of 16 windows, computed in so many parts."""
    model = build_model(name, num_slices=16, size_px=32, num_classes=1, seed=0)
    without_chance(model)
    batches = Batches(size=16, accumulate=parts)
    step = Step(
        model,
        lambda piece: (piece[0], piece[1]),
        nn.functional.binary_cross_entropy_with_logits,
        Schedule(learning_rate=1e-3, weight_decay=0.0, num_steps=1),
        precision="32-true",
        gpus=0,
        batches=batches,
    )
    windows, targets = make_windows(16, 32, num_windows=16), (torch.arange(16) % 2).float()[:, None]
    torch.manual_seed(parts)  # whatever chance is left shows
    step((windows[rows], targets[rows]) for rows in batches.own(list(range(16))))
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def difference(name, parts):
    """Length of the difference to the gradient of the whole batch, relative to that one's."""
    whole = gradient(name, 1)
    return float((gradient(name, parts) - whole).norm() / whole.norm())


WITHOUT = [name for name in SMALL if not MODELS[name].batchnorm]


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("parts", [2, 8])
def test_parts_of_a_batch_give_its_gradient(name, parts):
    assert difference(name, parts) < 1e-4  # rounding: 1e-7 to 1.2e-5, by model and processor


def test_with_batchnorm_they_do_not():
    assert difference("slow_narrow", 8) > 0.1
