"""Reading weight files: the hash is checked first, and no format can run code on the way in."""

import hashlib
import io
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors

from chestct.errors import InputError

Tensors = dict[str, torch.Tensor]

#: All that a pickle of plain NumPy arrays calls for, under NumPy's old and new module names.
_PICKLE_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}

#: Objects that checkpoints of whole trainings hold beside tensors, numbers and text: metrics as NumPy
#: scalars, arguments, and (PENet's) the learning-rate schedule. None of them is needed. Each is read as
#: an ``_Inert``: what the file names is neither imported nor called.
_INERT_GLOBALS = (
    "argparse.Namespace",
    "functools.partial",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "util.optim_util.linear_warmup_then_cosine",
)


class _Inert:
    """Stands for an object that is not needed: it accepts any arguments and any state, and keeps neither."""

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _ClosedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PICKLE_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not a NumPy array")
        return _PICKLE_GLOBALS[module, name]


def read_checked(path: str | Path, sha256: str | None) -> tuple[bytes, str]:
    """The file's content and its SHA-256.

    Raises:
        InputError: the file is missing, or ``sha256`` was given and is another.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "weight file is missing",
            where=path,
            expected="a file of initial weights",
            remedy="let the workflow's download or pretraining step write it, or correct the path",
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise InputError(
            f"weight file has the wrong SHA-256: {found}",
            where=path,
            expected=sha256,
            remedy="fetch it again "
            "(snakemake --cores all --forcerun download_weights): a right file stays as it is",
        )
    return content, found


def _reason(error: Exception) -> str:
    """The error in one line; PyTorch's without its advice to load the file anyway."""
    text = str(error)
    asked_for = re.search(r"GLOBAL (\S+)", text)
    if asked_for:
        return f"it asks for {asked_for[1]}, which no tensor needs"
    found = re.search(r"WeightsUnpickler error: (.+)", text)
    return found[1] if found else next(iter(text.splitlines()), type(error).__name__)


def _refusal(path: str | Path, kind: str, error: Exception) -> InputError:
    reason = _reason(error)
    return InputError(
        f"weight file is not {kind}: {reason}",
        where=path,
        expected=f"{kind} and nothing else",
        remedy="run the rule that makes it again "
        "(snakemake --cores all --forcerun, with its path); do not trust a file "
        "from elsewhere",
    )


def walk_arrays(tree: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Every array of a tree of dicts, with the names that lead to it.

    Raises:
        TypeError: the tree holds anything but dicts and arrays of numbers.
    """
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield from walk_arrays(branch, (*names, str(name)))
    elif isinstance(tree, np.ndarray) and tree.dtype.kind in "fiu":
        yield names, tree
    else:
        raise TypeError(f"{'/'.join(names) or 'it'} is {type(tree).__name__}, not an array of numbers")


def parse_numpy_pickle(content: bytes, path: str | Path) -> dict[str, Any]:
    """Read a pickled tree of dicts and NumPy arrays with an unpickler that admits nothing else.

    Args:
        content: of the file, whose hash was checked.
        path: for messages.

    Raises:
        InputError: anything in it but dicts of arrays.
    """
    try:
        tree = _ClosedUnpickler(io.BytesIO(content)).load()
        for _ in walk_arrays({"": tree}):
            pass
    except Exception as error:  # a damaged pickle can fail in any way
        raise _refusal(path, "a pickle of NumPy arrays", error) from error
    return tree


def parse_torch(content: bytes, path: str | Path) -> Tensors:
    """Read a PyTorch checkpoint of named tensors (``weights_only``); ``path`` is for messages.

    Raises:
        InputError: anything in it but named tensors.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return _named_tensors(state)
    except Exception as error:  # a damaged file can fail in any way
        raise _refusal(path, "a PyTorch checkpoint of named tensors", error) from error


def parse_training_checkpoint(content: bytes, path: str | Path, *, state_key: str = "model_state") -> Tensors:
    """The model's tensors from the checkpoint of a whole training.

    What lies beside them (epoch, optimiser, schedule, settings) is read with PyTorch's closed unpickler
    and dropped.

    Args:
        content: of the file, whose hash was checked.
        path: for messages.
        state_key: under which the checkpoint has the model's tensors.

    Raises:
        InputError: no named tensors there, or anything outside a closed list of harmless types.
    """
    harmless = [(_Inert, name) for name in _INERT_GLOBALS]
    try:
        with torch.serialization.safe_globals(harmless):  # type: ignore[arg-type]
            checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict) or state_key not in checkpoint:
            raise TypeError(f"it has no '{state_key}'")
        return _named_tensors(checkpoint[state_key])
    except Exception as error:  # a damaged file can fail in any way
        raise _refusal(path, f"a PyTorch training checkpoint with a '{state_key}'", error) from error


def _named_tensors(state: Any) -> Tensors:
    if not isinstance(state, dict):
        raise TypeError(f"it holds a {type(state).__name__}")
    for key, value in state.items():
        # A tensor can also be one of no storage, sparse or quantised: none of them is weights as they are.
        plain = isinstance(value, torch.Tensor) and value.device.type == "cpu"
        if not plain or value.layout != torch.strided or value.is_quantized:
            raise TypeError(f"{key} is {type(value).__name__}, not a plain tensor")
    return {str(key): value for key, value in state.items()}


def parse_own(content: bytes, path: str | Path) -> Tensors:
    """Read one of the study's own weight files (safetensors); ``path`` is for messages.

    Raises:
        InputError: not in safetensors format.
    """
    try:
        return parse_safetensors(content)
    except (SafetensorError, KeyError) as error:  # KeyError: numbers of a kind that PyTorch does not have
        raise _refusal(path, "a safetensors file", error) from error
