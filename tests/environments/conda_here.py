"""A conda for the tests: the one on PATH, or one that stands in for it where no channel can be reached."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflow.project import SMALL, clean_environment, copy_project

CONDARC = """\
channel_priority: strict
solver: classic
default_channels: []
add_pip_as_python_dependency: false
notify_outdated_conda: false
custom_channels: {{conda-forge: "file://{channels}"}}
pkgs_dirs: ["{packages}"]
"""
WHEELS_FIRST = Path(__file__).with_name("wheels_first.py")


@dataclass(frozen=True)
class Conda:
    """A conda that works.

    Attributes:
        name: what it is, for messages.
        environment: variables under which ``conda`` is found.
    """

    name: str
    environment: dict[str, str]


def stand_in_of(root: Path) -> Path:
    """Folder of the scripts that make a conda; it may be missing."""
    return Path(os.environ.get("CHESTCT_SHARED", root.parent / "shared")) / "conda-stand-in"


def missing(root: Path) -> str | None:
    """Why there is no conda; None if there is one, or what makes one."""
    stand_in = stand_in_of(root)
    if shutil.which("conda") or (stand_in / "bootstrap_conda.py").is_file():
        return None
    return f"no conda on PATH, and nothing that stands in for it at {stand_in}"


def make_conda(root: Path, folder: Path) -> Conda:
    """The conda on PATH; else a conda of packages from the Python index, with a channel on disk.

    The stand-in shows that the environments can be made and suffice for their steps; not that conda-forge's
    own Python is built like this one. Wheels that the project's set-up brought are linked (wheels_first).

    Args:
        root: of the project, whose uv is used.
        folder: to make it in.
    """
    if shutil.which("conda"):
        return Conda("conda on PATH", dict(os.environ))
    environment = dict(os.environ) | {"PATH": f"{root / '.uv' / 'bin'}:{os.environ['PATH']}"}
    stand_in, base, channels = stand_in_of(root), folder / "base", folder / "channels"
    subprocess.run([sys.executable, stand_in / "bootstrap_conda.py", base], env=environment, check=True)
    (site,) = base.glob("lib/python3.*/site-packages")
    shutil.copy2(WHEELS_FIRST, site)
    with open(site / "conda" / "env" / "installers" / "pip.py", "a") as installer:
        installer.write(f"\n\nfrom {WHEELS_FIRST.stem} import pip_subprocess\n")
    wheels = folder / "wheels"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), "pip"]
    subprocess.run(download, env=environment, check=True)
    make = [base / "bin" / "python", stand_in / "mkchannel.py", channels / "conda-forge", *wheels.iterdir()]
    subprocess.run(make, env=environment, check=True, stdout=subprocess.DEVNULL)
    (base / ".condarc").write_text(CONDARC.format(channels=channels, packages=folder / "packages"))
    environment["PATH"] = f"{base / 'pathbin'}:{os.environ['PATH']}"
    # The index's own builds, as users get them: a machine's local ones need not fit each other.
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    uv, lock = root / ".uv" / "bin" / "uv", root / "requirements.lock"
    environment |= {"CHESTCT_UV": str(uv), "CHESTCT_LOCK": str(lock)}
    environment |= {"CHESTCT_PACKAGES": sysconfig.get_path("purelib")}
    return Conda("stand-in", environment | {"PIP_NO_COMPILE": "1", "PIP_CACHE_DIR": str(folder / "cache")})


@dataclass(frozen=True)
class StudyInEnvironments:
    """A small study that ran with ``--sdm conda``.

    Attributes:
        folder: of the copy of the project that it ran in.
        environments: folder of each environment, by step.
        variables: under which ``conda`` is found.
    """

    folder: Path
    environments: dict[str, Path]
    variables: dict[str, str]


def run_study(root: Path, folder: Path) -> StudyInEnvironments:
    """Make every step's environment, and run a small study in them.

    Args:
        root: of the project.
        folder: to do it in.
    """
    conda = make_conda(root, folder)
    project = copy_project(root, folder / "project")
    variables = clean_environment() | conda.environment | {"PYTHONPATH": "workflow_scripts"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--sdm", "conda", "--configfile", *SMALL]
    done = subprocess.run(command, cwd=project.folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{conda.name}: {done.stdout[-3000:]}{done.stderr[-6000:]}")
    # Snakemake keeps the file that an environment was made from beside it.
    made = {path.read_text(): path.with_suffix("") for path in project.folder.glob(".snakemake/conda/*.yaml")}
    files = {path.stem: path.read_text() for path in (project.folder / "envs").glob("*.yaml")}
    environments = {step: made[text] for step, text in files.items() if text in made}
    return StudyInEnvironments(project.folder, environments, variables)
