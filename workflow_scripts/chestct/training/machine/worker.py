"""One of several processes that train together; ``chestct.training.machine.launch`` starts it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chestct.errors import InputError
from chestct.run import Run
from chestct.training import finetune, pretrain
from chestct.training.machine import processes
from chestct.training.machine.launch import write_failure
from chestct.training.settings import PretrainingSettings, TrainingSettings

#: Arguments that travel as plain data.
TYPES: dict[str, Callable[..., Any]] = {
    "run": Run,
    "settings": TrainingSettings,
    "pretraining": PretrainingSettings,
}
FUNCTIONS: dict[str, Callable[..., None]] = {
    "finetune": finetune.finetune_from_data,
    "pretrain": pretrain.pretrain,
}


def main(place: Path) -> None:
    """Do what the request in a folder says.

    Args:
        place: folder with request.json.
    """
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    processes.join(gpus=request["gpus"])
    try:
        arguments = {
            name: TYPES[name](**value) if name in TYPES else value
            for name, value in request["arguments"].items()
        }
        FUNCTIONS[request["function"]](**arguments, threads=request["threads"])
    except InputError as error:
        write_failure(place, error)
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
