"""Results of a run: weights, learning curve, resolved configuration, and the record that ties them."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from safetensors.torch import save_file

from chestct.errors import InputError
from chestct.files import sha256_file
from chestct.records import check_record, recorded_path, write_recorded
from chestct.run import RUN_FILES, Run
from chestct.tables import read_table, write_table
from chestct.training.header import header_of, read_facts


def save_weights(
    state: dict[str, torch.Tensor], path: str | Path, facts: Mapping[str, Any] | None = None
) -> None:
    """Write a model's state as safetensors with its record, whole or not at all.

    Args:
        state: of the model.
        path: to write.
        facts: what the weights say of themselves (``training.header``), or None.

    Raises:
        InputError: it cannot be written.
    """
    with recorded_path(path) as temporary:
        header = None if facts is None else header_of(facts)
        save_file({key: value.contiguous() for key, value in state.items()}, temporary, metadata=header)


def write_results(
    folder: Path,
    state: dict[str, torch.Tensor],
    history: Sequence[Mapping[str, float | None]],
    resolved: dict[str, Any],
    row: dict[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Write weights.safetensors, history.csv, config.yaml and, last, run.csv.

    Args:
        folder: of the run.
        state: the weights that were kept: of a whole model, or of a frozen probe's head.
        history: rows of the learning curve; l2_strength is a probe's own column.
        resolved: configuration of the run.
        row: of the table ``runs`` (l2_strength likewise), without the digest of the weights and the versions,
            which are added.
        facts: what the weights say of themselves (``training.header``).
    """
    weights = folder / "weights.safetensors"
    save_weights(state, weights, facts)
    curve = pd.DataFrame([{"l2_strength": None, **row} for row in history])
    write_table(curve, folder / "history.csv", "history")
    write_recorded(folder / "config.yaml", yaml.safe_dump(resolved, sort_keys=False))
    row = {"l2_strength": None, **row} | {
        "final_weights_sha256": sha256_file(weights),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    write_table(pd.DataFrame([row]), folder / "run.csv", "runs")


def check_weights(path: str | Path, folder: str | None = None) -> str:
    """Compare weights with the record of the run that left them; pretraining leaves none.

    Args:
        path: of the weights.
        folder: of the run whose weights they must be (``Run.folder``), if that is known. A whole folder of
            another run, such as another fold, matches its record too.

    Returns:
        Their SHA-256.

    Raises:
        InputError: they are not what was written, or not those of the run.
    """
    found = check_record(path, "weight file")
    record = Path(path).with_name(RUN_FILES["record"])
    known = read_table(record, "runs")["final_weights_sha256"].tolist() if record.is_file() else []
    if len(known) == 1 and known != [found]:
        raise InputError(
            f"weights are not those of their run: SHA-256 {found}",
            where=path,
            expected=f"SHA-256 {known[0]}, as {record.name} says",
            remedy="put the run's own weights there, or train it again: "
            f"snakemake --cores all --forcerun {path}",
        )
    of_run = read_facts(path).get("run") if folder is not None else None
    if of_run is not None and Run(**of_run).folder != folder:
        raise InputError(
            f"weights are those of another run: {Run(**of_run)}",
            where=path,
            expected=f"those of {folder}",
            remedy="put the run's own folder there, or train it again: "
            f"snakemake --cores all --forcerun {path}",
        )
    return found
