"""One real Slurm for all tests of this folder, and ways to run Snakemake on it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.slurm import Cluster, end_with_parent, missing
from tests.workflow.project import clean_environment, copy_project

#: Stands for a credential in a user's environment.
SECRET = "not-for-any-log-7d1c"
IMPATIENT = Path(__file__).with_name("impatient.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder carry the mark by which they are asked for."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running cluster of two nodes, which ends with the tests."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _as_from_a_terminal() -> None:
    """For Snakemake that starts: it ends with the tests, and Ctrl-C reaches it.

    What a shell starts in the background, as CI does these tests, ignores SIGINT, and so do its children.
    """
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Run:
    """A Snakemake that submits to the cluster, from a copy of the project.

    Attributes:
        folder: of the copy.
        cluster: that it submits to.
    """

    folder: Path
    cluster: Cluster

    def start(
        self,
        *arguments: str,
        log: str = "snakemake.log",
        umask: int = 0o022,
        path: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen:
        """Start Snakemake with the project's Slurm profile; its output goes to a file of the copy.

        Args:
            arguments: more of them.
            log: name of that file.
            umask: of the user.
            path: PATH instead of the cluster's own.
            environment: more of the user's variables.
        """
        command = [sys.executable, str(IMPATIENT), "--workflow-profile", "profiles/slurm", *arguments]
        command += ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]
        more = environment or {}
        environment = clean_environment() | self.cluster.environment()
        environment |= {"PYTHONPATH": "workflow_scripts", "OMP_NUM_THREADS": "1", "RSPECT_ARCHIVE": SECRET}
        # The nested Snakemake of a job is that of this Python, as it is where users activate theirs.
        usual = f"{self.cluster.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment["PATH"] = f"{Path(sys.executable).parent}:{path}" if path else usual
        environment |= more
        with open(self.folder / log, "w") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=umask,
                preexec_fn=_as_from_a_terminal,
            )

    def finish(
        self,
        process: subprocess.Popen,
        *,
        good: bool = True,
        seconds: float = 1500,
        log: str = "snakemake.log",
    ) -> str:
        """Wait for Snakemake's end, good or bad; returns Snakemake's own log."""
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "timeout"
        text = (self.folder / log).read_text()
        if code == "timeout" or bool(code) == good:
            logs = sorted((self.folder / ".snakemake" / "slurm_logs").rglob("*.log"))
            more = [f"== {path}\n{path.read_text()[-1500:]}" for path in logs[-4:]]
            pytest.fail(
                f"snakemake ended with {code}:\n{text[-6000:]}\n{self.cluster.jobs()}\n" + "\n".join(more)
            )
        return self.newest_log()

    def newest_log(self) -> str:
        """Snakemake's own log of the last run: the logger plugin prints less."""
        return max((self.folder / ".snakemake" / "log").glob("*.snakemake.log")).read_text()


@pytest.fixture(scope="session")
def make_run(root, cluster, tmp_path_factory) -> Callable[[str], Run]:
    """Makes a fresh copy of the project and a way to run it on the cluster."""

    def make(name: str) -> Run:
        folder = tmp_path_factory.mktemp(name) / "project"
        copy_project(root, folder)
        return Run(folder, cluster)

    return make


class Troubled:
    """A run to whose jobs things happen, on nodes of its own, beside the other tests.

    A thread does what happens: most of the time it waits for Slurm.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        shutil.copy2(Path(__file__).with_name("faults.smk"), run.folder / "Snakefile")
        self.process = run.start()
        self.thread = ThreadPoolExecutor(1)
        self.happening = self.thread.submit(self._happen)

    def wait(self) -> tuple[Run, str]:
        """The run, and what Snakemake said; one of its jobs always fails."""
        self.happening.result(600)
        return self.run, self.run.finish(self.process, good=False)

    def stop(self) -> None:
        """End the run, however far it is."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.thread.shutdown()

    def _started(self, name: str) -> str | None:
        assert self.process.poll() is None, (self.run.folder / "snakemake.log").read_text()
        path = self.run.folder / f"{name}.started"
        return path.read_text().strip() if path.exists() else None

    def _state(self, number: str) -> str:
        return next(job["state"] for job in self.run.cluster.jobs() if job["id"] == number)

    def _happen(self) -> None:
        cluster, numbers = self.run.cluster, {}
        for name in ("cancelled", "preempted", "node"):
            wait_until(lambda name=name: self._started(name), what=f"the start of job {name}")
            numbers[name] = str(self._started(name))
        cluster.command("scancel", numbers["cancelled"])
        # All GPUs of the node, for a more urgent partition: one job there has some.
        urgent = ["--partition=urgent", "--nodelist=n3", "--gpus=2", "--mem=100", "--output=/dev/null"]
        cluster.command("sbatch", *urgent, "--wrap=sleep 1")
        cluster.kill_node("n4")
        cluster.start_node("n4")
        cluster.command("scontrol", "update", "NodeName=n4", "State=RESUME")
        for name in ("preempted", "node"):
            wait_until(lambda name=name: self._state(numbers[name]) == "PENDING", what=f"requeue of {name}")
            # Slurm lets two minutes pass before a job starts again.
            cluster.command("scontrol", "update", f"JobId={numbers[name]}", "StartTime=now")


@pytest.fixture(scope="session")
def troubled(make_run) -> Iterator[Troubled]:
    """The run to whose jobs things happen; it begins with the first test."""
    troubled = Troubled(make_run("troubled"))
    try:
        yield troubled
    finally:
        troubled.stop()


def wait_until(condition: Callable[[], object], seconds: float = 600, what: str = "") -> None:
    """Wait until a condition holds; the test fails if it never does.

    The limit is for a cluster that hangs: a busy machine is slow, and no test is of its speed.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s for {what}")
        time.sleep(0.2)
