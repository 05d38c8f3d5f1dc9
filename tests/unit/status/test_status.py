"""The status page, from logs as Snakemake 9 writes them."""

import os
import subprocess
import sys
from datetime import datetime

import pytest

from chestct.status.run_log import newest_log, parse_log
from chestct.status.view import describe, last_line, queue, seconds_left

LOG = """\
SNAKEMAKE
  Config file(s): [PosixPath('/study/studies/smoke.yaml'), 'config.yaml']
Job stats:
job                 count
----------------  -------
convert_series          4
finetune_a_x            1
finetune_b_x            1
write_report            1
total                   7

Select jobs to execute...
[Mon Nov 23 07:00:00 2026]
localrule convert_series:
    output: one.h5
    log: logs/one.log
    jobid: 1
[Mon Nov 23 07:00:00 2026]
rule convert_series:
    output: two.h5
    log: logs/two.log
    jobid: 2
Job 2 has been submitted with SLURM jobid 17 (log: /study/.snakemake/slurm_logs/17.log).
[Mon Nov 23 07:01:00 2026]
Finished jobid: 1 (Rule: convert_series)
1 of 8 steps (12%) done
[Mon Nov 23 07:02:00 2026]
Error in rule convert_series:
    message: SLURM-job '17' failed, SLURM status is: 'TIMEOUT'.
    jobid: 2
    output: two.h5
Logfile /study/.snakemake/slurm_logs/17.log:
================================================================================
SNAKEMAKE
=========
[Mon Nov 23 06:59:30 2026]
rule convert_series:
    output: two.h5
    jobid: 1
Finished jobid: 1 (Rule: other)
================================================================================

Trying to restart job 2.
[Mon Nov 23 07:02:00 2026]
rule convert_series:
    output: two.h5
    log: logs/two.log
    jobid: 2
[Mon Nov 23 07:02:00 2026]
rule finetune_a_x:
    output: weights
    jobid: 3
Submitted array job with Snakemake IDs 2,3 and SLURM job ID 18. The individual task IDs are 1-2.
"""
NOW = datetime(2026, 11, 23, 7, 2, 30)


@pytest.fixture
def run():
    return parse_log(LOG.splitlines())


def test_a_log_becomes_jobs(run):
    assert run.total == 8, "a checkpoint added one"
    assert len(run.done) == 1
    assert {job.rule for job in run.running} == {"convert_series", "finetune_a_x"}
    assert run.jobs["2"].failures == 1
    assert (run.jobs["2"].slurm, run.jobs["3"].slurm) == ("18_1", "18_2")
    assert not run.failed
    assert not run.over


def test_a_failed_job_that_is_not_started_again_stays_failed():
    run = parse_log(LOG.split("\nTrying")[0].splitlines())
    assert [job.log for job in run.failed] == ["logs/two.log"]


def test_time_left_counts_known_rules_at_the_pace_so_far(run):
    left, unknown = seconds_left(run, NOW)
    # Jobs of convert_series take 60 s: 30 s of the running one, and two more; 120 s of work done in 150 s.
    assert left == pytest.approx(30 + 2 * 60)
    assert unknown == 8 - 1 - 3


def test_the_page_names_what_runs_and_why_it_waits(run, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "two.log").write_text("began\nscan 1\rscan 2\n")
    page = describe(
        run, tmp_path, NOW, {"18_1": ("pending", "PartitionTimeLimit"), "18_2": ("running", "None")}
    )
    assert page.startswith(
        "1 of 8 jobs done, 2 running or queued, 0 failed, 5 left; 1 attempts ended badly\n"
    )
    assert "convert_series, attempt 2, 30 s  Slurm 18_1 pending (PartitionTimeLimit)  scan 2\n" in page
    assert "finetune_a_x, 30 s  Slurm 18_2 running\n" in page


def test_the_newest_run_of_a_study_is_read(tmp_path):
    folder = tmp_path / ".snakemake" / "log"
    folder.mkdir(parents=True)
    assert newest_log(tmp_path) is None
    for name, text in (("1", LOG), ("2", LOG.replace("smoke", "paper")), ("3", "Nothing to be done\n")):
        (folder / f"{name}.snakemake.log").write_text(text)
    assert newest_log(tmp_path).name.startswith("2")
    assert newest_log(tmp_path, "smoke").name.startswith("1")


def test_the_command_says_that_there_is_no_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "chestct.status", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no run has started jobs here yet" in done.stderr


def test_a_log_without_lines_has_no_last_line(tmp_path):
    assert last_line(tmp_path) == ""


def test_jobs_of_other_folders_are_no_part_of_the_queue(tmp_path, monkeypatch):
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\necho '5|RUNNING|None|{tmp_path}'\necho '6|RUNNING|None|/elsewhere'\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}:{os.environ['PATH']}")
    assert queue(tmp_path) == {"5": ("running", "None")}
