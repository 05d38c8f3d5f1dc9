"""One of several processes that train together; ``chestct.training.machine.launch`` starts it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chestct.errors import InputError
from chestct.run import Run
from chestct.training import finetune, pretrain
from chestct.training.job import TrainingJob
from chestct.training.machine import processes
from chestct.training.machine.launch import write_failure
from chestct.training.settings import PretrainingSettings, TrainingSettings

#: Parts of a job, which travel as plain data.
TYPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "run": lambda part: Run(**part),
    "settings": TrainingSettings.of,
    "pretraining": lambda part: PretrainingSettings(**part),
}
FUNCTIONS: dict[str, tuple[Callable[..., None], Callable[..., Any]]] = {
    "finetune": (finetune.finetune, TrainingJob),
    "pretrain": (pretrain.pretrain, pretrain.PretrainingJob),
}


def main(place: Path) -> None:
    """Do what the request in a folder says.

    Args:
        place: folder with request.json.
    """
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    processes.join(gpus=request["gpus"])
    try:
        function, job_type = FUNCTIONS[request["function"]]
        parts = {name: TYPES[name](part) if name in TYPES else part for name, part in request["job"].items()}
        function(job_type(**parts), request["folder"], threads=request["threads"])
    except InputError as error:
        write_failure(place, error)
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
