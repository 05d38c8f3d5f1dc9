"""How often a conversion job asks the file system about files, which a network file system answers slowly.

Counted in a process of its own: what Python asks for (stat, open, lists of folders, changes), not what HDF5
does inside of its one file. At 50 ms a call, as through a busy FUSE mount, 1,000 calls are 50 s.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from setting import emit, lengthened, real_series, scratch

_SLICES = (100, 200)
_EVENTS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.chmod", "os.rmdir"}
#: Calls a slice: its state, which tells whether it changed; its digest; its reading.
_LIMIT = 4


def _count(convert: Callable[[], Any]) -> Counter[str]:
    calls: Counter[str] = Counter()
    active = False

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if active and event in _EVENTS:
            calls[event] += 1

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += active
            return function(*arguments, **options)

        return call

    sys.addaudithook(hook)
    import posix

    for name in ("stat", "lstat", "access"):
        function = counted(name, getattr(os, name))
        setattr(os, name, function)
        setattr(posix, name, function)  # which imports use
    active = True
    convert()
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


def calls_of(way: str, series: Path, folder: Path) -> int:
    """Metadata calls of a job that converts a series, by kind to standard error."""
    done = subprocess.run(
        [sys.executable, __file__, way, str(series), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    calls = json.loads(done.stdout.splitlines()[-1])
    print(f"{way}, {series.name}: {calls}", file=sys.stderr)
    return sum(calls.values())


def main() -> None:
    with scratch() as folder:
        series, words = real_series(folder)
        ours, usual = [], []
        for number in _SLICES:
            long = lengthened(series, folder / f"series-{number}", number)
            ours.append(calls_of("ours", long, folder / f"ours-{number}"))
            usual.append(calls_of("usual", long, folder / f"usual-{number}"))
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


if __name__ == "__main__":
    _convert(*sys.argv[1:]) if len(sys.argv) > 1 else main()
