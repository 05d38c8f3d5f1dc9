"""The study's models: one file each, built by name, all with one interface.

``forward(x_BCTHW) -> logits`` of shape (B, num_classes), without softmax or sigmoid, for windows of
T slices of H x W pixels in C = 3 channels, already normalised by the catalogue's mean and std.

Shape suffixes in this package: B batch, C channels, T slices (or frames) along z, H rows, W columns,
F features.
"""

import importlib
import sys
import types

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models.cpu import tune_for_cpu
from chestct.near_words import near, suggestion
from chestct.window_forms import SLICES_KEYS

__all__ = ["build_model", "is_head", "set_batchnorm_momentum", "tune_for_cpu"]


def build_model(name: str, *, num_slices: int, size_px: int, num_classes: int = 1, seed: int) -> nn.Module:
    """Build a model with fresh parameters that depend on ``seed`` and on nothing else.

    All arms of a model (scratch, video, CT) built with one seed share their fresh parameters, the head's
    among them; the caller's random state is left as it was.

    Args:
        name: a model of the catalogue.
        num_slices: T: what the model sees at once (``chestct.window_forms``).
        size_px: H and W of the windows.
        num_classes: logits a window; 1 in the study, more in pretraining.
        seed: of the fresh parameters.

    Raises:
        InputError: the catalogue does not know the model, the window is outside what is supported, or the
            catalogue names a head that the model does not have.
    """
    if name not in MODELS:
        similar = near(name, MODELS)
        hint = f"correct the name ({suggestion(name, similar)})" if similar else "correct the name"
        raise InputError(
            f"unknown model '{name}'",
            where="models",
            expected=f"one of {', '.join(MODELS)}",
            remedy=f"{hint}, or add the model to chestct/catalogue.yaml",
        )
    entry = MODELS[name]
    for what, value, limits, key in [
        ("slices", num_slices, entry.slices, SLICES_KEYS[entry.sees]),
        ("pixels", size_px, entry.size_px, "training.crop_px"),
    ]:
        if not limits[0] <= value <= limits[1]:
            raise InputError(
                f"a window of {value} {what} does not fit model '{name}'",
                where=f"configuration key '{key}'",
                expected=f"from {limits[0]} to {limits[1]} {what}",
                remedy="change the window in the configuration, or choose another model",
            )
    _leave_out_roi_align()
    module = importlib.import_module(f"chestct.models.{entry.module}")
    # Only 2D models skip slices; a 3D model that did would see another spacing.
    options = {"slice_step": entry.slice_step} if entry.family == "2d" else {}
    # devices=[]: the parameters are drawn on the CPU, whatever accelerators there are.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = getattr(module, entry.build)(num_slices, size_px, num_classes, **options)
    _check_head(model, name)
    return model


def _check_head(model: nn.Module, name: str) -> None:
    """Stop where the catalogue names a head that has no parameters: no arm would then start alike."""
    keys = [key for key, _ in model.named_parameters()]
    for prefix in MODELS[name].head:
        if any(_is_below(key, prefix) for key in keys):
            continue
        modules = [key.rpartition(".")[0] for key in keys]
        raise InputError(
            f"the head '{prefix}' of model '{name}' has no parameters",
            where=f"chestct/catalogue.yaml, models.{name}.head",
            expected="prefixes of the names of the classifier's parameters; the model's last ones are "
            f"{', '.join(keys[-2:])}",
            remedy=f"name the module of the classifier, such as {(near(prefix, modules) or modules[-1:])[0]}",
        )


def _leave_out_roi_align() -> None:
    """Import torchvision, which most models need, without its RoIAlign, which none does.

    It alone imports torch's compiler, which takes nearly as long as torch itself in every job.
    """
    name = "torchvision.ops.roi_align"
    if "torchvision" not in sys.modules:
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(roi_align=None, RoIAlign=None)


def is_head(key: str, name: str) -> bool:
    """Whether a parameter of model ``name`` belongs to its head, which starts fresh in every arm."""
    return any(_is_below(key, prefix) for prefix in MODELS[name].head)


def _is_below(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


def set_batchnorm_momentum(model: nn.Module, momentum: float) -> int:
    """Set the momentum of every BatchNorm layer's running statistics; returns how many there are.

    With a small momentum and few steps the statistics still describe the pretraining data at test time.
    Set it alike in every arm.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        layer.momentum = momentum
    return len(layers)
