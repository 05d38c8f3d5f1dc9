"""Logger plugin of Snakemake (``--logger chestct``, set by the profiles): a line for every finished job.

Events of the run are appended to results/STUDY/events.jsonl, which ``make status`` reads.
Dry runs and ``--verbose`` print what Snakemake itself prints; its whole log is in .snakemake/log as ever.
"""

import re
import sys
import time
from collections.abc import Mapping
from logging import ERROR, LogRecord
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from chestct.processor import processor
from chestct.status.events import append_event
from chestct.status.page import duration, last_lines
from chestct.status.run_state import Job, RunState
from chestct.status.slurm_queue import job_states

#: Lines of a failed job's log that are shown.
_LOG_LINES = 40
#: Rules whose logs hold what their user should know before more is computed, in lines that begin with this.
_WARNING_RULES, _WARNING = ("list_series", "split_patients", "sample_subset"), "WARNING: "
#: Where profiles/slurm puts Slurm's own logs.
_SLURM_LOGS = Path(".snakemake/slurm_logs")
#: What Snakemake says of its own doings. Messages that are not listed here are shown.
_ROUTINE = re.compile(
    r"\s*(None$|Building DAG|Select jobs|Execute \d+ jobs|Updating |DAG of jobs will|Touching output"
    r"|Trying to restart|Assuming unrestricted|(Conda env|Singularity).*: ignored|Config file .* extended"
    r"|Job \d+ has been submitted|Submitted array job|SLURM run ID|Job rate limit|Cleaning up SLURM"
    r"|Removing (temporary )?output|Will exit after|Processed \d+|Complete log|Elapsed time|Using shell"
    # The end of the run shows the log of every failed job.
    r"|Exiting because a job execution failed|(WorkflowError:\s+)?At least one job did not complete"
    r"|(RuleException:\s+)?CalledProcessError in file|Shell command: None)"
)
#: Records that are printed as Snakemake prints them; for others there is a line of our own, or none.
_PRINTED = (None, LogEvent.ERROR, LogEvent.GROUP_ERROR, LogEvent.SHELLCMD, LogEvent.DEBUG_DAG)
_SUBMITTED = re.compile(r"Job (?P<job>\d+) has been submitted with SLURM jobid (?P<slurm>\d+)")
_ARRAY = re.compile(r"Submitted array job with Snakemake IDs (\S+) and SLURM job ID (\d+)\. .* are (\d+)-")


def job_label(wildcards: Mapping[str, str], single: tuple[str, ...] | list[str] = ()) -> str:
    """What a job works on, in words: ``lidc/i3d/video 10 % seed 2``.

    Args:
        wildcards: of the job.
        single: wildcards of which the study has one value only; they are left out.
    """
    path = [wildcards[name] for name in ("dataset", "model", "init", "weights_id") if name in wildcards]
    words = ["/".join(path)] if path else []
    words += [f"{wildcards['percent']} %"] if "percent" in wildcards else []
    others = ("rate", "shard", "seed", "fold")
    words += [f"{name} {wildcards[name]}" for name in others if name in wildcards and name not in single]
    return " ".join(words)


class LogHandler(LogHandlerBase):
    """Receives every record of a run, in one thread and in order."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True  # events are written however quiet Snakemake is
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Nothing has been heard of yet."""
        settings: Any = self.common_settings
        self._console = ColorizingTextHandler(
            nocolor=settings.nocolor,
            stream=sys.stdout if settings.stdout else sys.stderr,
            formatter=DefaultFormatter(settings.quiet, settings.show_failed_logs),
        )
        self._filter = DefaultFilter(
            settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
        )
        self._as_snakemake = settings.dryrun or settings.verbose or settings.debug_dag
        self._quiet = set(settings.quiet or ())
        if not settings.dryrun:
            # Under --quiet progress Snakemake would not tell of finished jobs, which are needed for events.
            settings.quiet = self._quiet - {Quietness.PROGRESS}
        self.run = RunState()
        self._study: dict[str, Any] = {}  # what the Snakefile says: results, report, single
        self._errors: dict[str, LogRecord] = {}  # the last error of every job that failed
        self._warnings: dict[str, None] = {}  # as they came, each once
        self._idle = False
        self._closed = False

    def emit(self, record: LogRecord) -> None:
        """Write and print what a record tells; an error here never ends the run."""
        try:
            self._study = getattr(record, "study", self._study)
            if not self.common_settings.dryrun:
                self._take_in(record)
            if self._shown(record):
                self._console.handle(record)
            if getattr(record, "exception", "") == "LockException":
                self._print("make unlock frees it, and cancels the Slurm jobs that a killed run left.")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Print how the run ended."""
        if not self._closed and not self.common_settings.dryrun:
            self._closed = True
            if self.run.began:
                self._event("ended")
            if Quietness.ALL not in self._quiet or self._errors:
                self._print("\n".join(self._end()))
        super().close()

    def _shown(self, record: LogRecord) -> bool:
        """Whether Snakemake's own message is printed."""
        if self._as_snakemake:
            return self._filter.filter(record)
        if getattr(record, "event", None) not in _PRINTED or _ROUTINE.match(record.getMessage()):
            return False
        return record.levelno >= ERROR or self._filter.filter(record)

    def _take_in(self, record: LogRecord) -> None:
        """Turn a record into an event and, for jobs that ended, a line."""
        event, facts = getattr(record, "event", None), record.__dict__
        if event == LogEvent.RUN_INFO:
            planned = {rule: number for rule, number in facts["stats"].items() if rule != "total"}
            self._event("begun", planned=planned, total=facts["stats"]["total"], processor=processor())
            self._print_progress(f"{self.run.total} jobs")
        elif event == LogEvent.PROGRESS and facts["total"] != self.run.total:
            self._event("total", total=facts["total"])
        elif event == LogEvent.JOB_INFO:
            job, wildcards = str(facts["jobid"]), dict(facts["wildcards"] or {})
            self._errors.pop(job, None)
            self._event(
                "started",
                job=job,
                rule=facts["rule_name"],
                label=job_label(wildcards, self._study.get("single", ())),
                model=wildcards.get("model", ""),
                log=facts["log"][0] if facts["log"] else "",
            )
        elif event in (LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR):
            failed = event == LogEvent.JOB_ERROR
            job = str(facts["jobid" if failed else "job_id"])
            self._errors |= {job: record} if failed else {}
            self._event("failed" if failed else "finished", job=job)
            if job in self.run.jobs:
                self._print_progress(self._line(self.run.jobs[job]))
                self._warn(self.run.jobs[job])
        elif event is None:
            message = record.getMessage()
            self._idle = self._idle or message.startswith("Nothing to be done")
            if match := _SUBMITTED.match(message):
                self._event("submitted", job=match["job"], slurm=match["slurm"])
            elif match := _ARRAY.match(message):
                for task, job in enumerate(match[1].split(","), start=int(match[3])):
                    self._event("submitted", job=job, slurm=f"{match[2]}_{task}")

    def _warn(self, job: Job) -> None:
        """Print what a job's log warns of, once."""
        if job.rule in _WARNING_RULES and not job.failed and job.log:
            lines = [line for line in last_lines(Path(job.log), _LOG_LINES) if line.startswith(_WARNING)]
            new = [line for line in lines if line not in self._warnings]
            self._warnings |= dict.fromkeys(new)
            if Quietness.ALL not in self._quiet:
                self._print("\n".join(new))

    def _event(self, kind: str, **facts: Any) -> None:
        """Keep an event, and write it beside the study's results."""
        event = {"event": kind, "time": round(time.time(), 1), **facts}
        self.run.apply(event)
        if results := self._study.get("results"):
            try:
                append_event(Path(results) / "events.jsonl", event)
            except OSError as error:
                self._study = self._study | {"results": ""}
                self._print(f"No events are written any more, so that make status stands still: {error}")

    def _line(self, job: Job) -> str:
        """The line of a job that ended."""
        run = self.run
        seconds = duration((job.ended or run.last) - job.started)
        width = len(str(run.total))
        what = " ".join(filter(None, ["FAILED" if job.failed else "", job.rule, job.label]))
        left, unknown = run.seconds_left(run.last)
        waiting = run.total - len(run.done) - len(run.failed)
        tell = left is not None and waiting > 0 and 2 * unknown <= waiting
        rest = f"  about {duration(left or 0)} left" if tell else ""
        return f"[{len(run.done):>{width}}/{run.total}] {what}  {seconds}{rest}"

    def _end(self) -> list[str]:
        """How the run ended: the errors of failed jobs, what to do, where the report is."""
        run, lines = self.run, []
        for job, record in self._errors.items():
            lines += ["", *self._error(job, record)]
        if self._errors:
            lines += ["", f"{len(self._errors)} job(s) failed, {len(run.done)} of {run.total} are done."]
        elif run.began and len(run.done) < run.total:
            lines.append(f"Stopped with {len(run.done)} of {run.total} jobs done.")
        elif run.began:
            lines.append(f"All {run.total} jobs are done, in {duration(run.last - run.began)}.")
        if run.began and len(run.done) < run.total:
            lines.append("Give the same command again to go on from there: finished jobs are not repeated.")
        if run.began and len(run.done) < run.total and any(job.slurm for job in run.jobs.values()):
            left = [number for number, (state, _) in job_states(Path()).items() if state != "completing"]
            if left:
                lines.append(f"Slurm still has {len(left)} job(s) of this folder: make unlock cancels them.")
        lines += self._warnings  # again: far above by now
        report = Path(self._study.get("report", ""))
        done = self._idle or (run.began and not self._errors and len(run.done) == run.total)
        # Some file systems keep whole seconds only, and the server's clock.
        if done and report.is_file() and (self._idle or report.stat().st_mtime >= run.began - 2):
            lines.append(f"Report: {report}")
        return lines

    def _error(self, job: str, record: LogRecord) -> list[str]:
        """What is known of a job's failure: message, path and end of its logs."""
        facts = record.__dict__
        known = self.run.jobs.get(job)
        lines = [f"FAILED {facts['rule_name']} {known.label if known else ''}".rstrip()]
        lines += [f"  {facts['rule_msg']}"] if facts.get("rule_msg") else []
        paths = [str(path) for path in facts.get("log") or []]
        if known and known.slurm and not any(Path(path).is_file() for path in paths):
            # The job ended before its script began: only Slurm's own log tells why.
            paths += sorted(str(path) for path in _SLURM_LOGS.rglob(f"{known.slurm}.log"))
        for path in dict.fromkeys(paths):
            shown = last_lines(Path(path), _LOG_LINES)
            lines += [f"  log: {path}" + ("" if shown else " (empty)"), *(f"    {line}" for line in shown)]
        return lines

    def _print_progress(self, text: str) -> None:
        if not self._as_snakemake and not self._quiet & {Quietness.PROGRESS, Quietness.ALL}:
            self._print(text)

    def _print(self, text: str) -> None:
        if text:
            print(text, file=self._console.stream, flush=True)
