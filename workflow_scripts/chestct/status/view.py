"""A run as a page of text."""

import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from chestct.status.run_log import Job, RunLog

#: Lines of the list of running and of failed jobs.
_MOST = 15


def kind(rule: str) -> str:
    """Rules that train one model each are of one kind."""
    return "finetune" if rule.startswith("finetune_") else rule


def seconds_left(run: RunLog, now: datetime) -> tuple[float | None, int]:
    """Time that is left, and the number of jobs that it leaves out.

    Every job that is left takes as long as those of its rule took in this run, and as many run at once as did
    so far. Jobs of rules of which none has ended are left out.
    """
    took: dict[str, list[float]] = defaultdict(list)
    for job in run.done:
        assert job.ended is not None
        took[kind(job.rule)].append((job.ended - job.started).total_seconds())
    if not took or run.began is None:
        return None, run.total
    means = {rule: sum(times) / len(times) for rule, times in took.items()}
    elapsed = (now - run.began).total_seconds()
    busy = sum(sum(times) for times in took.values())
    busy += sum((now - job.started).total_seconds() for job in run.running)
    at_once = max(1.0, busy / max(elapsed, 1.0))
    left, known = 0.0, 0
    for job in run.running:
        if kind(job.rule) in means:
            left += max(0.0, means[kind(job.rule)] - (now - job.started).total_seconds())
            known += 1
    begun = Counter(job.rule for job in run.jobs.values())
    for rule, number in run.planned.items():
        waiting = max(0, number - begun[rule])
        if kind(rule) in means:
            left += waiting * means[kind(rule)]
            known += waiting
    unknown = run.total - len(run.done) - len(run.failed) - known
    return left / at_once, max(0, unknown)


def duration(seconds: float) -> str:
    """Hours and minutes, or seconds where they are few."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def last_line(path: Path) -> str:
    """The last line of a job's log, cut to fit; empty if there is none."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 4000))
        lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:100]


def queue(folder: Path) -> dict[str, tuple[str, str]]:
    """State and reason of this user's Slurm jobs of a working directory, by number; empty without Slurm."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return {}
    rows = (line.split("|", 3) for line in done.stdout.splitlines() if line.count("|") >= 3)
    return {row[0]: (row[1].lower(), row[2]) for row in rows if Path(row[3]) == folder.resolve()}


def _line(job: Job, now: datetime, folder: Path, states: Mapping[str, tuple[str, str]]) -> str:
    state, reason = states.get(job.slurm, ("", ""))
    where = f"Slurm {job.slurm} {state}".rstrip() if job.slurm else ""
    why = f" ({reason})" if state == "pending" and reason not in ("", "None") else ""
    again = f", attempt {job.failures + (not job.failed)}" if job.failures else ""
    head = f"  {job.rule}{again}, {duration((now - job.started).total_seconds())}"
    return "  ".join(
        part for part in (head, where + why, last_line(folder / job.log) if job.log else "") if part
    )


def describe(run: RunLog, folder: Path, now: datetime, states: Mapping[str, tuple[str, str]]) -> str:
    """The page: numbers, time left, running jobs with the last lines of their logs, failed jobs.

    Args:
        run: what the log says.
        folder: working directory of the run.
        now: time to which all durations count.
        states: of Slurm jobs, by number.
    """
    left, unknown = seconds_left(run, now)
    retried = sum(job.failures for job in run.jobs.values())
    numbers = f"{len(run.done)} of {run.total} jobs done, {len(run.running)} running or queued, "
    numbers += f"{len(run.failed)} failed, {run.total - len(run.jobs)} left"
    lines = [numbers + (f"; {retried} attempts ended badly" if retried else "")]
    if run.began is not None:
        began = f"began {run.began:%d %b %H:%M}, {duration((now - run.began).total_seconds())} ago"
        quiet = f"last entry {duration((now - (run.last or now)).total_seconds())} ago"
        lines.append(f"{began}; {quiet}" + ("; the run is over" if run.over else ""))
    if left is not None and not run.over:
        without = f", without {unknown} job(s) of rules that have not ended yet" if unknown else ""
        lines.append(f"about {duration(left)} left at the pace so far{without}")
    for title, jobs in (("running", run.running), ("failed", run.failed)):
        if jobs and not (run.over and title == "running"):
            jobs = sorted(jobs, key=lambda job: job.started)
            lines += [f"{title}:", *(_line(job, now, folder, states) for job in jobs[:_MOST])]
            lines += [f"  and {len(jobs) - _MOST} more"] if len(jobs) > _MOST else []
    known = {job.slurm for job in run.running}
    astray = sorted(number for number in states if number not in known and "[" not in number)
    if run.over and astray:
        lines.append(
            f"Slurm still has jobs of an earlier run here (make unlock cancels them): {', '.join(astray)}"
        )
    return "\n".join(lines) + "\n"
