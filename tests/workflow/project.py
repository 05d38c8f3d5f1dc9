"""A copy of the project, for tests that run or change the workflow."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflow.warm_start import run_warm

COPIED = ["Snakefile", "config.yaml", "docs", "envs", "profiles", "rules", "schemas", "studies"]
COPIED += ["report", "workflow_scripts"]
#: Configuration files of a study of one of every kind of job, for the other ways to run a study.
SMALL = ("studies/smoke.yaml", str(Path(__file__).with_name("small.yaml")))


@dataclass
class Project:
    """A copy of the workflow and a way to run it."""

    folder: Path

    def command(self, *arguments: str, study: str | None = "smoke") -> list[str]:
        """The command line of a run on two cores."""
        overlay = ["--configfile", f"studies/{study}.yaml"] if study else []
        return ["snakemake", "--cores", "2", *arguments, *overlay]

    def run(
        self, *arguments: str, study: str | None = "smoke", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the copy; its output comes back as text."""
        command = self.command(*arguments, study=study)
        done = subprocess.run(
            command, cwd=self.folder, env=clean_environment(), capture_output=True, text=True
        )
        return _checked(done, check)

    def ask(
        self, *arguments: str, study: str | None = "smoke", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The same without a start of Python (warm_start.py), for what runs no job of a study."""
        command = self.command(*arguments, study=study)
        return _checked(run_warm(command, self.folder, clean_environment()), check)

    def planned(self, *arguments: str, study: str | None = "smoke") -> dict[str, int]:
        """Jobs by rule that a run would start."""
        lines = self.ask("--dry-run", "--quiet", "rules", *arguments, study=study).stdout.splitlines()
        counts = {}
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[1].isdigit() and words[0] != "total":
                counts[words[0]] = int(words[1])
        return counts

    def python(self, *arguments: str) -> str:
        """Output of Python, run with the package of the copy."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def plan(self, study: str | None = "smoke") -> str:
        """What a study costs, as ``make plan`` prints it."""
        command = ["workflow_scripts/print_plan.py", *self.command(study=study)[1:]]
        return _checked(run_warm(command, self.folder, clean_environment())).stdout

    def cost_plan(self, study: str) -> dict[str, tuple[int, int]]:
        """Jobs by rule, in all and to do now, as the plan prints them."""
        lines = self.plan(study).splitlines()
        start = next(i for i, line in enumerate(lines) if line.split() == ["rule", "jobs", "to", "do", "now"])
        rows = (line.replace(",", "").split() for line in lines[start + 1 : lines.index("", start)])
        counts = {rule: (int(jobs), int(to_do)) for rule, jobs, to_do in rows}
        total = counts.pop("total")
        assert total == tuple(sum(numbers) for numbers in zip(*counts.values(), strict=True))
        return counts

    def copy(self, folder: Path) -> "Project":
        """The same in another folder, with what was run, and the times of its files."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        return Project(folder)

    def append(self, path: str, text: str) -> None:
        """Add text at the end of a file of the copy."""
        with open(self.folder / path, "a") as file:
            file.write(text)


def _checked(done: subprocess.CompletedProcess[str], check: bool = True) -> subprocess.CompletedProcess[str]:
    """Put both outputs into one, and fail where the command did."""
    done.stdout += done.stderr
    if check and done.returncode:
        pytest.fail(f"{done.args} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done


def clean_environment() -> dict[str, str]:
    """The environment of a user's shell: cached bytecode, no editable install from elsewhere."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # The copy's own package comes first; without this the installed one would hide its changes.
    environment["PYTHONPATH"] = "workflow_scripts"
    return environment


def copy_project(root: Path, folder: Path) -> Project:
    """Copy the workflow, and the published weights where they are already there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = root / name
        if source.is_dir():
            # Compiled modules come along, but for those that are just being written.
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy2(source, folder / name)
    if (root / "data" / "weights").is_dir():
        shutil.copytree(root / "data" / "weights", folder / "data" / "weights")
    return Project(folder)
