"""Events of a study's runs, as JSON lines in results/STUDY/events.jsonl.

Each has an ``event`` and the ``time`` in seconds since 1970; ``RunState.apply`` says what else there is.
"""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from chestct.status.run_state import RunState

#: Kinds of events of a run, and of one of its jobs.
_OF_RUN = ("begun", "total", "ended")
_OF_JOB = ("started", "submitted", "finished", "failed")
#: What else is asked of an event, of which type.
_TYPES: dict[str, tuple[type, ...]] = {
    "planned": (dict,),
    "total": (int,),
    **dict.fromkeys(("rule", "label", "model", "log", "slurm"), (str,)),
}


def append_event(path: Path, event: dict[str, Any]) -> None:
    """Add an event at the end of a file, which is made where there is none.

    Raises:
        OSError: it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A run that was killed may have left half a line: the next run begins on a line of its own.
    before = "\n" if event["event"] == "begun" and path.exists() else ""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{before}{json.dumps(event)}\n")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file, in order. Lines that a killed run or a power cut broke are left out.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                whole = isinstance(event, dict) and _is_event(event)
            except (ValueError, OverflowError, RecursionError):
                continue
            if whole:
                yield event


def _is_event(event: dict[str, Any]) -> bool:
    kind, time = event.get("event"), event.get("time")
    if not isinstance(time, int | float) or not math.isfinite(time) or kind not in (*_OF_RUN, *_OF_JOB):
        return False
    if kind in _OF_JOB and not isinstance(event.get("job"), str | int):
        return False
    if not all(isinstance(event[name], kinds) for name, kinds in _TYPES.items() if name in event):
        return False
    return all(isinstance(number, int) for number in event.get("planned", {}).values())


def latest_run(path: Path) -> RunState | None:
    """The last run of a file of events; None where none has begun.

    Raises:
        OSError: the file cannot be read.
    """
    run = None
    for event in read_events(path):
        if event["event"] == "begun":
            run = RunState()
        if run is not None:
            with suppress(KeyError):  # one that lacks something
                run.apply(event)
    return run


def event_file(folder: Path, study: str | None = None) -> Path | None:
    """The events of a study in a working directory, or of the study that ran last; None without any.

    Args:
        folder: the working directory.
        study: the study's name.
    """
    found = (folder / "results").glob(f"{study or '*'}/events.jsonl")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
