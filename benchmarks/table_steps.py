"""Memory and time of the steps that read tables with a row a slice, at the size of RSPECT.

``python benchmarks/table_steps.py`` prints a line a rule;
chestct/jobs/memory_and_time.csv holds what it printed.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from chestct.subsets.windows import write_windows
from chestct.tables import write_table
from chestct.volumes.combine_shards import combine_volumes
from chestct.window_forms import WindowRule

NUM_SCANS, NUM_SLICES, SCANS_A_SHARD = 7279, 246, 40
_UID = "1.2.826.0.1.3680043.8.498.{:020d}{:08d}"


def write_shards(folder: Path) -> None:
    """Tables of the conversion, a shard a job, and of the readers' marks: a twentieth of all slices."""
    marked = []
    for shard, first in enumerate(range(0, NUM_SCANS, SCANS_A_SHARD)):
        studies = [f"{number:012x}" for number in range(first, min(first + SCANS_A_SHARD, NUM_SCANS))]
        base = pd.DataFrame({"dataset": "rspect", "patient_id": studies, "study_id": studies})
        base = base.assign(series_id=studies, num_slices=NUM_SLICES)
        index = base.assign(store="x.h5", rows=256, columns=256, sha256="0" * 64)
        index = index.assign(**{f"spacing_{axis}_mm": 1.0 for axis in "xyz"})
        write_table(index, folder / f"{shard}.index.csv", "index")
        ledger = base.assign(status="accepted", reason=None, detail=None, num_files=NUM_SLICES)
        write_table(ledger, folder / f"{shard}.ledger.csv", "ledger")
        acquired = base.drop(columns="series_id").assign(spacing_z_mm=1.25, pixel_mm=0.7)
        text = dict.fromkeys(("manufacturer", "scanner_model", "kernel", "sex"), None)
        numbers = dict.fromkeys(("slice_thickness_mm", "contrast", "age_years"), np.nan)
        write_table(acquired.assign(**text, **numbers), folder / f"{shard}.acquisition.csv", "acquisition")
        slices = pd.DataFrame({"study_id": np.repeat(studies, NUM_SLICES)})
        slices["slice_index"] = np.tile(np.arange(NUM_SLICES), len(studies))
        slices["z_mm"] = slices["slice_index"] * 1.25
        slices["sop_instance_uid"] = [_UID.format(shard, row) for row in range(len(slices))]
        write_table(slices, folder / f"{shard}.slices.parquet", "slices")
        marked.append(slices[slices["slice_index"] < NUM_SLICES // 20])
    marks = pd.concat(marked)[["study_id", "sop_instance_uid", "z_mm"]].assign(num_readers=1)
    write_table(marks, folder / "slice_labels.parquet", "slice_labels")
    studies = [f"{number:012x}" for number in range(NUM_SCANS)]
    cohort = pd.DataFrame({"dataset": "rspect", "patient_id": studies, "study_id": studies})
    cohort = cohort.assign(label=np.arange(NUM_SCANS) % 2, status="used", reason=None, baseline=None)
    write_table(cohort.assign(num_slices=NUM_SLICES), folder / "cohort.csv", "cohort")


def combine(folder: Path) -> None:
    """The work of rule combine_volumes."""
    num_shards = -(-NUM_SCANS // SCANS_A_SHARD)

    def paths(suffix: str) -> list[Path]:
        return [folder / f"{shard}.{suffix}" for shard in range(num_shards)]

    combine_volumes(
        dataset="rspect",
        index_paths=paths("index.csv"),
        slices_paths=paths("slices.parquet"),
        ledger_paths=paths("ledger.csv"),
        acquisition_paths=paths("acquisition.csv"),
        max_refused_percent=5,
        index_path=folder / "index.csv",
        slices_path=folder / "slices.parquet",
        ledger_path=folder / "ledger.csv",
        acquisition_path=folder / "acquisition.csv",
    )


def windows(folder: Path) -> None:
    """The work of rule list_windows."""
    write_windows(
        cohort=str(folder / "cohort.csv"),
        slices=str(folder / "slices.parquet"),
        slice_labels=str(folder / "slice_labels.parquet"),
        output=str(folder / "windows.parquet"),
        # Single slices: the form with the most rows.
        rule=WindowRule(window=1, stride=1, min_positive=1),
        min_readers=1,
    )


STEPS = {"combine_volumes": combine, "list_windows": windows}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write_shards(Path(name))
        for step in STEPS:
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, __file__, step, name], capture_output=True, text=True, check=True
            )
            minutes = (time.monotonic() - start) / 60
            print(f"{step}: {done.stdout.splitlines()[-1]} MiB, {minutes:.2f} min")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        STEPS[sys.argv[1]](Path(sys.argv[2]))
        # Linux hands a process's own peak on to what it starts, so ru_maxrss would be that of the parent.
        status = Path("/proc/self/status").read_text().splitlines()
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 2**10)
    else:
        main()
