"""Runs first where ``pack.py`` packed this: unpacks, and runs ``run.py`` with the packages beside it.

The environment that it makes sees the machine's own packages and those packed. Jobs of the study inherit it:
PYTHONPATH, which the workflow sets for them, would not do.
"""

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile


def make_environment(folder: Path) -> Path:
    """An environment without pip that imports what is packed and what this Python imports; its Python."""
    venv.EnvBuilder(symlinks=True).create(folder / "environment")
    python = folder / "environment" / "bin" / "python"
    (place,) = (folder / "environment" / "lib").glob("python*/site-packages")
    own = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    packed = [folder / "project" / "workflow_scripts", folder / "site"]
    # Of the machine's own places the .pth files count too.
    lines = [*map(str, packed), *(f"import site; site.addsitedir({path!r})" for path in own)]
    (place / "packed.pth").write_text("".join(f"{line}\n" for line in lines))
    return python


def check_python(packed_for: str) -> None:
    """Exit where what is packed was compiled for another Python."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != packed_for:
        sys.exit(
            f"this is Python {here}, and the packages here are for {packed_for}\n"
            f"  remedy: run it by python{packed_for}, or pack it with --python {here}"
        )


def main(arguments: Sequence[str]) -> int:
    """Unpack into a temporary folder, run, remove it."""
    with ZipFile(Path(__file__).parent) as archive:
        check_python(archive.read("python").decode())
    # Python does not keep bytecode where this is set: every job of the study would compile all it imports.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory(prefix="chestct-gpu-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with ZipFile(Path(__file__).parent) as archive:
            archive.extractall(folder)
        python = make_environment(folder)
        command = [python, folder / "project" / "benchmarks" / "gpu" / "run.py", *arguments]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
