"""Trials of the learning-rate search: ordinary runs, of which some may diverge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from safetensors.torch import save_file

from chestct.errors import DivergenceError
from chestct.files import atomic_path, write_text
from chestct.tables import column_types, write_table
from chestct.training.finetune import Job, finetune, finish


def try_learning_rates(
    job: Job, specs: Sequence[Mapping[str, Any]], folders: Sequence[str], *, threads: int
) -> None:
    """Train one run with several learning rates, a folder each.

    A trial that diverges is a result, not a failure: it leaves its message, tables without rows and
    weights without tensors, which no model can be loaded from.

    Args:
        job: what the trials share.
        specs: of every trial, ``run``, ``initial`` and ``learning_rate`` (see ``finetune``).
        folders: output folder of every trial.
        threads: CPU threads that torch may use.
    """
    for spec, folder in zip(specs, folders, strict=True):
        print(f"learning rate {spec['learning_rate']:g}", flush=True)
        try:
            finetune(job, [spec], [folder], threads=threads, done=False)
        except DivergenceError as error:
            print(f"learning rate {spec['learning_rate']:g} is out: {error.what}", flush=True)
            _leave_nothing(Path(folder), spec, error.what)
    finish(folders)


def _leave_nothing(folder: Path, spec: Mapping[str, Any], message: str) -> None:
    for name, file in (("runs", "run.csv"), ("history", "history.csv")):
        write_table(pd.DataFrame(columns=list(column_types(name))), folder / file, name)
    facts = {"run": spec["run"], "learning_rate": spec["learning_rate"], "diverged": message}
    write_text(folder / "config.yaml", yaml.safe_dump(facts, sort_keys=False))
    with atomic_path(folder / "weights.safetensors") as temporary:
        save_file({}, temporary, metadata={"diverged": message})
