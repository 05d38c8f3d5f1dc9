"""Slurm's queue, as far as it concerns a working directory."""

import subprocess
from pathlib import Path


def job_states(folder: Path) -> dict[str, tuple[str, str]]:
    """State and reason of this user's Slurm jobs of a working directory, by number; empty without Slurm."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return {}
    rows = (line.split("|", 3) for line in done.stdout.splitlines() if line.count("|") >= 3)
    return {row[0]: (row[1].lower(), row[2]) for row in rows if Path(row[3]) == folder.resolve()}
