"""`make setup`: what was interrupted, or does not work, is installed anew; every hash is checked."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = ("requirements.lock", "requirements-uv.lock", "requirements-cpu.lock")
#: All that `make setup` calls besides a Python.
TOOLS = [
    "bash",
    "sh",
    "make",
    "cat",
    "sed",
    "awk",
    "mv",
    "cp",
    "rm",
    "mkdir",
    "touch",
    "flock",
    "uname",
    "id",
]
#: What `make` also takes from the environment.
CHOICES = ("PYTHON", "TORCH", "TORCH_INDEX")
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
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / ".uv" / "bin").mkdir(parents=True)
    for name, text in ((".uv/bin/uv", UV), ("python.stub", PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".uv" / ".installed").touch()
    return tmp_path


def set_up(project: Path, *chosen: str, path: str = os.environ["PATH"]) -> tuple[int, list[str], str]:
    """Exit code of `make setup`, how uv and the new Python were called, and what was said."""
    (project / "calls").write_text("")
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES} | {"PATH": path}
    done = subprocess.run(
        ["make", "setup", *chosen], cwd=project, capture_output=True, text=True, env=environment
    )
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
    assert [job.wait(600) for job in jobs] == [0, 0]
    assert (project / "calls").read_text().count("venv ") == 1


def test_every_hash_is_checked_of_uv_of_requirements_and_of_what_builds_them(project: Path) -> None:
    _, calls, _ = set_up(project)
    sync = next(call for call in calls if call.startswith("pip sync"))
    assert "--require-hashes" in sync and "--require-build-hashes" in sync
    assert "--build-constraints requirements.lock" in sync
    recipe = (ROOT / "Makefile").read_text()
    downloads = [line for line in recipe.splitlines() if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in downloads)
    for name in LOCKS:
        text = (ROOT / name).read_text()
        packages = re.split(r"\n(?=\S)", text.strip())
        assert all("==" in package and "--hash=sha256:" in package for package in packages)
    # What builds source packages and this project itself.
    assert {"setuptools", "hatchling", "editables"} <= set(
        re.findall(r"^([\w-]+)==", (ROOT / "requirements.lock").read_text(), re.M)
    )


@pytest.fixture
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that `make setup` calls besides a Python."""
    folder = tmp_path_factory.mktemp("tools")
    for name in TOOLS:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return folder


def interpreter(folder: Path, name: str, *, right: bool = True) -> None:
    """A Python of a version that is right, or a name with nothing behind it, as version managers leave."""
    (folder / name).write_text(f"#!/bin/sh\nexit {0 if right else 127}\n")
    (folder / name).chmod(0o755)


def test_the_first_python_that_runs_is_taken_and_stays(project: Path, tools: Path) -> None:
    interpreter(tools, "python3.11", right=False)
    interpreter(tools, "python3.13")
    code, calls, _ = set_up(project, path=str(tools))
    assert code == 0 and f"--python {tools}/python3.13" in calls[0]
    interpreter(tools, "python3.11")
    assert set_up(project, path=str(tools))[:2] == (0, [])
    code, calls, _ = set_up(project, f"PYTHON={tools}/python3.11", path=str(tools))
    assert code == 0 and "--clear" in calls[0] and f"--python {tools}/python3.11" in calls[0]
    assert set_up(project, path=str(tools))[:2] == (0, [])


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([], "Python 3.11, 3.12 or 3.13 is needed, and none was found"),
        (["PYTHON=/no/python3.12"], "/no/python3.12 is none that runs"),
        (["TORCH=rocm"], "no TORCH=rocm"),
        (["TORCH=cpu"], "needs TORCH_INDEX"),
    ],
)
def test_what_cannot_be_installed_is_said_and_forgotten(
    project: Path, tools: Path, chosen: list[str], words: str
) -> None:
    if chosen and "PYTHON" not in chosen[0]:
        interpreter(tools, "python3.12")
    code, calls, said = set_up(project, *chosen, path=str(tools))
    assert code != 0 and not calls and words in said and "docs/installation.md" in said
    interpreter(tools, "python3.12")
    assert set_up(project, path=str(tools))[0] == 0


def test_pytorch_without_cuda_comes_from_the_named_index_and_stays(project: Path) -> None:
    code, calls, _ = set_up(project, "TORCH=cpu", "TORCH_INDEX=https://index.example/cpu")
    assert code == 0 and [call.split()[0] for call in calls] == ["venv", "pip", "pip", "pip", "check"]
    assert calls[1].endswith(".uv/without-cuda.lock")
    for part in (
        "--require-hashes",
        "--no-deps",
        "--index-url https://index.example/cpu",
        "-r requirements-cpu.lock",
    ):
        assert part in calls[2]
    names, all_names = (
        set(re.findall(r"^([\w-]+)==", (project / name).read_text(), re.M))
        for name in (".uv/without-cuda.lock", "requirements.lock")
    )
    dropped = all_names - names
    assert {"torch", "torchvision", "triton", "cuda-toolkit"} <= dropped
    assert all(re.match("torch|triton|cuda|nvidia", name) for name in dropped) and "pytorchvideo" in names
    assert set_up(project)[:2] == (0, [])
    (project / "wheels").mkdir()
    assert "--no-index --find-links wheels" in set_up(project, "TORCH_INDEX=wheels")[1][2]
    code, calls, _ = set_up(project, "TORCH=cuda")
    assert code == 0 and "--clear" in calls[0] and calls[1].endswith(" requirements.lock") and len(calls) == 4


def test_the_locks_hold_one_set_of_versions() -> None:
    asked = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.in").read_text(), re.M))
    built = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements-cpu.lock").read_text(), re.M))
    assert built == {name: f"{asked[name]}+cpu" for name in ("torch", "torchvision")}
    text = (ROOT / "requirements.lock").read_text()
    names = re.findall(r"^([\w-]+)==", text, re.M)
    assert len(names) == len(set(names)) and "://" not in text
    # Elsewhere than on Linux there is no CUDA.
    conditions = dict(re.findall(r"^((?:nvidia|cuda|triton)[\w-]*)==\S+ ?(.*)", text, re.M))
    assert conditions and all("sys_platform == 'linux'" in condition for condition in conditions.values())
