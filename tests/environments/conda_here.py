"""A conda for the tests: the one on PATH, or one that stands in for it where no channel can be reached."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONDARC = """\
channel_priority: strict
solver: classic
default_channels: []
add_pip_as_python_dependency: false
notify_outdated_conda: false
custom_channels: {{conda-forge: "file://{channels}"}}
pkgs_dirs: ["{packages}"]
"""


@dataclass(frozen=True)
class Conda:
    """A conda that works.

    Attributes:
        name: what it is, for messages.
        environment: variables under which ``conda`` is found.
    """

    name: str
    environment: dict[str, str]


def missing(stand_in: Path) -> str | None:
    """Why there is no conda; None if there is one, or what makes one."""
    if shutil.which("conda") or (stand_in / "bootstrap_conda.py").is_file():
        return None
    return f"no conda on PATH, and nothing that stands in for it at {stand_in}"


def make_conda(root: Path, stand_in: Path, folder: Path) -> Conda:
    """The conda on PATH; else a conda of packages from the Python index, with a channel on disk.

    The stand-in shows that the environments can be made and suffice for their steps; not that conda-forge's
    own Python is built like this one.

    Args:
        root: of the project, whose uv is used.
        stand_in: folder of the scripts that make it.
        folder: to make it in.
    """
    if shutil.which("conda"):
        return Conda("conda on PATH", dict(os.environ))
    environment = dict(os.environ) | {"PATH": f"{root / '.uv' / 'bin'}:{os.environ['PATH']}"}
    base, channels = folder / "base", folder / "channels"
    subprocess.run([sys.executable, stand_in / "bootstrap_conda.py", base], env=environment, check=True)
    wheels = folder / "wheels"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), "pip"]
    subprocess.run(download, env=environment, check=True)
    make = [base / "bin" / "python", stand_in / "mkchannel.py", channels / "conda-forge", *wheels.iterdir()]
    subprocess.run(make, env=environment, check=True, stdout=subprocess.DEVNULL)
    (base / ".condarc").write_text(CONDARC.format(channels=channels, packages=folder / "packages"))
    environment["PATH"] = f"{base / 'pathbin'}:{os.environ['PATH']}"
    # The index's own builds, as users get them: a machine's local ones need not fit each other.
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    return Conda("stand-in", environment | {"PIP_NO_COMPILE": "1", "PIP_CACHE_DIR": str(folder / "cache")})
