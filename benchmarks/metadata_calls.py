"""How often a job asks the file system about files, which a network file system answers slowly.

Of a conversion job, and of the loading of the workflow, which precedes every job on a cluster. Counted in a
process of its own: what Python asks for (stat, open, lists of folders, changes), not what HDF5 does inside
of its one file. At 50 ms a call, as through a busy FUSE mount, 1,000 calls are 50 s.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from setting import ROOT, emit, lengthened, real_series, scratch

from chestct import obtained_files

_SLICES = (100, 200)
_EVENTS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.chmod", "os.rmdir"}
#: Folders of the workflow's own code.
_CODE = ("workflow_scripts", "rules", "schemas")
#: Calls a slice: its state, which tells whether it changed; its digest; its reading.
_LIMIT = 4


def _count(job: Callable[[], Any], below: Sequence[Path] = (Path("/"),)) -> Counter[str]:
    """Calls of a job that are about files below some folders, by kind."""
    calls: Counter[str] = Counter()
    active = False
    folders = tuple(str(folder) for folder in below)

    def add(name: str, path: Any) -> None:
        if isinstance(path, str | os.PathLike) and str(Path(path).absolute()).startswith(folders):
            calls[name] += 1

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if active and event in _EVENTS:
            add(event, arguments[0])

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if active:
                add(name, path)
            return function(path, *arguments, **options)

        return call

    sys.addaudithook(hook)
    import posix

    for name in ("stat", "lstat", "access"):
        function = counted(name, getattr(os, name))
        setattr(os, name, function)
        setattr(posix, name, function)  # which imports use
    # Entries of lists of folders cannot be watched themselves.
    lines = counted("DirEntry.stat", obtained_files._state_lines)
    obtained_files._state_lines = lines  # type: ignore[assignment]
    active = True
    job()
    active = False
    return calls


def _convert(way: str, series: str, folder: str) -> None:
    from conversion import convert_ours, convert_usual

    convert = convert_ours if way == "ours" else convert_usual
    first, second = Path(folder, "first"), Path(folder, "second")
    for place in (first, second):
        place.mkdir(parents=True)
    convert([Path(series)], first)  # imports
    print(json.dumps(_count(lambda: convert([Path(series)], second))))


def _load(project: str, study: str) -> None:
    from snakemake.cli import main as snakemake

    def load() -> None:
        with suppress(SystemExit):
            snakemake(["--list-rules", "--configfile", study])

    folder = Path(project).absolute()
    os.chdir(folder)
    print(json.dumps(_count(load, [folder / name for name in _CODE])))


def calls_of(way: str, subject: str, place: Path | str) -> int:
    """Metadata calls of a job that converts a series, or loads the workflow; by kind to standard error."""
    done = subprocess.run(
        [sys.executable, __file__, way, subject, str(place)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    calls = json.loads(done.stdout.splitlines()[-1])
    print(f"{way}, {Path(subject).name}: {calls}", file=sys.stderr)
    return sum(calls.values())


def main() -> None:
    with scratch() as folder:
        series, words = real_series(folder)
        ours, usual = [], []
        for number in _SLICES:
            long = lengthened(series, folder / f"series-{number}", number)
            ours.append(calls_of("ours", str(long), folder / f"ours-{number}"))
            usual.append(calls_of("usual", str(long), folder / f"usual-{number}"))
        slices = _SLICES[1] - _SLICES[0]
        emit(
            f"Metadata calls of a conversion job, of {_SLICES[1]} slices",
            baseline="pydicom, one reading of every file",
            ours="rule convert_series: files listed, checked, read",
            baseline_value=usual[1],
            our_value=ours[1],
            unit="calls",
            ratio=(ours[1] - ours[0]) / slices / _LIMIT,
            must=1.0,
            aim=0.75,
            at_most=True,
            data=f"{words}, lengthened; ratio: calls a slice to {_LIMIT}",
        )
    files = sum(
        path.suffix in (".py", ".smk", ".yaml") for name in _CODE for path in (ROOT / name).rglob("*")
    )
    load = calls_of("load", str(ROOT), "studies/paper.yaml")
    emit(
        "Metadata calls of loading the workflow",
        baseline="its files of code, each once",
        ours="what every job on a cluster begins with, studies/paper.yaml",
        baseline_value=files,
        our_value=load,
        unit="calls",
        ratio=load / files,
        must=2.0,
        aim=1.0,
        at_most=True,
        data="of files of the workflow itself; Snakemake's own files are not counted",
    )


if __name__ == "__main__":
    way, *places = sys.argv[1:] or ["all"]
    if way == "all":
        main()
    elif way == "load":
        _load(*places)
    else:
        _convert(way, *places)
