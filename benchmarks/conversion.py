"""DICOM to stored volumes: slices a second of one process, of two, and bytes stored."""

import multiprocessing
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import usual_way
from setting import SIZE_PX, best_seconds, copies, emit, real_series, scratch

from chestct.obtained_files import content_digest, state_of
from chestct.volumes.convert_shard import convert_shard

#: Scans of a job; the studies have 50, over which the writing of the tables spreads further.
_SCANS = 6
_REPEATS = 5
_ROUNDS = 3

#: Converts scans into a folder.
Convert = Callable[[list[Path], Path], Path]


#: As the download step tells it: once, and not in the time that is measured.
_digest, _state = cache(content_digest), cache(state_of)


def convert_ours(scans: list[Path], folder: Path) -> Path:
    """The job of rule convert_series: every check, checksums, ledger and tables included."""
    series = pd.DataFrame(
        {
            "dataset": "d",
            "patient_id": [f"p{i}" for i in range(len(scans))],
            "study_id": [f"s{i}" for i in range(len(scans))],
            "series_id": [f"r{i}" for i in range(len(scans))],
            "path": [str(scan) for scan in scans],
            "num_instances": 0,
            "num_bytes": 0,
            "shard": 0,
        }
    )
    obtained = pd.DataFrame(
        {
            "series_id": series["series_id"],
            "sha256": [_digest(scan) for scan in scans],
            "status": "obtained",
            "reason": None,
            "detail": None,
        }
    )
    convert_shard(
        series,
        obtained=obtained,
        states={f"r{i}": _state(scan).exact for i, scan in enumerate(scans)},
        root=".",
        dataset="d",
        size_px=SIZE_PX,
        store_path=folder / "shard.h5",
        index_path=folder / "index.csv",
        slices_path=folder / "slices.parquet",
        ledger_path=folder / "ledger.csv",
        acquisition_path=folder / "acquisition.csv",
        code_digest="",
    )
    return folder / "shard.h5"


def convert_usual(scans: list[Path], folder: Path) -> Path:
    """The same scans into one float32 file."""
    target = folder / "usual.h5"
    target.unlink(missing_ok=True)
    for number, scan in enumerate(scans):
        usual_way.convert(scan, target, f"s{number}", SIZE_PX)
    return target


def check_alike(ours: Path, usual: Path) -> None:
    """Both ways should come to the same voxels, but for blocks on the edge of padding below -1024 HU."""
    with h5py.File(ours) as one, h5py.File(usual) as other:
        apart = np.quantile(np.abs(one["s0"][()] - np.maximum(other["s0"][()], -1024)), 0.98)
    assert apart <= 0.5, f"the two ways differ by {apart} HU"


def _work(convert: Convert, scans: list[Path], folder: Path, start, done) -> None:  # type: ignore[no-untyped-def]
    convert(scans, folder)  # imports and page cache
    while True:
        start.wait()
        convert(scans, folder)
        done.wait()


def seconds_together(convert: Convert, scans: list[list[Path]], folder: Path) -> float:
    """Least seconds in which as many processes as lists convert a list each."""
    context = multiprocessing.get_context("spawn")
    # A worker that fails breaks the barriers instead of leaving all waiting.
    start, done = (context.Barrier(len(scans) + 1, timeout=300) for _ in range(2))
    workers = []
    for number, part in enumerate(scans):
        (folder / f"worker-{number}").mkdir(exist_ok=True)
        arguments = (convert, part, folder / f"worker-{number}", start, done)
        workers.append(context.Process(target=_work, args=arguments, daemon=True))
        workers[-1].start()
    seconds = []
    for _ in range(_REPEATS):
        start.wait()
        begin = time.perf_counter()
        done.wait()
        seconds.append(time.perf_counter() - begin)
    for worker in workers:
        worker.terminate()
    return min(seconds)


def main() -> None:
    with scratch() as folder:
        series, words = real_series(folder)
        scans = copies(series, folder, 2 * _SCANS)
        num_slices = _SCANS * len(list(series.glob("*.dcm")))
        first = scans[:_SCANS]
        ways = {
            "usual": lambda: convert_usual(first, folder),
            "ours": lambda: convert_ours(first, folder),
        }
        seconds = best_seconds(ways, _REPEATS)
        data = f"{words}, {_SCANS} copies, warm page cache"
        emit(
            "DICOM to stored volume, one core",
            baseline="pydicom, float64, INTER_AREA, float32 HDF5",
            ours="rule convert_series",
            baseline_value=num_slices / seconds["usual"].wall,
            our_value=num_slices / seconds["ours"].wall,
            unit="slices/s",
            ratio=seconds["usual"].wall / seconds["ours"].wall,
            processor_ratio=seconds["usual"].processor / seconds["ours"].processor,
            must=1.7,
            aim=3.5,
            data=data,
        )
        check_alike(convert_ours(first, folder), convert_usual(first, folder))
        usual, ours = (convert(first, folder).stat().st_size for convert in (convert_usual, convert_ours))
        emit(
            "Bytes stored",
            baseline="float32 HDF5",
            ours="int16, bitshuffle-LZ4, checksums",
            baseline_value=usual / num_slices / 1024,
            our_value=ours / num_slices / 1024,
            unit="KiB a slice",
            ratio=ours / usual,
            must=0.33,
            aim=0.26,
            at_most=True,
            data=data,
        )
        # Two processes share memory and clock: how much a second one gains, the usual way tells.
        least = {(way, n): float("inf") for way in (convert_ours, convert_usual) for n in (1, 2)}
        for _ in range(_ROUNDS):  # in turn, as everywhere
            for way, n in least:
                parts = [first, scans[_SCANS:]][:n]
                least[way, n] = min(least[way, n], seconds_together(way, parts, folder))
        gains = {way: 2 * least[way, 1] / least[way, 2] for way in (convert_ours, convert_usual)}
        emit(
            "Gain of a second process",
            baseline="the usual way",
            ours="rule convert_series",
            baseline_value=gains[convert_usual],
            our_value=gains[convert_ours],
            unit="times",
            ratio=gains[convert_ours] / gains[convert_usual],
            must=0.9,
            aim=1.0,
            data=data,
        )


if __name__ == "__main__":
    main()
