"""Peak memory of a job that converts a series as long as LIDC-IDRI's longest."""

import resource
import subprocess
import sys
from pathlib import Path

from setting import emit, lengthened, real_series, scratch

_SLICES = 764


def _peak_mib(way: str, series: Path, folder: Path) -> float:
    """Peak memory of a process of its own, with its imports."""
    done = subprocess.run(
        [sys.executable, __file__, way, str(series), str(folder)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _convert(way: str, series: str, folder: str) -> None:
    from conversion import convert_ours, convert_usual

    (convert_ours if way == "ours" else convert_usual)([Path(series)], Path(folder))
    # Linux hands a process's own peak on to what it starts, so ru_maxrss would be that of this script.
    status = Path("/proc/self/status")
    if status.is_file():
        print(next(int(line.split()[1]) for line in status.open() if line.startswith("VmHWM")) / 2**10)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    with scratch() as folder:
        series, words = real_series(folder)
        long = lengthened(series, folder / "long", _SLICES)
        usual, ours = (_peak_mib(way, long, folder) for way in ("usual", "ours"))
        emit(
            f"Peak memory of a conversion job, {_SLICES} slices",
            baseline="pydicom, float64, INTER_AREA, float32 HDF5",
            ours="rule convert_series",
            baseline_value=usual,
            our_value=ours,
            unit="MiB",
            ratio=ours / 1024,
            must=1.0,
            aim=1.0,
            at_most=True,
            data=f"{words}, lengthened to {_SLICES} slices; ratio to 1 GiB",
        )


if __name__ == "__main__":
    _convert(*sys.argv[1:]) if len(sys.argv) > 1 else main()
