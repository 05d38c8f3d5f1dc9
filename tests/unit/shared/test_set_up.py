"""`make setup`: what was interrupted, or does not work, is installed anew; every hash is checked."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: Stands in for uv: notes how it is called, makes an environment, and is interrupted where a file says so.
UV = """#!/bin/bash
echo "$@" >> calls
case "$1 $2" in
  venv*) [[ "$*" == *--clear* ]] && rm -rf .venv; mkdir -p .venv/bin; cp python.stub .venv/bin/python;;
  "pip sync") touch .venv/half; if [ -e interrupt ]; then rm interrupt; exit 130; fi;;
esac
"""
PYTHON = """#!/bin/bash
echo "check ${@:2}" >> calls
[ ! -e broken ]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose uv is there already."""
    for name in ("Makefile", "requirements.lock", "requirements-uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / ".uv" / "bin").mkdir(parents=True)
    for name, text in ((".uv/bin/uv", UV), ("python.stub", PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".uv" / ".installed").touch()
    return tmp_path


def set_up(project: Path) -> tuple[int, list[str], str]:
    """Exit code of `make setup`, how uv and the new Python were called, and what was said."""
    (project / "calls").write_text("")
    done = subprocess.run(["make", "setup"], cwd=project, capture_output=True, text=True)
    return done.returncode, (project / "calls").read_text().splitlines(), done.stdout + done.stderr


def test_a_set_up_ends_with_a_look_whether_it_works_and_is_done_once(project: Path) -> None:
    code, calls, _ = set_up(project)
    assert code == 0
    assert [call.split()[0] for call in calls] == ["venv", "pip", "pip", "check"]
    assert "import torch" in calls[-1] and "snakemake" in calls[-1]
    assert set_up(project)[:2] == (0, [])


def test_an_interrupted_set_up_begins_anew(project: Path) -> None:
    (project / "interrupt").touch()
    code, calls, _ = set_up(project)
    assert code != 0 and "check" not in calls[-1]
    assert (project / ".venv" / "half").exists()
    (project / ".venv" / "linked half-way").touch()
    code, calls, _ = set_up(project)
    assert code == 0 and "--clear" in calls[0]
    assert not (project / ".venv" / "linked half-way").exists()


def test_an_interrupted_change_of_the_requirements_begins_anew_too(project: Path) -> None:
    assert set_up(project)[0] == 0
    later = time.time() + 5
    os.utime(project / "requirements.lock", (later, later))
    (project / "interrupt").touch()
    code, calls, _ = set_up(project)
    assert code != 0 and "--allow-existing" in calls[0]
    code, calls, _ = set_up(project)
    assert code == 0 and "--clear" in calls[0]


def test_an_environment_that_does_not_import_is_no_success(project: Path) -> None:
    (project / "broken").touch()
    for _ in range(2):
        code, calls, said = set_up(project)
        assert code != 0 and "--clear" in calls[0] and "make again" in said
    (project / "broken").unlink()
    assert set_up(project)[0] == 0


def test_two_set_ups_at_once_install_once(project: Path) -> None:
    (project / "calls").write_text("")
    jobs = [subprocess.Popen(["make", "setup"], cwd=project, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [job.wait(60) for job in jobs] == [0, 0]
    assert (project / "calls").read_text().count("venv ") == 1


def test_every_hash_is_checked_of_uv_of_requirements_and_of_what_builds_them(project: Path) -> None:
    _, calls, _ = set_up(project)
    sync = next(call for call in calls if call.startswith("pip sync"))
    assert "--require-hashes" in sync and "--require-build-hashes" in sync
    assert "--build-constraints requirements.lock" in sync
    recipe = (ROOT / "Makefile").read_text()
    downloads = [line for line in recipe.splitlines() if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in downloads)
    for name in ("requirements.lock", "requirements-uv.lock"):
        text = (ROOT / name).read_text()
        packages = re.split(r"\n(?=\S)", text.strip())
        assert all("==" in package and "--hash=sha256:" in package for package in packages)
    # What builds source packages and this project itself.
    assert {"setuptools", "hatchling", "editables"} <= set(
        re.findall(r"^([\w-]+)==", (ROOT / "requirements.lock").read_text(), re.M)
    )
