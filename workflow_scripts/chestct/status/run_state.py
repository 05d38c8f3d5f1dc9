"""The state of a run, from its events."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Job:
    """A job that was started.

    Attributes:
        rule: its rule.
        label: what it works on, in words.
        model: that it trains or scores; empty if none.
        log: path of its log; empty if it has none.
        started, ended: last start, and success, in seconds since 1970.
        failures: number of attempts that failed.
        failed: the last attempt failed, and the job has not been started again.
        slurm: its number in Slurm's queue; empty on one machine.
    """

    rule: str
    label: str = ""
    model: str = ""
    log: str = ""
    started: float
    ended: float | None = None
    failures: int = 0
    failed: bool = False
    slurm: str = ""

    @property
    def running(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self.ended is None and not self.failed


@dataclass
class RunState:
    """What is known of a run so far.

    Attributes:
        planned: jobs by rule, as counted at the start; those behind a checkpoint come later.
        jobs: started jobs by number.
        total: jobs in all, as known now.
        began, last: times of the first and of the last event, in seconds since 1970.
        over: Snakemake ended by itself.
    """

    planned: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    total: int = 0
    began: float = 0.0
    last: float = 0.0
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
        """Jobs whose last attempt failed."""
        return [job for job in self.jobs.values() if job.failed]

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in the next event.

        Args:
            event: ``begun`` (planned, total, processor), ``started`` (job, rule, label, model, log),
                ``submitted`` (job, slurm), ``finished`` (job), ``failed`` (job), ``total`` (total)
                or ``ended``.
        """
        kind, time = event["event"], event["time"]
        self.last = time
        if kind == "begun":
            self.planned, self.total, self.began = event["planned"], event["total"], time
        elif kind == "total":
            self.total = event["total"]
        elif kind == "ended":
            self.over = True
        elif kind == "started":
            before = self.jobs.get(event["job"])
            facts = {name: event[name] for name in ("rule", "label", "model", "log")}
            self.jobs[event["job"]] = Job(**facts, started=time, failures=before.failures if before else 0)
        elif job := self.jobs.get(event["job"]):
            if kind == "submitted":
                job.slurm = event["slurm"]
            elif kind == "finished":
                job.ended = time
            elif kind == "failed" and job.running:
                job.failed, job.failures = True, job.failures + 1

    def seconds_left(self, now: float) -> tuple[float | None, int]:
        """The time that is left, and the number of jobs that it leaves out.

        A waiting job takes as long as the jobs of its rule took in this run, a running one as long as those
        of its rule and model, and as many run at once as did so far. Jobs of rules of which none has finished
        are left out.
        """
        took: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for job in self.done:
            assert job.ended is not None
            took[job.rule,].append(job.ended - job.started)
            took[job.rule, job.model].append(job.ended - job.started)
        if not took:
            return None, self.total
        means = {key: sum(times) / len(times) for key, times in took.items()}
        running = [(job, now - job.started) for job in self.running]
        busy = sum(sum(times) for key, times in took.items() if len(key) == 1)
        busy += sum(seconds for _, seconds in running)
        at_once = max(1.0, busy / max(now - self.began, 1.0))
        left, known = 0.0, 0
        for job, seconds in running:
            mean = means.get((job.rule, job.model), means.get((job.rule,)))
            if mean is not None:
                left += max(0.0, mean - seconds)
                known += 1
        started = Counter(job.rule for job in self.jobs.values())
        for rule, number in self.planned.items():
            waiting = max(0, number - started[rule])
            if (rule,) in means:
                left += waiting * means[rule,]
                known += waiting
        unknown = self.total - len(self.done) - len(self.failed) - known
        return left / at_once, max(0, unknown)
