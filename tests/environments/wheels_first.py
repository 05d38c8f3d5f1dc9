"""For the conda that stands in for one: uv lays out an environment's wheels, then pip makes the rest of it.

The set-up of the project has brought these wheels already, several gigabytes with CUDA: uv links them from
its cache, while pip would download, unpack and write all of them again. Pip still gets the whole list of
packages: it resolves it, holds what it finds against it, builds what comes as source and installs what is
missing. `conda_here.make_conda` puts this file beside conda's own modules.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from conda.env.pip_util import pip_subprocess as by_pip

#: On the Python index as source alone: pip builds them, as it does where users have it.
SOURCES = ("fvcore", "iopath", "pytorchvideo")
COMPILE = ("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate")
INSTALL = ("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-build")


def pip_subprocess(arguments: Sequence[str], prefix: str, cwd: str | None) -> tuple[str, str]:
    """In the place of conda's function of this name, with its arguments and results."""
    lists = [after for option, after in pairwise(arguments) if option == "-r"]
    for requirements in lists:
        link_wheels(requirements, Path(prefix, "bin", "python"))
        link_compiled(*Path(prefix).glob("lib/python3.??/site-packages"))
    return by_pip(arguments, prefix, cwd)


def link_wheels(requirements: str, python: Path) -> None:
    """Install the wheels of a list and of all that it needs: versions and hashes are those of the lock."""
    uv, lock = os.environ["CHESTCT_UV"], os.environ["CHESTCT_LOCK"]
    with tempfile.NamedTemporaryFile(suffix=".txt") as pins:
        left_out = [word for name in SOURCES for word in ("--no-emit-package", name)]
        compiling = [*COMPILE, *left_out, "--constraints", lock, "--python", str(python), requirements]
        subprocess.run([uv, *compiling, "--output-file", pins.name], check=True)
        subprocess.run([uv, *INSTALL, "--python", str(python), "--requirements", pins.name], check=True)


def link_compiled(packages: Path) -> None:
    """Link what the project's environment has compiled of the very files that were linked."""
    ours = Path(os.environ["CHESTCT_PACKAGES"])
    for compiled in ours.rglob("__pycache__/*.pyc"):
        source = compiled.parent.parent / f"{compiled.name.partition('.')[0]}.py"
        linked = packages / source.relative_to(ours)
        if source.is_file() and linked.is_file() and linked.samefile(source):
            cache = linked.with_name("__pycache__")
            cache.mkdir(exist_ok=True)
            if not (cache / compiled.name).exists():
                (cache / compiled.name).hardlink_to(compiled)
