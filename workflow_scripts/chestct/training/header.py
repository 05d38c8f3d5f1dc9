"""The header of a file of weights, in which a run says of itself all that scoring a new scan takes.

The header of a safetensors file holds text by name. The facts are JSON under one name (``HEADER_NAME``): with
several, safetensors writes them in an order that changes, and a rerun would give another file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from chestct.errors import InputError

HEADER_NAME = "chestct"
#: What a file of weights holds: a whole network, or the head that was fitted on another network's features.
NETWORK, HEAD = "network", "head"


def header_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """The header of a file of weights."""
    return {HEADER_NAME: json.dumps(facts, ensure_ascii=False, allow_nan=False)}


def read_facts(path: str | Path) -> dict[str, Any]:
    """The facts in the header of a file of weights; no tensor is read.

    Returns:
        Empty where the file says nothing of itself, as published weights do.

    Raises:
        InputError: the file is missing or no safetensors file, or its facts do not parse.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        facts = json.loads(header.get(HEADER_NAME, "{}"))
        if not isinstance(facts, dict):
            raise ValueError(f"they are {type(facts).__name__}")
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise InputError(
            f"the header of a weight file cannot be read: {error}",
            where=path,
            expected="weights.safetensors as a run of this workflow leaves it",
            remedy="take the file from the study's folder anew, or let the workflow train the run again",
        ) from error
    return facts
