"""Random windows from a shard on a shared file system, and from its copy on the node's own disk.

    python benchmarks/staging.py FOLDER    # a folder of the shared file system; TMPDIR is the node's own disk

The copy is what ``stage_shards`` in the Slurm profile makes. Every window is read after the pages of its file
were dropped here, as where shards are larger than memory.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from conversion import convert_ours
from setting import copies, real_series, scratch

from chestct.volume_store import WindowReader

_SCANS = 40  # of a shard, as in studies/paper.yaml
_SLICES = 32
_WINDOWS = 200


def drop_pages(path: Path) -> None:
    """Let this machine forget what it read of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def window_ms(path: Path) -> list[float]:
    """Milliseconds of reading each of some random windows."""
    rng, reader, milliseconds = np.random.default_rng(0), WindowReader(), []
    with h5py.File(path) as file:
        lengths = {name: len(scan) for name, scan in file.items()}
    for name in rng.choice(sorted(lengths), _WINDOWS):
        start = int(rng.integers(lengths[name] - _SLICES))
        drop_pages(path)
        begin = time.perf_counter()
        reader.read(str(path), str(name), start, start + _SLICES)
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return milliseconds


def main(folder: str) -> None:
    """Measure both and print."""
    with scratch() as own, tempfile.TemporaryDirectory(dir=folder, prefix="chestct-benchmark-") as shared:
        series, words = real_series(own)
        shard = convert_ours(copies(series, own, _SCANS), own)
        there = Path(shutil.copyfile(shard, Path(shared) / shard.name))
        size = there.stat().st_size
        drop_pages(there)
        begin = time.perf_counter()
        here = Path(shutil.copyfile(there, own / "copy.h5"))
        seconds = time.perf_counter() - begin
        times = {"shared": window_ms(there), "own disk": window_ms(here)}
        print(f"A shard of {_SCANS} scans ({words}), {size / 1e6:.0f} MB; windows of {_SLICES} slices.")
        print(f"Copy to the own disk: {seconds:.1f} s, {size / 1e6 / seconds:.0f} MB/s")
        for name, values in times.items():
            median, late = np.percentile(values, [50, 95])
            print(f"A window from {name}: median {median:.1f} ms, 95 % within {late:.1f} ms")
        shared_ms, own_ms = np.mean(times["shared"]), np.mean(times["own disk"])
        if shared_ms > 1.1 * own_ms:
            print(f"The copy pays after {1000 * seconds / (shared_ms - own_ms):,.0f} windows of one reader.")
        else:
            print("The copy gains nothing here.")


if __name__ == "__main__":
    main(sys.argv[1])
