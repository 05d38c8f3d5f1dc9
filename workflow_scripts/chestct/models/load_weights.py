"""Initial weights: loaded with proof that no parameter was left out and no other was in the file."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import is_head
from chestct.models.position_embeddings import resize_position_embeddings
from chestct.models.published_key_names import Published
from chestct.models.weight_files import Tensors, parse_own, read_checked


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What a load did.

    Attributes:
        num_loaded: parameters and buffers that came from the file.
        fresh: the head's parameters that stayed as they were drawn.
        resized: position embeddings that were resampled to the model's window.
        sha256: of the file, for the run's record.
    """

    num_loaded: int
    fresh: tuple[str, ...]
    resized: tuple[str, ...] = ()
    sha256: str


def _same_kind(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether both are fractions or both whole numbers; fractions of 8 bits are no weights as they are."""
    coarse = found.is_floating_point() and found.element_size() < 2
    return found.is_floating_point() == wanted.is_floating_point() and not coarse and not found.is_complex()


def _check(tensors: Tensors, wanted: Tensors, optional: set[str], *, name: str, path: str | Path) -> None:
    missing = sorted(wanted.keys() - tensors.keys() - optional)
    unexpected = sorted(tensors.keys() - wanted.keys())
    shared = sorted(tensors.keys() & wanted.keys())
    shapes = [
        f"{key}: {tuple(tensors[key].shape)} for {tuple(wanted[key].shape)}"
        for key in shared
        if tensors[key].shape != wanted[key].shape
    ]
    fitting = [key for key in shared if tensors[key].shape == wanted[key].shape]
    kinds = [key for key in fitting if not _same_kind(tensors[key], wanted[key])]
    fitting = [key for key in fitting if key not in kinds]
    broken = [key for key in fitting if not torch.isfinite(tensors[key]).all()]
    # Whole numbers are no weights: tables that the architecture gives, such as Swin's of relative positions.
    tables = [
        key
        for key in fitting
        if not wanted[key].is_floating_point()
        and key not in optional
        and not torch.equal(tensors[key].to(wanted[key].dtype), wanted[key])
    ]
    for problem, keys in [
        ("lacks parameters", missing),
        ("holds parameters that the model does not have", unexpected),
        ("holds parameters of another shape", shapes),
        ("holds numbers of another kind", kinds),
        ("holds values that are not finite", broken),
        ("holds tables that the model does not have", tables),
    ]:
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise InputError(
                f"weight file {problem}: {', '.join(keys[:5])}{more}",
                where=path,
                expected=f"every parameter of model '{name}' but its head, in its shape, and no other",
                remedy="use weights of this model, trained on windows of this size, or rerun what wrote them",
            )


def _check_classes(tensors: Tensors, num_classes: int, *, name: str, path: str | Path) -> None:
    found = sorted({tuple(tensor.shape[:1]) for key, tensor in tensors.items() if is_head(key, name)})
    if found != ([(num_classes,)] if num_classes else []):
        classes = ", ".join(str(size) for sizes in found for size in sizes) or "no"
        raise InputError(
            f"weight file has a classifier for {classes} class(es)",
            where=path,
            expected=f"{num_classes or 'no'} classes, those of the data that the weights table names",
            remedy="replace it by the file that the table names: this one was trained on other data",
        )


def load_own_weights(model: nn.Module, *, name: str, path: str | Path) -> None:
    """Load a whole model that a run of the study left, and prove it.

    Args:
        model: built by ``build_model(name, ...)``.
        name: its name in the catalogue.
        path: safetensors.

    Raises:
        InputError: missing file, unreadable format, or any parameter that is missing, unexpected, of another
            shape or not finite. The model is then unchanged.
    """
    tensors, state = parse_own(read_checked(path, None)[0], path), model.state_dict()
    counts = {key for key in state if key.endswith("num_batches_tracked")}
    _check(tensors, state, counts, name=name, path=path)
    with torch.no_grad():
        for key, tensor in tensors.items():
            state[key].copy_(tensor)


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
    Published position embeddings are resized to the model's window; the study's own must fit it.

    Args:
        model: built by ``build_model(name, ...)``.
        name: its name in the catalogue.
        init: starting point that the file stands for.
        path: the file.
        sha256: expected digest; None reads what is there and reports its digest.
        with_head: load the file's classifier too, whose classes must then be the model's.

    Raises:
        InputError: missing file, wrong hash, unreadable format, or any parameter outside the head that is
            missing, unexpected, of another shape or not finite, or published weights whose classifier shows
            that they were trained on other data. The model is then unchanged.
    """
    entry = MODELS[name]
    content, found = read_checked(path, sha256)
    state = model.state_dict()
    resized: tuple[str, ...] = ()
    published: Published | None = None
    if init in entry.weights:
        module = importlib.import_module(f"chestct.models.{entry.module}")
        published = module.PUBLISHED[entry.weights[init]]
    if published is not None:
        tensors = published.rename(published.read(content, path))
        resized = resize_position_embeddings(tensors, state)
    else:
        tensors = parse_own(content, path)
    head = {key for key in state if is_head(key, name)}
    # Neither head takes part: the file's belongs to other classes, the model's stays fresh.
    used = {key: tensor for key, tensor in tensors.items() if with_head or not is_head(key, name)}
    wanted = {key: tensor for key, tensor in state.items() if with_head or key not in head}
    # Published statistics come without a count of batches, which only a BatchNorm without a momentum uses.
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    _check(used, wanted, optional, name=name, path=path)
    if published is not None:
        _check_classes(tensors, published.num_classes, name=name, path=path)
    with torch.no_grad():
        for key, tensor in used.items():
            state[key].copy_(tensor)
    fresh = () if with_head else tuple(sorted(head))
    return LoadReport(num_loaded=len(used), fresh=fresh, resized=resized, sha256=found)
