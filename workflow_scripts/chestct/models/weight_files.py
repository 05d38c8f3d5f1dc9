"""Reading weight files: the hash is checked first, and no format can run code on the way in."""

import hashlib
import io
import pickle
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
            remedy="delete the file and rerun, so that it is fetched again",
        )
    return content, found


def _refusal(path: str | Path, kind: str, error: Exception) -> InputError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return InputError(
        f"weight file is not {kind}: {reason}",
        where=path,
        expected=f"{kind} and nothing else",
        remedy="delete the file and rerun, so that it is written again; do not trust a file from elsewhere",
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


def load_numpy_pickle(path: str | Path, sha256: str | None = None) -> dict[str, Any]:
    """Read a pickled tree of dicts and NumPy arrays with an unpickler that admits nothing else.

    Raises:
        InputError: missing, wrong hash, or anything in it but dicts of arrays.
    """
    content, _ = read_checked(path, sha256)
    return parse_numpy_pickle(content, path)


def parse_numpy_pickle(content: bytes, path: str | Path) -> dict[str, Any]:
    """As ``load_numpy_pickle``, for content already read; ``path`` is for messages."""
    try:
        tree = _ClosedUnpickler(io.BytesIO(content)).load()
        for _ in walk_arrays({"": tree}):
            pass
    except Exception as error:  # a damaged pickle can fail in any way
        raise _refusal(path, "a pickle of NumPy arrays", error) from error
    return tree


def load_torch(path: str | Path, sha256: str | None = None) -> Tensors:
    """Read a PyTorch checkpoint of named tensors (``weights_only``).

    Raises:
        InputError: missing, wrong hash, or anything in it but named tensors.
    """
    content, _ = read_checked(path, sha256)
    return parse_torch(content, path)


def parse_torch(content: bytes, path: str | Path) -> Tensors:
    """As ``load_torch``, for content already read; ``path`` is for messages."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
        for key, value in state.items():
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"{key} is {type(value).__name__}")
    except Exception as error:  # a damaged file can fail in any way
        raise _refusal(path, "a PyTorch checkpoint of named tensors", error) from error
    return dict(state)


def load_safetensors(path: str | Path, sha256: str | None = None) -> Tensors:
    """Read one of the study's own weight files.

    Raises:
        InputError: missing, wrong hash, or not in safetensors format.
    """
    content, _ = read_checked(path, sha256)
    return parse_own(content, path)


def parse_own(content: bytes, path: str | Path) -> Tensors:
    """As ``load_safetensors``, for content already read; ``path`` is for messages."""
    try:
        return parse_safetensors(content)
    except SafetensorError as error:
        raise _refusal(path, "a safetensors file", error) from error
