"""Packs what ``run.py`` needs on a GPU machine without a package index.

``python benchmarks/gpu/pack.py FOLDER``, in the project's environment, where its changes are committed. The
machine has Python 3.12, PyTorch with CUDA, Triton, torchvision, transformers, NumPy, pandas, pyarrow, h5py,
OpenCV and PyYAML; name with ``--wheels`` which of them it lacks.
"""

import argparse
import shutil
import site
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Pure Python, copied from this environment.
PACKAGES = (
    "attr", "attrs", "efficientnet_lite_pytorch", "fvcore", "hdf5plugin", "iopath", "jsonschema",
    "jsonschema_specifications", "parameterized", "portalocker", "pytorchvideo", "referencing", "tabulate",
    "tabulate.py", "termcolor", "yacs",
)  # fmt: skip
#: Compiled for a version of Python, so downloaded for that one.
WHEELS = ("rpds-py",)
#: Of hdf5plugin only the filter that the project's volumes are stored with.
FILTERS = ("libh5bshuf.so",)
LARGEST_MB = 40
_PARTS = ("workflow_scripts", "schemas", "benchmarks", "pyproject.toml", "config.yaml", "studies")


def copy_project(folder: Path) -> None:
    """The committed state of what the check reads."""
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", "HEAD", "--", *_PARTS], stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as content:
        content.extractall(folder, filter="data")


def copy_packages(folder: Path, source: Path) -> None:
    """Packages of this environment, without tests, compiled files and filters that are not used."""

    def left_out(inside: str, names: list[str]) -> set[str]:
        plugins = Path(inside).name == "plugins"
        return {
            name
            for name in names
            if name in ("__pycache__", "test", "tests") or (plugins and name not in FILTERS)
        }

    for name in PACKAGES:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=left_out)
        elif path.is_file():
            shutil.copy(path, folder / name)


def fetch_wheels(folder: Path, names: Sequence[str]) -> None:
    """Unpack wheels for Python 3.12 on Linux, by the user's own pip and its index."""
    wheels = folder.parent / "wheels"
    platforms = [f"--platform=manylinux{name}_x86_64" for name in ("2014", "_2_17", "_2_28")]
    subprocess.run(
        [
            "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--python-version=3.12", "--implementation=cp", *platforms, "--dest", wheels, *names,
        ],
        check=True,
    )  # fmt: skip
    for wheel in wheels.glob("*.whl"):
        shutil.unpack_archive(wheel, folder, "zip")
    shutil.rmtree(wheels)


def size_mb(folder: Path) -> float:
    """Of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack; returns 1 where the folder is there already, or larger than may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="that does not exist yet")
    parser.add_argument(
        "--wheels", nargs="*", default=[], metavar="NAME", help="packages that the machine lacks"
    )
    given = parser.parse_args(arguments)
    if given.folder.exists():
        print(f"{given.folder} is there already: name another folder", file=sys.stderr)
        return 1
    packages = given.folder / "site"
    packages.mkdir(parents=True)
    copy_project(given.folder / "project")
    copy_packages(packages, Path(site.getsitepackages()[0]))
    fetch_wheels(packages, [*WHEELS, *given.wheels])
    size = size_mb(given.folder)
    print(
        f"{given.folder}: {size:.1f} MB. There:\n"
        f"  export PYTHONPATH={given.folder.name}/site:{given.folder.name}/project/workflow_scripts\n"
        f"  python3 {given.folder.name}/project/benchmarks/gpu/run.py"
    )
    if size > LARGEST_MB:
        print(f"more than {LARGEST_MB} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
