"""A study on the cluster, its Snakemake killed on the way: the numbers equal those of a local run."""

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.cluster.conftest import SECRET, wait_until
from tests.environments.conda_here import missing
from tests.workflow.project import SMALL, clean_environment, copy_project

RESULTS = "results/small"
#: Of a user whose group may read.
UMASK = 0o027
STUDY = ("--configfile", *SMALL)
#: Tables that every way to run a study must give again.
NUMBERS = [f"evaluation/{name}.csv" for name in ("metrics", "comparisons", "claims")] + ["training/runs.csv"]


@pytest.fixture(scope="module")
def reference(request, root, tmp_path_factory) -> Path:
    """Results of the same study on this machine alone.

    Tests of environments in the same session have run it here already, each step in its own: the numbers are
    the same ones.
    """
    if any(item.get_closest_marker("conda") for item in request.session.items) and not missing(root):
        return request.getfixturevalue("in_environments").folder / RESULTS
    project = copy_project(root, tmp_path_factory.mktemp("reference") / "project")
    project.run(*STUDY, study=None)
    return project.folder / RESULTS


def finished(text: str) -> list[str]:
    """Jobs that a run of Snakemake finished, as a rule with its outputs; rule all left out."""
    rule, outputs, jobs, ended = "", "", {}, []
    for line in text.splitlines():
        if match := re.fullmatch(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            rule, outputs = match[1], ""
        elif line.startswith("    output: "):
            outputs = line.removeprefix("    output: ")
        elif match := re.fullmatch(r"    jobid: (\d+)", line):
            jobs[match[1]] = f"{rule} {outputs}"
        elif match := re.match(r"Finished jobid: (\d+)", line):
            ended.append(jobs[match[1]])
    return [job for job in ended if not job.startswith("all ")]


class Interrupted:
    """The study on the cluster: killed while jobs ran, unlocked, started again to its end."""

    def __init__(self, run) -> None:
        self.run = run
        process = run.start(*STUDY, log="first.log", umask=UMASK)
        wait_until(lambda: self._finetuning(process), what="fine-tuning on the cluster")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.first = run.newest_log()
        self.comments = [job["comment"] for job in run.cluster.jobs()]
        self.page = self._tool("chestct.status", "--study", "small")
        # What `make unlock` does.
        self.left = self._tool("chestct.status", "--cancel")
        self._tool("snakemake", "--cores", "1", "--unlock", *STUDY)
        again = run.start(*STUDY, log="second.log", umask=UMASK)
        self.second = run.finish(again, seconds=1500, log="second.log")

    def _tool(self, *arguments: str) -> str:
        environment = (
            clean_environment() | self.run.cluster.environment() | {"PYTHONPATH": "workflow_scripts"}
        )
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=self.run.folder, env=environment, capture_output=True, text=True, umask=UMASK
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _finetuning(self, process: subprocess.Popen) -> bool:
        assert process.poll() is None, (self.run.folder / "first.log").read_text()
        return any("finetune" in job["comment"] for job in self.run.cluster.jobs("RUNNING"))


@pytest.fixture(scope="module")
def study(make_run, troubled) -> Interrupted:
    """The finished study."""
    return Interrupted(make_run("study"))


def test_no_finished_work_is_repeated_or_lost(study):
    before, after = finished(study.first), finished(study.second)
    assert len(before) > 8
    assert any(job.startswith("finetune") for job in after)
    assert not set(before) & set(after)
    assert (study.run.folder / RESULTS / "report.html").exists()


def test_a_killed_run_leaves_no_job_in_the_queue(study):
    assert re.fullmatch(r"[1-9]\d* Slurm job\(s\) cancelled\n", study.left)


def test_the_status_page_shows_what_runs_and_what_is_left(study):
    done, total = re.match(
        r"(\d+) of (\d+) jobs done, [1-9]\d* running or queued, 0 failed", study.page
    ).groups()
    assert int(done) == len(finished(study.first)) < int(total)
    # Alone or as a task of an array.
    running = re.search(r"^  finetune.*  Slurm (\d+)(?:_\d+)? running", study.page, re.M)
    assert running and running[1] in re.findall(r"SLURM job(?:id| ID) (\d+)", study.first)
    assert re.search(r"^about .* left at the pace so far", study.page, re.M)


@pytest.mark.parametrize("table", NUMBERS)
def test_the_numbers_equal_those_of_a_local_run(study, reference, table):
    one, other = (pd.read_csv(folder / table) for folder in (study.run.folder / RESULTS, reference))
    if table == "training/runs.csv":
        digests = ["dataset", "model", "init", "percent", "seed", "fold", "final_weights_sha256"]
        one, other = one[digests], other[digests]
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_small_tables_are_made_where_snakemake_runs(study):
    text = study.first + study.second
    for rule in ("list_series", "select_cohort", "collect_runs"):
        assert re.search(rf"^local(rule|checkpoint) {rule}:", text, re.M)
    comments = " ".join(study.comments)
    assert "rule_convert_series" in comments
    assert "select_cohort" not in comments


def rights(study, *folders: str) -> dict[str, int]:
    """Rights of all that the run wrote, by path; what was copied into the project before it is left out."""
    files = [path for name in folders for path in (study.run.folder / name).rglob("*")]
    kept = [path for path in files if not path.is_symlink() and "weights" not in path.parts]
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in kept}


def test_what_a_study_writes_follows_the_users_umask(study):
    written = rights(study, "results", "data")
    assert len(written) > 50
    assert not {path: oct(mode) for path, mode in written.items() if mode & UMASK}


def test_nobody_else_reads_or_changes_what_snakemake_notes(study):
    # Snakemake itself lets the user's group write its notes, whatever the umask.
    written = rights(study, ".snakemake")
    assert written
    assert not {path: oct(mode) for path, mode in written.items() if mode & stat.S_IRWXO}


def test_no_credential_reaches_a_log_or_a_comment(study):
    assert study.comments
    assert not any(SECRET in comment for comment in study.comments)
    for path in study.run.folder.rglob("*"):
        if path.is_file() and path.suffix in {".log", ".csv", ".json", ".html", ".yaml", ".md", ".tsv"}:
            assert SECRET not in path.read_text(errors="replace"), path
