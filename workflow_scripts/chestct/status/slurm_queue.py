"""Slurm's queue, as far as it concerns a working directory."""

from pathlib import Path

from chestct.jobs.slurm_site import output_of


def job_states(folder: Path, run: str | None = None) -> dict[str, tuple[str, str]]:
    """State and reason of this user's Slurm jobs of a working directory, by number; empty without Slurm.

    Args:
        folder: the working directory.
        run: the name that all jobs of a run of Snakemake have; None for jobs of any run.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%Z", *([f"--name={run}"] if run else [])]
    lines = (output_of(command) or "").splitlines()
    rows = (line.split("|", 3) for line in lines if line.count("|") >= 3)
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
    shown = f"{len(left)} Slurm job(s) that this run had left in the queue"
    if output_of(["scancel", *left]) is None:
        return f"There are {shown}: make unlock cancels them."
    return f"Cancelled {shown}."
