"""Packs what ``run.py`` needs on a GPU machine without a package index, into one file that runs there.

``python benchmarks/gpu/pack.py FILE.pyz``, in the project's environment, where its changes are committed;
there ``python3 FILE.pyz``. The machine has Python 3.12 (or that of ``--python``), PyTorch with CUDA, Triton,
torchvision, transformers, NumPy, SciPy, scikit-learn, pandas, pyarrow, h5py, OpenCV, Pillow, matplotlib,
seaborn, Jinja2, requests, psutil, safetensors and PyYAML; name with ``--wheels`` which of them it lacks.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from io import BytesIO
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

ROOT = Path(__file__).resolve().parents[2]
#: Pure Python, copied from this environment. Of Snakemake's needs those for integer programs are left out:
#: the profile's scheduler has none.
PACKAGES = (
    "efficientnet-lite-pytorch", "fvcore", "hdf5plugin", "iopath", "parameterized", "portalocker", "pydicom",
    "pytorchvideo", "tabulate", "termcolor", "yacs",
    "snakemake", "snakemake-interface-common", "snakemake-interface-executor-plugins",
    "snakemake-interface-logger-plugins", "snakemake-interface-report-plugins",
    "snakemake-interface-scheduler-plugins", "snakemake-interface-storage-plugins",
    "annotated-types", "argparse-dataclass", "attrs", "conda-inject", "configargparse", "connection-pool",
    "docutils", "dpath", "fastjsonschema", "gitdb", "gitpython", "humanfriendly", "jsonschema",
    "jsonschema-specifications", "jupyter-core", "nbformat", "platformdirs", "pydantic", "referencing",
    "smart-open", "smmap", "sqlmodel", "tenacity", "throttler", "traitlets", "typing-inspection", "yte",
)  # fmt: skip
#: Compiled for a version of Python, so downloaded for that one, in the release that is installed here.
WHEELS = ("immutables", "pydantic-core", "rpds-py", "sqlalchemy")
#: Of hdf5plugin only the filter that the project's volumes are stored with.
FILTERS = ("libh5bshuf.so",)
LARGEST_MB = 40
_PARTS = (
    "Snakefile", "benchmarks", "config.yaml", "envs", "profiles", "pyproject.toml", "report", "rules",
    "schemas", "studies", "workflow_scripts",
)  # fmt: skip
_LEFT_OUT = {"__pycache__", "test", "tests", "test_files"}


def copy_project(folder: Path) -> None:
    """The committed state of what the check reads."""
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", "HEAD", "--", *_PARTS], stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as content:
        content.extractall(folder, filter="data")


def is_packed(file: PurePath) -> bool:
    """Whether a file of an installed package goes along: no tests, commands, code of another Python."""
    if file.is_absolute() or ".." in file.parts or _LEFT_OUT & {*file.parts}:
        return False
    return file.name in FILTERS if "plugins" in file.parts else file.suffix not in (".so", ".pyc")


def copy_packages(folder: Path, names: Iterable[str] = PACKAGES) -> None:
    """Packages of this environment with what says their releases."""
    for name in names:
        distribution = metadata.distribution(name)
        for file in filter(is_packed, distribution.files or []):
            source, target = Path(str(distribution.locate_file(file))), folder / file
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)


def fetch_wheels(folder: Path, names: Sequence[str], python: str) -> None:
    """Unpack wheels for a version of Python on Linux, by the user's own pip and its index."""
    platforms = [f"--platform=manylinux{name}_x86_64" for name in ("2014", "_2_17", "_2_28")]
    with TemporaryDirectory() as wheels:
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                f"--python-version={python}", "--implementation=cp", *platforms, "--dest", wheels, *names,
            ],
            check=True,
        )  # fmt: skip
        for wheel in Path(wheels).glob("*.whl"):
            shutil.unpack_archive(wheel, folder, "zip")


def write_archive(file: Path, folder: Path, python: str) -> None:
    """All files of a folder, and what runs them, as one file that a version of Python runs."""
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.write(Path(__file__).with_name("unpack.py"), "__main__.py")
        archive.writestr("python", python)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack; returns 1 where the file is there already, or larger than may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="that does not exist yet")
    parser.add_argument(
        "--wheels", nargs="*", default=[], metavar="NAME", help="packages that the machine lacks"
    )
    parser.add_argument("--python", default="3.12", metavar="X.Y", help="of the machine (default: 3.12)")
    given = parser.parse_args(arguments)
    if given.file.exists():
        print(f"{given.file} is there already: name another file", file=sys.stderr)
        return 1
    with TemporaryDirectory() as folder:
        packages = Path(folder) / "site"
        packages.mkdir()
        copy_project(Path(folder) / "project")
        copy_packages(packages)
        pinned = [f"{name}=={metadata.version(name)}" for name in WHEELS]
        fetch_wheels(packages, [*pinned, *given.wheels], given.python)
        write_archive(given.file, Path(folder), given.python)
    size_mb = given.file.stat().st_size / 1e6
    print(f"{given.file}: {size_mb:.1f} MB. There: python3 {given.file.name} --output table.md")
    if size_mb > LARGEST_MB:
        print(f"more than {LARGEST_MB} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
