"""Every step in an environment of its own, made by conda: a study runs so, and none borrows a package."""

import subprocess
import sys

import pytest

from tests.environments.test_environment_files import STEPS

pytestmark = pytest.mark.conda

#: Imports every module of the packages named, from the folder named first, in an isolated Python.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    package = importlib.import_module(f"chestct.{name}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
# Some modules that libraries make at run time name files that are none.
files = [f for m in list(sys.modules.values()) if (f := getattr(m, "__file__", None)) and f.startswith("/")]
outside = [f for f in files if not f.startswith((sys.prefix, sys.argv[1]))]
assert not outside, outside
print("imported")
"""


@pytest.fixture(scope="module")
def project(in_environments):
    """A copy in which a small study ran with ``--sdm conda``."""
    return in_environments


def test_the_study_ran_to_its_end(project):
    assert (project.folder / "results/small/report.html").exists()
    assert set(project.environments) == set(STEPS)


def run_in(project, step: str, *arguments: str) -> str:
    """Output of an environment's Python, isolated from everything else."""
    python = project.environments[step] / "bin" / "python"
    done = subprocess.run([python, "-I", *arguments], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("step", STEPS)
def test_an_environment_has_all_that_its_step_imports(project, step):
    scripts = str(project.folder / "workflow_scripts")
    assert run_in(project, step, "-c", IMPORT_ALL, scripts, *STEPS[step]).strip().endswith("imported")


@pytest.mark.parametrize("step", STEPS)
def test_the_packages_of_an_environment_fit_each_other(project, step):
    assert "No broken requirements" in run_in(project, step, "-m", "pip", "check")


def test_a_container_definition_holds_all_environments(project):
    command = [sys.executable, "-m", "snakemake", "--containerize", "apptainer"]
    done = subprocess.run(command, cwd=project.folder, env=project.variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for step in STEPS:
        assert f"source: envs/{step}.yaml" in done.stdout
    assert "mamba env create" in done.stdout or "conda env create" in done.stdout
