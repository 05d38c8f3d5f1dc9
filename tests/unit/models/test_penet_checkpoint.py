"""PENet's published form, from the protocol's text alone: names, shapes, what it computes, its checkpoint.

Nothing here comes from ``chestct.models.penet`` but what is tested.
"""

import argparse
import functools
import math
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_sets import Bomb, build_on_meta, fill, refused_weights, thin, without_drawing
from penet_protocol import protocol_logits, protocol_shapes
from torch import nn

from chestct.errors import InputError
from chestct.models import build_model
from chestct.models.load_weights import LoadReport, load_initial_weights


def filled(num_classes: int = 600) -> dict[str, torch.Tensor]:
    state = {key: torch.empty(shape) for key, shape in protocol_shapes(num_classes).items()}
    fill(state)
    return state


def test_names_and_shapes_are_those_of_the_protocol() -> None:
    model = build_on_meta("penet", num_slices=24, size_px=192, num_classes=600)
    expected = protocol_shapes()
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == expected
    assert len(expected) == 225
    count = sum(math.prod(shape) for shape in expected.values())
    assert count == sum(parameter.numel() for parameter in model.parameters())
    # A stem of 65,984, then blocks, then 2048 x 600 and its bias: about 29.6 million.
    assert round(count / 1e6, 1) == 29.6


# --- The checkpoint, as the authors' ModelSaver writes it


def linear_warmup_then_cosine(last_iter: int) -> float:
    raise AssertionError("what a checkpoint names must not run")


@pytest.fixture
def authors_code(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module whose function their schedule names; it is there only while a file is written."""
    module = types.ModuleType("util.optim_util")
    function = types.FunctionType(linear_warmup_then_cosine.__code__, {}, "linear_warmup_then_cosine")
    function.__module__ = module.__name__
    function.__qualname__ = "linear_warmup_then_cosine"
    module.linear_warmup_then_cosine = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "util", types.ModuleType("util"))
    monkeypatch.setitem(sys.modules, "util.optim_util", module)
    return module


def write_checkpoint(
    path: Path,
    state: dict[str, torch.Tensor],
    module: types.ModuleType,
    *,
    more: dict[str, Any] | None = None,
) -> None:
    """As saved in 2018: PyTorch 0.4's format, a metric from NumPy, a schedule with its function."""
    schedule = functools.partial(module.linear_warmup_then_cosine, warmup=10000, max_iter=300000)
    group = {"lr": 0.1, "momentum": 0.9, "dampening": 0.9, "nesterov": False, "params": [1, 2]}
    checkpoint = {
        "ckpt_info": {"epoch": 90, "val_loss": np.float64(1.5)},
        "model_name": "PENetClassifier",
        "model_args": {"model_depth": 50, "cardinality": 32, "num_classes": 600, "num_channels": 3},
        "model_state": OrderedDict((f"module.{key}", tensor) for key, tensor in state.items()),
        "optimizer": {"state": {1: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [group]},
        "lr_scheduler": {"base_lrs": [0.1], "last_epoch": 7, "lr_lambdas": [schedule]},
        "args": argparse.Namespace(learning_rate=0.1, gpu_ids=[0, 1]),
    }
    torch.save(checkpoint | (more or {}), path, _use_new_zipfile_serialization=False)


def load(model: nn.Module, path: Path, **options: Any) -> LoadReport:
    return load_initial_weights(model, name="penet", init="video", path=path, sha256=None, **options)


def test_loaded_penet_computes_what_the_protocol_says(
    tmp_path: Path, authors_code: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = tmp_path / "penet.weights", filled()
    write_checkpoint(path, state, authors_code)
    # From here on the authors' code is not there, as on a user's machine.
    for name in ("util", "util.optim_util"):
        monkeypatch.delitem(sys.modules, name)
    with without_drawing():
        model = build_model("penet", num_slices=8, size_px=64, num_classes=600, seed=0).eval()
    report = load(model, path, with_head=True)
    assert report.num_loaded == 225
    assert not any(name.startswith("util") and "optim" in name for name in sys.modules)
    x_BCTHW = torch.randn(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = protocol_logits(state, x_BCTHW), model(x_BCTHW)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.05
    assert (expected[0] - expected[1]).abs().max() > 0.01


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with without_drawing():
        return build_model("penet", num_slices=8, size_px=32, num_classes=1, seed=0)


@pytest.mark.parametrize("renamed", [False, True])
def test_all_but_the_head_is_loaded_under_either_name_of_the_network(
    tmp_path: Path, authors_code: types.ModuleType, model: nn.Module, renamed: bool
) -> None:
    state = thin(filled())
    if renamed:
        old = {"penet_blocks": "xnet_blocks", "classifier.fc": "fc"}
        for new, name in old.items():
            state = {key.replace(new, name): tensor for key, tensor in state.items()}
    path = tmp_path / "penet.weights"
    write_checkpoint(path, state, authors_code)
    report = load(model, path)
    assert report.num_loaded == 223
    assert report.fresh == ("classifier.fc.bias", "classifier.fc.weight")
    assert all((p == 1).all() for key, p in model.named_parameters() if not key.startswith("classifier"))


def test_one_parameter_under_both_names_of_the_network_is_refused(
    tmp_path: Path, authors_code: types.ModuleType, model: nn.Module
) -> None:
    path = tmp_path / "penet.weights"
    twice = {"encoders.0.xnet_blocks.0.conv1.weight": torch.ones(128, 64, 1, 1, 1)}
    write_checkpoint(path, thin(filled()) | twice, authors_code)
    with pytest.raises(InputError, match=r"does not have: .*xnet"):
        load(model, path)


def test_checkpoint_that_was_trained_on_ct_is_refused(
    tmp_path: Path, authors_code: types.ModuleType, model: nn.Module
) -> None:
    """The authors publish their pulmonary embolism network too: one class, otherwise the same tensors."""
    path = tmp_path / "penet_best.weights"
    write_checkpoint(path, thin(filled(num_classes=1)), authors_code)
    with refused_weights(model, path, r"classifier for 1 class(.|\n)*600 classes"):
        load(model, path)


class ShellBomb(Bomb):
    """The same by the shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return (os.system, (f"touch {self.target}",))


@pytest.mark.parametrize("bomb", [Bomb, ShellBomb])
@pytest.mark.parametrize("where", ["args", "model_state", "in a schedule"])
def test_hostile_checkpoint_runs_nothing(
    tmp_path: Path, authors_code: types.ModuleType, model: nn.Module, bomb: type[Bomb], where: str
) -> None:
    path, target = tmp_path / "penet.weights", tmp_path / "ran"
    more: dict[str, Any] = {where: bomb(target)}
    if where == "in a schedule":  # within an object of the closed list, which is admitted as an inert one
        more = {"lr_scheduler": functools.partial(authors_code.linear_warmup_then_cosine, bomb(target))}
    write_checkpoint(path, {}, authors_code, more=more)
    with pytest.raises(InputError, match="it asks for") as error:
        load(model, path)
    assert "which no tensor needs" in str(error.value)
    assert "weights_only" not in str(error.value), "no advice to load it anyway"
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists(), "the bomb must be a real one"


def test_harmless_objects_are_read_as_nothing(
    tmp_path: Path, authors_code: types.ModuleType, model: nn.Module
) -> None:
    """What the closed list admits is never called, even where it could be."""
    path, target = tmp_path / "penet.weights", tmp_path / "ran"

    class Call:
        def __reduce__(self) -> tuple[Any, ...]:
            return (functools.partial(Path.touch), (target,))

    write_checkpoint(path, thin(filled()), authors_code, more={"args": functools.partial(np.dtype, "f8")})
    assert load(model, path).num_loaded == 223
    write_checkpoint(path, thin(filled()), authors_code, more={"args": Call()})
    with pytest.raises(InputError, match="not a PyTorch training checkpoint"):
        load(model, path)
    assert not target.exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"model_state": [1]}, "text"])
def test_checkpoints_without_a_model_state_are_refused(
    tmp_path: Path, model: nn.Module, content: object
) -> None:
    path = tmp_path / "penet.weights"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"no 'model_state'|it holds a list"):
        load(model, path)
