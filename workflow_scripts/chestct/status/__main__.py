"""``python -m chestct.status [FOLDER]``: what the run in a working directory is doing.

``--cancel`` cancels the Slurm jobs that a killed Snakemake left behind: started again, it would submit
them a second time.
"""

import argparse
import subprocess
from datetime import datetime
from pathlib import Path

from chestct.status.run_log import newest_log, parse_log
from chestct.status.view import describe, queue


def main() -> None:
    """Read the newest log and print the page, or cancel what was left."""
    parser = argparse.ArgumentParser(prog="python -m chestct.status", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="working directory of the run")
    parser.add_argument("--study", help="the latest run of studies/STUDY.yaml; else of any study")
    parser.add_argument("--cancel", action="store_true", help="cancel the Slurm jobs that belong to it")
    arguments = parser.parse_args()
    states = queue(arguments.folder)
    if arguments.cancel:
        if states:
            subprocess.run(["scancel", *states], check=True)
        print(f"{len(states)} Slurm job(s) cancelled")
        return
    path = newest_log(arguments.folder, arguments.study)
    if path is None:
        raise SystemExit("no run has started jobs here yet")
    with open(path, encoding="utf-8", errors="replace") as lines:
        run = parse_log(lines)
    print(describe(run, arguments.folder, datetime.now(), states), end="")


if __name__ == "__main__":
    main()
