"""Slurm's queue, as far as it concerns a working directory."""

import subprocess
from pathlib import Path


def job_states(folder: Path, run: str | None = None) -> dict[str, tuple[str, str]]:
    """State and reason of this user's Slurm jobs of a working directory, by number; empty without Slurm.

    Args:
        folder: the working directory.
        run: the name that all jobs of a run of Snakemake have; None for jobs of any run.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%Z", *([f"--name={run}"] if run else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return {}
    rows = (line.split("|", 3) for line in done.stdout.splitlines() if line.count("|") >= 3)
    return {row[0]: (row[1].lower(), row[2]) for row in rows if Path(row[3]) == folder.resolve()}


def cancel_left_over(folder: Path, run: str) -> str | None:
    """Cancel what a run that has ended left in the queue, as Ctrl-C may; a sentence about it, if it did.

    Args:
        folder: working directory of the run.
        run: the name of its jobs.
    """
    left = [number for number, (state, _) in job_states(folder, run).items() if state != "completing"]
    if not left:
        return None
    try:
        done = subprocess.run(["scancel", *left], capture_output=True, text=True, timeout=60)
        gone = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        gone = False
    shown = f"{len(left)} Slurm job(s) that this run had left in the queue"
    return f"Cancelled {shown}." if gone else f"There are {shown}: make unlock cancels them."
