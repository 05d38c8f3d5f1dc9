"""A training run: what tells it from the others of a study, where its files lie, which columns name it."""

import re
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

#: What the training of a run leaves in its folder, by the name of the workflow's output.
RUN_FILES = {
    "weights": "weights.safetensors",
    "history": "history.csv",
    "record": "run.csv",
    "resolved": "config.yaml",
}
#: Folder of a run, relative to the training results of the study, by the run's fields.
RUN_FOLDER = "{dataset}/{model}/{init}/percent-{percent}/seed-{seed}/fold-{fold}"
_LAST_FOLDERS = re.compile(r"percent-\d+/seed-\d+/fold-\d+")


@dataclass(frozen=True, kw_only=True, order=True)
class Run:
    """One training run: everything that tells it from the others of a study."""

    dataset: str
    model: str
    init: str
    percent: int
    seed: int
    fold: int

    @classmethod
    def of(cls, words: Any) -> "Run":
        """The run that a job's wildcards name; other names among them are left out."""
        values: dict[str, Any] = {field.name: words[field.name] for field in fields(cls)}
        return cls(**values | {name: int(values[name]) for name in ("percent", "seed", "fold")})

    @property
    def folder(self) -> str:
        """Folder of the run, relative to the training results of the study."""
        return RUN_FOLDER.format(**vars(self))

    @staticmethod
    def folder_in(path: str) -> str | None:
        """The folder of a run that the path of one of its files ends with; None where it ends otherwise."""
        parts = path.split("/")[-7:-1]
        return "/".join(parts) if _LAST_FOLDERS.fullmatch("/".join(parts[3:])) else None

    def asdict(self) -> dict[str, Any]:
        """The run's key columns."""
        return asdict(self)

    def __str__(self) -> str:
        return "/".join(str(value) for value in astuple(self))


#: Columns of every table that has rows of runs.
RUN_KEYS = [field.name for field in fields(Run)]


def shown_runs(runs: Iterable[Run]) -> list[Run]:
    """Those runs of which validation chooses the one that is shown: largest percentage, first seed."""
    runs = list(runs)
    largest, first = max(run.percent for run in runs), min(run.seed for run in runs)
    return [run for run in runs if (run.percent, run.seed) == (largest, first)]
