"""Initial weights: loaded with proof that nothing was missed and nothing slipped in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import is_head
from chestct.models.weight_files import (
    Tensors,
    load_numpy_pickle,
    load_safetensors,
    load_torch,
    parse_numpy_pickle,
    parse_own,
    parse_torch,
    read_checked,
    walk_arrays,
)

__all__ = ["LoadReport", "load_initial_weights", "load_numpy_pickle", "load_safetensors", "load_torch"]


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What a load did.

    Attributes:
        num_loaded: parameters and buffers that came from the file.
        fresh: the head's parameters that stayed as they were drawn.
        sha256: of the file, for the run's record.
    """

    num_loaded: int
    fresh: tuple[str, ...]
    sha256: str


def map_i3d(tree: Mapping[str, Any]) -> Tensors:
    """Rename and transpose the published I3D tree for ``chestct.models.i3d``.

    Kernels (T, H, W, in, out) become (out, in, T, H, W); running statistics become flat.
    """
    tensors: Tensors = {}
    for names, array in walk_arrays(tree):
        # (params or batch_stats, layer, [branch and unit,] kind, value)
        layer = ".".join(names[1:-2]).replace("/", ".").lower()
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        is_kernel = names[-1] == "kernel" and tensor.ndim == 5
        if layer.startswith("logits."):
            # The classifier is a 1x1x1 convolution there, a linear layer on pooled features here.
            key = f"logits.{'weight' if is_kernel else names[-1]}"
            tensors[key] = tensor.flatten(0, -2).T.contiguous() if is_kernel else tensor
        elif is_kernel:
            tensors[f"layers.{layer}.conv.weight"] = tensor.permute(4, 3, 0, 1, 2).contiguous()
        else:
            kind = {"mean": "running_mean", "var": "running_var"}.get(names[-1], names[-1])
            tensors[f"layers.{layer}.norm.{kind}"] = tensor.flatten()
    return tensors


def map_efficientnet_lite(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Rename the published EfficientNet-Lite state for ``chestct.models.efficientnet``."""
    return {
        f"head.{key.removeprefix('_fc.')}" if key.startswith("_fc.") else f"backbone.{key}": tensor
        for key, tensor in state.items()
    }


def _parse_published(weights_id: str, content: bytes, path: str | Path) -> Tensors:
    if weights_id == "i3d_kinetics400":
        return map_i3d(parse_numpy_pickle(content, path))
    if weights_id == "efficientnet_lite0_imagenet":
        return map_efficientnet_lite(parse_torch(content, path))
    raise AssertionError(f"the catalogue names weights '{weights_id}' that no reader is written for")


def _check(tensors: Tensors, wanted: Tensors, optional: set[str], *, name: str, path: str | Path) -> None:
    missing = sorted(wanted.keys() - tensors.keys() - optional)
    unexpected = sorted(tensors.keys() - wanted.keys())
    shared = sorted(tensors.keys() & wanted.keys())
    shapes = [
        f"{key}: {tuple(tensors[key].shape)} for {tuple(wanted[key].shape)}"
        for key in shared
        if tensors[key].shape != wanted[key].shape
    ]
    broken = [key for key in shared if not torch.isfinite(tensors[key]).all()]
    for problem, keys in [
        ("lacks parameters", missing),
        ("holds parameters that the model does not have", unexpected),
        ("holds parameters of another shape", shapes),
        ("holds values that are not finite", broken),
    ]:
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise InputError(
                f"weight file {problem}: {', '.join(keys[:5])}{more}",
                where=path,
                expected=f"every parameter of model '{name}' but its head, in its shape, and no other",
                remedy="use weights of this model, trained on windows of this size, or rerun what wrote them",
            )


def load_initial_weights(
    model: nn.Module,
    *,
    name: str,
    init: str,
    path: str | Path,
    sha256: str | None,
    with_head: bool = False,
) -> LoadReport:
    """Load all of a model but its head, and prove it.

    The format follows from the catalogue: published weights where it names them for ``init``, else the
    study's own safetensors (pretraining, CT training, or the 2D model that supplies an LRCN's features).

    Args:
        model: built by ``build_model(name, ...)``.
        name: its name in the catalogue.
        init: starting point that the file stands for.
        path: the file.
        sha256: expected digest; None reads what is there and reports its digest.
        with_head: load the file's classifier too, whose classes must then be the model's.

    Raises:
        InputError: missing file, wrong hash, unreadable format, or any parameter outside the head that is
            missing, unexpected, of another shape or not finite. The model is then unchanged.
    """
    entry = MODELS[name]
    content, found = read_checked(path, sha256)
    if init in entry.weights:
        tensors = _parse_published(entry.weights[init], content, path)
    else:
        tensors = parse_own(content, path)
    state = model.state_dict()
    head = {key for key in state if is_head(key, name)}
    if not with_head:
        # The heads of both sides stay out: the file's own belongs to other classes.
        tensors = {key: tensor for key, tensor in tensors.items() if not is_head(key, name)}
    wanted = {key: tensor for key, tensor in state.items() if with_head or key not in head}
    # Published statistics come without a count of batches; it matters to no model with a set momentum.
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    _check(tensors, wanted, optional, name=name, path=path)
    with torch.no_grad():
        for key, tensor in tensors.items():
            state[key].copy_(tensor)
    fresh = () if with_head else tuple(sorted(head))
    return LoadReport(num_loaded=len(tensors), fresh=fresh, sha256=found)
