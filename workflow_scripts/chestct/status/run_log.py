"""Snakemake's log of a run, as jobs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

_TIME = re.compile(r"^\[(\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4})\]$")
_JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\S+):$")
_FIELD = re.compile(r"^    (jobid|log): (.*)$")
_COUNT = re.compile(r"^(\S+) +(\d+)$")
_STEPS = re.compile(r"^(\d+) of (\d+) steps")
_FAILED = re.compile(r"^Error in (?:rule|checkpoint|group) (\S+):$")
_OF_A_JOB = re.compile(
    r"^(?:Finished jobid: |Trying to restart job |Job )(?P<job>\d+)"
    r"(?: has been submitted with SLURM jobid (?P<slurm>\d+)|\.$| \(Rule)"
)
_ARRAY = re.compile(r"^Submitted array job with Snakemake IDs (\S+) and SLURM job ID (\d+)\. .* are (\d+)-")
_QUOTE = re.compile(r"^Logfile .*:$")
_BAR = "=" * 80
_END = ("Complete log", "Shutting down", "Exiting because a job execution failed", "Nothing to be done")


@dataclass(kw_only=True)
class Job:
    """A job that was started.

    Attributes:
        rule: its rule.
        started, ended: last start, and success.
        log: path of its log; empty if it has none.
        failures: times that it ended badly.
        failed: it ended badly, and has not been started again.
        slurm: its number in Slurm's queue; empty on one machine.
    """

    rule: str
    started: datetime
    ended: datetime | None = None
    log: str = ""
    failures: int = 0
    failed: bool = False
    slurm: str = ""

    @property
    def running(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self.ended is None and not self.failed


@dataclass
class RunLog:
    """What a log says so far.

    Attributes:
        planned: jobs by rule, as counted at the start; those behind a checkpoint come later.
        jobs: started jobs by number.
        total: jobs in all, as known now.
        began, last: time of the first and of the last entry.
        over: Snakemake ended by itself.
    """

    planned: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    total: int = 0
    began: datetime | None = None
    last: datetime | None = None
    over: bool = False

    @property
    def done(self) -> list[Job]:
        """Jobs that succeeded."""
        return [job for job in self.jobs.values() if job.ended is not None]

    @property
    def running(self) -> list[Job]:
        """Jobs that run, or wait in Slurm's queue."""
        return [job for job in self.jobs.values() if job.running]

    @property
    def failed(self) -> list[Job]:
        """Jobs that failed for good, as far as is known."""
        return [job for job in self.jobs.values() if job.failed]


def newest_log(folder: Path, study: str | None = None) -> Path | None:
    """The log of the latest run that started jobs in a working directory.

    Args:
        folder: the working directory.
        study: only runs with studies/STUDY.yaml.
    """
    for path in sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"), reverse=True):
        with open(path, encoding="utf-8", errors="replace") as file:
            head = file.read(20_000)
        if "\nJob stats:\n" in head and (study is None or f"/studies/{study}.yaml" in head):
            return path
    return None


class _Reader:
    """Follows a log line by line; a block that begins with a job's name gives its fields in further lines."""

    def __init__(self) -> None:
        self.run = RunLog()
        self.time = datetime.min
        self.rule = ""  # of the block that is being read
        self.failing = False  # the block tells of an error
        self.quoting = 0  # bars of a quoted job's log still to come; a job on a cluster quotes Snakemake
        self.counting = False
        self.log = ""  # of the job whose number comes next

    def read(self, line: str) -> None:
        if self.quoting:
            self.quoting -= line == _BAR
        elif _QUOTE.match(line):
            self.quoting = 2
        elif line == "Job stats:":
            self.counting = True
        elif self.counting:
            self._count(line)
        elif match := _TIME.match(line):
            self.time = datetime.strptime(match[1], "%a %b %d %H:%M:%S %Y")
            self.run.began, self.run.last = self.run.began or self.time, self.time
            self.rule = ""
        elif match := _JOB.match(line) or _FAILED.match(line):
            self.rule, self.failing = match[1], line.startswith("Error")
        elif not line.startswith(" "):
            self._event(line)
        elif self.rule and (match := _FIELD.match(line)):
            self._field(match[1], match[2])

    def _count(self, line: str) -> None:
        match = _COUNT.match(line)
        if match and match[1] == "total":
            self.run.total = int(match[2])
        elif match:
            self.run.planned[match[1]] = int(match[2])
        self.counting = bool(line)

    def _field(self, name: str, value: str) -> None:
        jobs = self.run.jobs
        if name == "log" and not self.failing:
            self.log = value.split(",")[0]
        elif name == "jobid" and self.failing:
            if value in jobs and jobs[value].ended is None:
                jobs[value].failures += 1
                jobs[value].failed = True
        elif name == "jobid":
            failures = jobs[value].failures if value in jobs else 0
            jobs[value] = Job(rule=self.rule, started=self.time, log=self.log, failures=failures)
            self.log = ""

    def _event(self, line: str) -> None:
        jobs = self.run.jobs
        if match := _STEPS.match(line):
            self.run.total = int(match[2])
        elif (match := _ARRAY.match(line)) is not None:
            for task, number in enumerate(match[1].split(","), start=int(match[3])):
                if number in jobs:
                    jobs[number].slurm = f"{match[2]}_{task}"
        elif line.startswith(_END):
            self.run.over = True
        elif (match := _OF_A_JOB.match(line)) and (job := jobs.get(match["job"])):
            if line.startswith("Finished"):
                job.ended = self.time
            elif line.startswith("Trying"):
                job.failed = False
            else:
                job.slurm = match["slurm"]


def parse_log(lines: Iterable[str]) -> RunLog:
    """Read a log of Snakemake 9, whole or still growing."""
    reader = _Reader()
    for line in lines:
        reader.read(line.rstrip("\n"))
    return reader.run
