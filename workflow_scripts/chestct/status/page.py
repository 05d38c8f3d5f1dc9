"""A run as a page of text."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from chestct.status.run_state import Job, RunState

#: At most as many running and failed jobs are listed.
_MAX_LISTED = 15


def duration(seconds: float) -> str:
    """Hours and minutes, or seconds where they are few."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def last_lines(path: Path, number: int) -> list[str]:
    """The last lines of a job's log that are not empty; none if there is no log."""
    if not path.is_file():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * number - 4000))
        lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return [line.rstrip() for line in lines if line.strip()][-number:]


def _line(job: Job, now: float, folder: Path, states: Mapping[str, tuple[str, str]]) -> str:
    state, reason = states.get(job.slurm, ("", ""))
    where = f"Slurm {job.slurm} {state}".rstrip() if job.slurm else ""
    why = f" ({reason})" if state == "pending" and reason not in ("", "None") else ""
    again = f", attempt {job.failures + (not job.failed)}" if job.failures else ""
    head = f"  {job.rule} {job.label}".rstrip() + f"{again}, {duration(now - job.started)}"
    last = [line.strip()[:100] for line in last_lines(folder / job.log, 1)] if job.log else []
    return "  ".join(part for part in (head, where + why, *last) if part)


def describe(run: RunState, folder: Path, now: float, states: Mapping[str, tuple[str, str]]) -> str:
    """The page: numbers, time left, running jobs with the last lines of their logs, failed jobs.

    Args:
        run: the run.
        folder: its working directory.
        now: the time to which durations are counted, in seconds since 1970.
        states: of Slurm jobs, by number.
    """
    left, unknown = run.seconds_left(now)
    failures = sum(job.failures for job in run.jobs.values())
    numbers = f"{len(run.done)} of {run.total} jobs done, {len(run.running)} running or queued, "
    numbers += f"{len(run.failed)} failed, {run.total - len(run.jobs)} left"
    began = f"began {datetime.fromtimestamp(run.began):%d %b %H:%M}, {duration(now - run.began)} ago"
    lines = [
        numbers + (f"; {failures} failed attempt(s)" if failures else ""),
        f"{began}; last event {duration(now - run.last)} ago" + ("; the run is over" if run.over else ""),
    ]
    if left is not None and not run.over:
        without = f", without {unknown} job(s) of rules of which none has finished yet" if unknown else ""
        lines.append(f"about {duration(left)} left at the pace so far{without}")
    for title, jobs in (("running", run.running), ("failed", run.failed)):
        if jobs and not (run.over and title == "running"):
            jobs = sorted(jobs, key=lambda job: job.started)
            lines += [f"{title}:", *(_line(job, now, folder, states) for job in jobs[:_MAX_LISTED])]
            lines += [f"  and {len(jobs) - _MAX_LISTED} more"] if len(jobs) > _MAX_LISTED else []
    known = {job.slurm for job in run.running}
    astray = sorted(number for number in states if number not in known and "[" not in number)
    if run.over and astray:
        lines.append(
            f"Slurm still has jobs of an earlier run here (make unlock cancels them): {', '.join(astray)}"
        )
    return "\n".join(lines) + "\n"
