"""Jobs in the queue that will never start, and jobs that Ctrl-C left there."""

from logging import makeLogRecord

import pytest
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from chestct.status import slurm_queue
from chestct.status.slurm_queue import cancel_left_over
from chestct.status.stuck_jobs import stuck_jobs, watch
from snakemake_logger_plugin_chestct import LogHandler


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PartitionTimeLimit", "max_runtime"),
        ("launch failed requeued held", "scontrol release"),
        ("(launch failed requeued held)", "working directory"),
        ("JobHeldAdmin", "held"),
        ("job requeued in held state", "held"),
        ("BadConstraints", "gpu_type"),
        ("InvalidAccount", "slurm_account"),
        ("QOSMaxWallDurationPerJobLimit", "max_runtime"),
        ("AssocMaxMemPerJob", "max_mem_mb"),
    ],
)
def test_a_reason_that_does_not_pass_is_said_with_its_cure(reason, words):
    (sentence,) = stuck_jobs({"17_3": ("pending", reason), "18": ("running", "None")}).values()
    assert "17_3" in sentence and words in sentence and "18" not in sentence.replace("17_3", "")


@pytest.mark.parametrize(
    "reason",
    ["Priority", "Resources", "None", "Dependency", "QOSMaxJobsPerUserLimit", "BeginTime", "Nodes_required"],
)
def test_jobs_that_only_wait_are_no_news(reason):
    assert stuck_jobs({"17": ("pending", reason)}) == {}
    assert stuck_jobs({"17": ("running", "PartitionTimeLimit")}) == {}


def test_every_reason_is_said_once_and_many_jobs_are_counted(tmp_path):
    queue = {str(number): ("pending", "PartitionTimeLimit") for number in range(8)}
    looks = iter([{}, queue, queue, queue | {"9": ("pending", "JobHeldUser")}])
    said, left = [], [4]

    def over() -> bool:
        left[0] -= 1
        return left[0] < 0

    watch(tmp_path, said.append, seconds=0, states=lambda folder: next(looks), over=over)
    assert len(said) == 2
    assert "0, 1, 2, 3, 4 and 3 more" in said[0] and "held" in said[1]


@pytest.mark.parametrize(("code", "words"), [(0, "Cancelled 2 Slurm"), (1, "make unlock cancels them")])
def test_what_ctrl_c_left_in_the_queue_is_cancelled_and_said(tmp_path, monkeypatch, code, words):
    queue = f"5|PENDING|None|{tmp_path}\n6_[2-4]|RUNNING|None|{tmp_path}\n"
    queue += f"7|COMPLETING|None|{tmp_path}\n8|PENDING|None|/another/run\n"
    (tmp_path / "queue").write_text(queue)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "squeue").write_text(f'#!/bin/sh\ncase "$*" in *--name=run_1*) cat {tmp_path}/queue;; esac\n')
    (tools / "scancel").write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/cancelled; exit {code}\n')
    for path in tools.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    assert words in cancel_left_over(tmp_path, "run_1")
    assert (tmp_path / "cancelled").read_text().split() == ["5", "6_[2-4]"]
    assert cancel_left_over(tmp_path, "run_2") is None
    assert slurm_queue.job_states(tmp_path, "run_2") == {}


def test_slurms_own_log_is_shown_of_a_job_that_ended_before_its_script_began(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    place = tmp_path / ".snakemake" / "slurm_logs" / "rule_train"
    place.mkdir(parents=True)
    (place / "18_1.log").write_text("PermissionError: '/home/somebody/.cache'\n")
    handler = LogHandler(OutputSettings(stdout=True), None)
    facts = {"rule_name": "train", "wildcards": {}, "log": ["logs/train.log"]}
    handler.emit(makeLogRecord({"event": LogEvent.RUN_INFO, "stats": {"train": 1, "total": 1}}))
    handler.emit(makeLogRecord({"event": LogEvent.JOB_INFO, "jobid": 5, **facts}))
    message = "Submitted array job with Snakemake IDs 5 and SLURM job ID 18. The individual task IDs are 1-1."
    handler.emit(makeLogRecord({"msg": message}))
    # The plugin names a log that arrays do not have.
    facts["log"] = [*facts["log"], str(place / "wildcards" / "18_1.log")]
    handler.emit(makeLogRecord({"event": LogEvent.JOB_ERROR, "jobid": 5, "rule_msg": None, **facts}))
    lines = "\n".join(handler._end())
    assert f"log: {place.relative_to(tmp_path)}/18_1.log" in lines and "PermissionError" in lines
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "train.log").write_text("ERROR: its own words\n")
    assert "PermissionError" not in "\n".join(handler._end())
