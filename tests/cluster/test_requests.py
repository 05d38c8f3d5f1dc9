"""What jobs ask Slurm for, and what they get: GPUs by number or by name, several nodes, job arrays."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.workflow.project import copy_project


@pytest.fixture(scope="module")
def asked(make_run, root, troubled):
    """A copy in which jobs wrote down what they got."""
    run = make_run("requests")
    here = Path(__file__).parent
    shutil.copy2(here / "requests.smk", run.folder / "Snakefile")
    shutil.copy2(here / "train_on_nodes.py", run.folder)
    shutil.copytree(root / "tests" / "unit" / "training", run.folder / "tests" / "unit" / "training")
    return run, run.finish(run.start("--slurm-array-jobs", "many"))


def test_a_job_gets_its_gpus(asked):
    text = (asked[0].folder / "asked" / "one.txt").read_text()
    assert "visible 0,1" in text
    assert re.search(r"TresPerJob=gres:gpu:2", text)


def test_two_nodes_of_a_job_train_as_one_does(asked):
    lines = (asked[0].folder / "asked" / "nodes.txt").read_text().splitlines()
    (one, loss), (two, same) = (re.fullmatch(r"(.*) (\S+)", line).groups() for line in lines)
    assert (one, two) == ("cpu", "2 x cpu")
    assert float(loss) == pytest.approx(float(same), abs=1e-5)


def test_many_like_jobs_are_one_array(asked):
    files = sorted((asked[0].folder / "asked").glob("many-*.txt"))
    assert len(files) == 2
    (array,) = {path.read_text().strip() for path in files}
    assert array.isdigit()
    assert "Submitted array job" in asked[1]


def test_a_site_states_its_facts_in_the_profile_alone(root, tmp_path):
    project = copy_project(root, tmp_path / "project")
    path = project.folder / "profiles" / "slurm" / "config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["default-resources"] |= {"gpu_request": "gres", "gpu_type": "a100", "gpu_partition": "big"}
    profile["default-resources"] |= {"max_runtime": "100"}
    path.write_text(yaml.safe_dump(profile))
    (project.folder / "studies" / "changed.yaml").write_text("training: {gpus: 2}\n")
    text = project.run("--dry-run", "--workflow-profile", "profiles/slurm", study="changed").stdout
    line = re.search(r"^rule finetune:.*?^    resources: (.*?)$", text, re.M | re.S)[1]
    resources = dict(part.split("=", 1) for part in line.split(", "))
    expected = {"gres": "gpu:a100:2", "slurm_partition": "big", "runtime": "100", "nodes": "1"}
    assert {name: resources.get(name) for name in expected} == expected


def test_a_limit_on_jobs_that_would_hang_arrays_is_refused(root, tmp_path):
    project = copy_project(root, tmp_path / "project")
    path = project.folder / "profiles" / "slurm" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"jobs": 50}))
    done = project.run("--workflow-profile", "profiles/slurm", check=False)
    assert done.returncode
    assert "jobs=50 together with slurm-array-jobs would hang the run" in done.stdout
