"""``python -m chestct.status [FOLDER]``: what the run in a working directory is doing.

``--cancel`` cancels the Slurm jobs that a killed Snakemake left behind: started again, it would submit
them a second time.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from chestct.exit_status import exit_status
from chestct.status.events import event_file, latest_run
from chestct.status.page import describe
from chestct.status.slurm_queue import job_states


def main() -> int:
    """Read the newest events and print the page, or cancel what was left."""
    parser = argparse.ArgumentParser(prog="python -m chestct.status", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="working directory of the run")
    parser.add_argument("--study", help="the study's name; else the study that ran last")
    parser.add_argument("--cancel", action="store_true", help="cancel the Slurm jobs that belong to it")
    arguments = parser.parse_args()
    states = job_states(arguments.folder)
    if arguments.cancel:
        if states:
            subprocess.run(["scancel", *states], check=True)
        print(f"{len(states)} Slurm job(s) cancelled")
        return 0
    path = event_file(arguments.folder, arguments.study)
    run = latest_run(path) if path else None
    if run is None:
        raise SystemExit(_none_yet(arguments.folder, arguments.study))
    print(describe(run, arguments.folder, time.time(), states), end="")
    return 0


def _none_yet(folder: Path, study: str | None) -> str:
    """That no run has started jobs, and of which studies one has."""
    if study is None:
        return "no run has started jobs here yet"
    others = sorted(path.parent.name for path in folder.glob("results/*/events.jsonl"))
    have = f"; runs of: {', '.join(others)}" if others else ""
    return f"no run of a study '{study}' has started jobs here yet{have}"


if __name__ == "__main__":
    sys.exit(exit_status(main))
