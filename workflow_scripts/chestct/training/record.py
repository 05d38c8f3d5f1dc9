"""Results of a run: weights, learning curve, resolved configuration, and the record that ties them."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from safetensors.torch import save_file

from chestct.files import atomic_path, sha256_file, write_text
from chestct.tables import write_table


def save_weights(state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Write a model's state as safetensors, whole or not at all."""
    with atomic_path(path) as temporary:
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)


def write_results(
    folder: Path,
    state: dict[str, torch.Tensor],
    history: Sequence[Mapping[str, float | None]],
    resolved: dict[str, Any],
    row: dict[str, Any],
) -> None:
    """Write weights.safetensors, history.csv, config.yaml and, last, run.csv.

    Args:
        folder: of the run.
        state: the weights that were kept: of a whole model, or of a frozen probe's head.
        history: rows of the learning curve; l2_strength is a probe's own column.
        resolved: configuration of the run.
        row: of the table ``runs`` (l2_strength likewise), without the digest of the weights and the versions,
            which are added.
    """
    weights = folder / "weights.safetensors"
    save_weights(state, weights)
    curve = pd.DataFrame([{"l2_strength": None, **row} for row in history])
    write_table(curve, folder / "history.csv", "history")
    write_text(folder / "config.yaml", yaml.safe_dump(resolved, sort_keys=False))
    row = {"l2_strength": None, **row} | {
        "final_weights_sha256": sha256_file(weights),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    write_table(pd.DataFrame([row]), folder / "run.csv", "runs")
