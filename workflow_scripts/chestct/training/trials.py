"""Trials of the learning-rate search: ordinary runs, of which some may diverge."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import yaml
from safetensors.torch import save_file

from chestct.errors import DivergenceError
from chestct.records import recorded_path, write_recorded
from chestct.tables import column_types, write_table
from chestct.training.checkpoint import clear
from chestct.training.finetune import finetune
from chestct.training.job import TrainingJob


def try_learning_rate(job: TrainingJob, folder: str, *, threads: int) -> None:
    """Train a run with the learning rate of its settings (see ``finetune``).

    A trial that diverges is a result, not a failure: it leaves its message, tables without rows and
    weights without tensors, which no model can be loaded from.
    """
    try:
        finetune(job, folder, threads=threads)
    except DivergenceError as error:
        print(f"learning rate {job.settings.learning_rate:g} is out: {error.what}", flush=True)
        place = Path(folder)
        for name, file in (("runs", "run.csv"), ("history", "history.csv")):
            write_table(pd.DataFrame(columns=list(column_types(name))), place / file, name)
        facts = {"run": asdict(job.run), "learning_rate": job.settings.learning_rate, "diverged": error.what}
        write_recorded(place / "config.yaml", yaml.safe_dump(facts, sort_keys=False))
        with recorded_path(place / "weights.safetensors") as temporary:
            save_file({}, temporary, metadata={"diverged": error.what})
        clear(place)
