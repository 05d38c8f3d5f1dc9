"""The state of a run and its status page, from events; and what the logger plugin prints and writes."""

import os
import random
import re
import subprocess
import sys
from logging import makeLogRecord

import pytest
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from chestct.evidence.how_it_ran import wall_seconds
from chestct.status.events import append_event, event_file, latest_run
from chestct.status.page import describe, last_lines
from chestct.status.slurm_queue import job_states
from snakemake_logger_plugin_chestct import LogHandler, job_label
from tests.workflow.warm_start import run_warm

BEGAN = 1_795_676_400.0
NOW = BEGAN + 150


def started(seconds, job, rule, **facts):
    facts = {"label": "", "model": "", "log": ""} | facts
    return {"event": "started", "time": BEGAN + seconds, "job": job, "rule": rule} | facts


def event(kind, seconds, **facts):
    return {"event": kind, "time": BEGAN + seconds, **facts}


PLANNED = {"convert_series": 4, "finetune": 2, "write_report": 1}
EVENTS = [
    event("begun", 0, planned=PLANNED, total=7),
    started(0, "1", "convert_series", log="logs/one.log"),
    started(0, "2", "convert_series", log="logs/two.log"),
    event("submitted", 0, job="2", slurm="17"),
    event("finished", 60, job="1"),
    event("total", 60, total=8),  # a checkpoint added one
    event("failed", 120, job="2"),
    started(120, "2", "convert_series", label="lidc shard 1", log="logs/two.log"),
    started(120, "3", "finetune", label="lidc/i3d/video 10 %", model="i3d"),
    event("submitted", 120, job="2", slurm="18_1"),
    event("submitted", 120, job="3", slurm="18_2"),
]


def write(path, events):
    for one in events:
        append_event(path, one)
    return path


@pytest.fixture
def run(tmp_path):
    return latest_run(write(tmp_path / "events.jsonl", EVENTS))


def test_events_become_jobs(run, tmp_path):
    assert run.total == 8
    assert [job.log for job in run.done] == ["logs/one.log"]
    assert {job.rule for job in run.running} == {"convert_series", "finetune"}
    assert run.jobs["2"].failures == 1
    assert (run.jobs["2"].slurm, run.jobs["3"].slurm) == ("18_1", "18_2")
    assert not run.failed
    assert not run.over
    not_started_again = latest_run(write(tmp_path / "shorter.jsonl", EVENTS[:7]))
    assert [job.log for job in not_started_again.failed] == ["logs/two.log"]


def test_time_left_counts_known_rules_at_the_pace_so_far(run):
    left, unknown = run.seconds_left(NOW)
    # Jobs of convert_series take 60 s: 30 s of the running one, and two more; 120 s of work done in 150 s.
    assert left == pytest.approx(30 + 2 * 60)
    assert unknown == 8 - 1 - 3


def test_a_running_job_takes_as_long_as_those_of_its_model(tmp_path):
    jobs = [started(0, "1", "finetune", model="slow"), started(0, "2", "finetune", model="fast")]
    ends = [event("finished", 10, job="2"), event("finished", 100, job="1")]
    again = [started(100, "3", "finetune", model="fast")]
    begun = event("begun", 0, planned={"finetune": 3}, total=3)
    run = latest_run(write(tmp_path / "events.jsonl", [begun, *jobs, *ends, *again]))
    assert run.seconds_left(BEGAN + 100)[0] == pytest.approx(10 / 1.1)


def test_the_page_names_what_runs_and_why_it_waits(run, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "two.log").write_text("began\nscan 1\rscan 2\n")
    states = {"18_1": ("pending", "PartitionTimeLimit"), "18_2": ("running", "None")}
    page = describe(run, tmp_path, NOW, states)
    assert page.startswith("1 of 8 jobs done, 2 running or queued, 0 failed, 5 left; 1 failed attempt(s)\n")
    line = "convert_series lidc shard 1, attempt 2, 30 s  Slurm 18_1 pending (PartitionTimeLimit)  scan 2\n"
    assert line in page
    assert "finetune lidc/i3d/video 10 %, 30 s  Slurm 18_2 running\n" in page
    assert last_lines(tmp_path / "missing.log", 3) == []


def test_a_run_that_was_killed_in_mid_line_harms_no_later_run(tmp_path):
    path = write(tmp_path / "events.jsonl", EVENTS)
    with open(path, "a") as file:
        file.write('{"event": "finished", "ti')
    assert len(latest_run(path).running) == 2
    write(path, [event("begun", 900, planned={"all": 1}, total=1), event("ended", 901)])
    assert latest_run(path).planned == {"all": 1}
    assert latest_run(path).over


def test_the_newest_run_of_a_study_is_read(tmp_path):
    assert event_file(tmp_path) is None
    for time, study in enumerate(("smoke", "paper")):
        path = write(tmp_path / "results" / study / "events.jsonl", EVENTS)
        os.utime(path, (time, time))
    assert event_file(tmp_path).parent.name == "paper"
    assert event_file(tmp_path, "smoke").parent.name == "smoke"


def test_the_command_says_that_there_is_no_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "chestct.status", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no run has started jobs here yet" in done.stderr
    (tmp_path / "results" / "smoke").mkdir(parents=True)
    (tmp_path / "results" / "smoke" / "events.jsonl").touch()
    command = [sys.executable, "-m", "chestct.status", str(tmp_path), "--study", "smokee"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "'smokee' has started jobs here yet; runs of: smoke" in done.stderr


def test_jobs_of_other_folders_are_no_part_of_the_queue(tmp_path, monkeypatch):
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\necho '5|RUNNING|None|{tmp_path}'\necho '6|RUNNING|None|/elsewhere'\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}:{os.environ['PATH']}")
    assert job_states(tmp_path) == {"5": ("running", "None")}


# --- The logger plugin

SNAKEFILE = """
from snakemake.logging import logger
study = {"results": "results/x", "report": "results/x/report.html", "single": ["seed"]}
logger.info(None, extra={"study": study})
rule all:
    input: "results/x/report.html"
checkpoint list:
    output: "list.txt"
    shell: "touch {output}"
rule train:
    input: lambda wildcards: checkpoints.list.get().output
    output: "{model}/{seed}.txt"
    log: "logs/{model}-{seed}.log"
    shell: "[ {wildcards.model} = i3d ] || [ -e good ] || {{ echo oh no > {log}; exit 1; }}; touch {output}"
rule report:
    input: expand("{model}/0.txt", model=["bad", "i3d"])
    output: "results/x/report.html"
    shell: "touch {output}"
"""


def snakemake(folder, *arguments):
    # As in our profile. The usual scheduler warns where its solver, a process a choice, takes ten seconds.
    command = ["snakemake", "--cores", "1", "--keep-going", "--scheduler", "greedy", "--logger", "chestct"]
    command += arguments
    done = run_warm(command, folder, dict(os.environ))
    return done.returncode, done.stdout + done.stderr


def test_a_line_a_job_errors_last_and_then_the_report(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    code, text = snakemake(tmp_path)
    assert code
    assert "[2/5] train i3d  " in text
    assert "[1/5] FAILED train bad  " in text or "[2/5] FAILED train bad  " in text
    tail = text[text.index("\nFAILED train bad\n") :]
    assert "log: logs/bad-0.log\n    oh no\n" in tail
    assert "1 job(s) failed, 2 of 5 are done.\nGive the same command again" in tail
    assert "CalledProcessError" not in text
    (tmp_path / "good").touch()
    code, text = snakemake(tmp_path, "--quiet", "progress")
    assert not code
    # Seconds depend on what else the machine does.
    assert re.search(r"All 3 jobs are done, in [^\n]+\.\nReport: results/x/report\.html\n\Z", text), text
    assert "Nothing to be done" in snakemake(tmp_path)[1]
    path = tmp_path / "results/x/events.jsonl"
    assert path.read_text().count('"begun"') == 2
    run = latest_run(path)
    assert (len(run.done), run.over) == (3, True)


def test_events_are_written_however_quiet_and_a_full_disk_stops_nothing(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "good").touch()
    code, text = snakemake(tmp_path, "--quiet", "all", "--", "list.txt")
    assert (code, text) == (0, "")
    path = tmp_path / "results/x/events.jsonl"
    assert len(latest_run(path).done) == 1
    path.unlink()
    path.symlink_to("/dev/full")
    code, text = snakemake(tmp_path)
    assert not code
    assert text.count("No events are written any more") == 1


def test_a_dry_run_and_a_wrong_snakefile_are_told_as_snakemake_does(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    _, text = snakemake(tmp_path, "--dry-run")
    assert re.search(r"^report +1$", text, re.M)
    assert "reason: Missing output files" in text
    assert not (tmp_path / "results").exists()
    (tmp_path / "Snakefile").write_text("raise WorkflowError('The configuration cannot be used')\n")
    assert "The configuration cannot be used" in snakemake(tmp_path)[1]


def test_slurms_numbers_come_from_the_messages_of_its_executor():
    handler = LogHandler(OutputSettings(quiet={Quietness.ALL}), None)
    facts = {"rule_name": "train", "wildcards": {}, "log": []}
    for job in (4, 5, 6):
        handler.emit(makeLogRecord({"event": LogEvent.JOB_INFO, "jobid": job, **facts}))
    for message in (
        "Job 4 has been submitted with SLURM jobid 17 (log: /study/.snakemake/slurm_logs/17.log).",
        "Submitted array job with Snakemake IDs 5,6 and SLURM job ID 18. The individual task IDs are 1-2.",
    ):
        handler.emit(makeLogRecord({"msg": message}))
    assert [job.slurm for job in handler.run.jobs.values()] == ["17", "18_1", "18_2"]


def test_what_a_split_warns_of_is_printed_once_and_again_at_the_end(tmp_path, capsys):
    handler = LogHandler(OutputSettings(quiet=set()), None)
    for job, rule in ((4, "split_patients"), (5, "split_patients"), (6, "finetune")):
        log = tmp_path / f"{job}.log"
        log.write_text("split\nWARNING: mine: only 3 patients\n2026 WARNING a library's own\n")
        facts = {"rule_name": rule, "wildcards": {}, "log": [str(log)]}
        handler.emit(makeLogRecord({"event": LogEvent.JOB_INFO, "jobid": job, **facts}))
        handler.emit(makeLogRecord({"event": LogEvent.JOB_FINISHED, "job_id": job}))
    assert capsys.readouterr().err.count("WARNING") == 1
    handler.close()
    assert capsys.readouterr().err.splitlines()[-1] == "WARNING: mine: only 3 patients"


def test_a_label_names_what_tells_a_job_from_others():
    wildcards = {"dataset": "lidc", "model": "i3d", "init": "ct", "percent": "10", "seed": "0", "fold": "1"}
    assert job_label(wildcards) == "lidc/i3d/ct 10 % seed 0 fold 1"
    assert job_label(wildcards, ["seed"]) == "lidc/i3d/ct 10 % fold 1"
    assert job_label({"dataset": "lidc", "shard": "3"}) == "lidc shard 3"
    assert job_label({"weights_id": "i3d_kinetics"}) == "i3d_kinetics"
    assert job_label({}) == ""


def test_whatever_is_damaged_in_the_events_is_left_out(tmp_path):
    path, rng = write(tmp_path / "events.jsonl", EVENTS), random.Random(0)
    content = path.read_bytes()
    others = [b"5\n", b"null\n", b"[]\n", b"[" * 10**5 + b"\n", b"\0" * 99 + b"\n", b'{"event": "begun"}\n']
    for damaged in [*others, b'{"event": "begun", "time": NaN, "planned": {}, "total": 1}\n']:
        path.write_bytes(content + damaged)
        assert latest_run(path) == latest_run(write(tmp_path / "whole.jsonl", EVENTS))
        (tmp_path / "whole.jsonl").unlink()
    for _ in range(200):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        run = latest_run(path)
        assert run is None or run.seconds_left(NOW)
        wall_seconds(path)
