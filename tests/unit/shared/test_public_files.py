"""What a public repository shows beside the code: one version, files that parse, commands that exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import chestct

ROOT = Path(__file__).resolve().parents[3]


def test_the_version_is_the_same_wherever_it_stands():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    codemeta, zenodo = (json.loads((ROOT / name).read_text()) for name in ("codemeta.json", ".zenodo.json"))
    assert citation["version"] == codemeta["version"] == zenodo["version"] == chestct.__version__
    assert citation["license"] == zenodo["license"] == "MIT"
    assert citation["keywords"] == codemeta["keywords"] == zenodo["keywords"]
    assert zenodo["title"] == citation["title"] and codemeta["license"].endswith("/MIT")


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *ROOT.glob(".github/**/*.yml"),
            ROOT / ".pre-commit-config.yaml",
            ROOT / ".snakemake-workflow-catalog.yml",
        ]
    ),
    ids=lambda path: path.name,
)
def test_forms_and_workflows_are_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_every_make_target_that_is_named_anywhere_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / ".ci/run",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob(".github/**/*"),
    ]
    named = {
        (page.name, target)
        for page in pages
        if page.is_file()
        for target in re.findall(r"(?:^|`|run: |PATH )make ([a-z][a-z-]*)", page.read_text(), re.M)
    }
    assert len(named) > 20
    assert not {(page, target) for page, target in named if target not in targets}


def test_bare_make_prints_help_and_a_misspelt_study_ends_before_anything_is_set_up(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "smoke.yaml").touch()
    shown = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0 and "make study" in shown.stdout and "smoke" in shown.stdout
    wrong = subprocess.run(["make", "study", "STUDY=smokee"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and "no study 'smokee'" in wrong.stderr and "smoke" in wrong.stderr
    (tmp_path / "studies" / "quick.yaml").write_text("# Small. An overlay over smoke.yaml, given after it:\n")
    wrong = subprocess.run(["make", "plan", "STUDY=quick"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and 'expected: STUDY="smoke quick"' in wrong.stderr
    (tmp_path / "profiles" / "slurm").mkdir(parents=True)
    command = ["make", "study", "STUDY=smoke", "PROFILE=slrum"]
    wrong = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and "no profile 'slrum'" in wrong.stderr and "slurm" in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Makefile", "profiles", "studies"]
