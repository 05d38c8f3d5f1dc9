"""``make example``: twelve phantom scans as volume files, and the table that studies/own_data.yaml reads.

    python workflow_scripts/write_own_example.py data/own_example

The table has a row a scan: patient, scan, file, label (1: a nodule), and a trivial score.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from chestct.download.phantoms.grid import SPACING_MM
from chestct.download.phantoms.lidc_patients import plan_patient, render
from chestct.files import atomic_path
from chestct.volumes.volume_file import write_volume_file

NUM_SCANS = 12
#: Denser voxels count as tissue, HU.
_TISSUE_HU = -300
_DATASET, _SEED = "own_example", 0


def drawn_scans() -> Iterator[tuple[int, np.ndarray]]:
    """Label and volume (int16 HU, (z, y, x)) of ``NUM_SCANS`` phantoms, half of them with a nodule."""
    left, index = {0: NUM_SCANS // 2, 1: NUM_SCANS // 2}, 0
    while any(left.values()):
        plan = plan_patient(_DATASET, _SEED, index)
        if left[plan.label]:
            left[plan.label] -= 1
            yield plan.label, render(plan, _DATASET, _SEED, index)
        index += 1


def write_example(folder: Path) -> Path:
    """Write the scans to ``folder/volumes`` and their table, whose path comes back."""
    (folder / "volumes").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (label, hu) in enumerate(drawn_scans(), start=1):
        name = f"scan-{number:02d}"
        write_volume_file(folder / "volumes" / f"{name}.nii.gz", hu, SPACING_MM, (0.0, 0.0, 0.0))
        tissue_ml = float((hu > _TISSUE_HU).sum() * np.prod(SPACING_MM) / 1000)
        rows.append(
            {
                "patient": f"patient-{number:02d}",
                "scan": name,
                "file": f"volumes/{name}.nii.gz",
                "nodule": label,
                "tissue_ml": round(tissue_ml, 1),
            }
        )
    table = folder / "scans.csv"
    with atomic_path(table) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    return table


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):  # such as --help
        sys.exit("usage: python workflow_scripts/write_own_example.py FOLDER")
    print(f"{NUM_SCANS} phantom scans: {write_example(Path(sys.argv[1]))}")
