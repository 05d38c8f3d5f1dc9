"""Start-up of a training job: from nothing to weights on disk after one step, in a process of its own."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_REPEATS = 3
_MODEL = "slow_narrow"
_USUAL = "import torch, pandas, h5py, pytorchvideo.models.resnet"


def run_job(folder: Path) -> None:
    """One run of one step on a few small scans, as rule finetune does it."""
    sys.path.insert(0, str(ROOT / "tests" / "unit" / "training"))
    from engine_data import RUN, make_job, train, windows

    data = {name: str(folder / f"{name}.csv") for name in ("index", "splits", "subset")}
    data["windows"] = str(folder / "windows.parquet")
    job = make_job(data, budget=windows(8), num_validations=1, batch_size=8)
    train(job, folder / f"run-{os.getpid()}", run=replace(RUN, model=_MODEL))


def seconds(*arguments: str) -> tuple[float, float]:
    """Least (seconds, processor seconds) of a process."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for repeat in range(_REPEATS + 1):
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if repeat:  # the first one fills caches
            times.append((time.perf_counter() - wall, processor))
    return tuple(map(min, zip(*times, strict=True)))  # type: ignore[return-value]


def main() -> None:
    from setting import emit, scratch  # not in the process that is measured

    with scratch() as folder:
        sys.path.insert(0, str(ROOT / "tests" / "unit" / "training"))
        from engine_data import write_data

        write_data(folder)
        usual, ours = seconds("-c", _USUAL), seconds(__file__, str(folder))
        emit(
            "Start-up of a training job",
            baseline="the imports alone, as they come",
            ours="imports, model, tables, one step, validation, weights written",
            baseline_value=usual[0],
            our_value=ours[0],
            unit="s",
            ratio=ours[0] / 3,
            must=1.0,
            aim=0.75,
            at_most=True,
            processor_ratio=ours[1] / 3,
            data=f"{_MODEL}, scans of 12 x 36 x 36; ratio to 3 s",
        )


if __name__ == "__main__":
    run_job(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
