"""How long a new study will take, before anything of it is listed."""

from typing import Any

import numpy as np

from chestct.catalogue import MODELS
from chestct.plan.cost import windows_of_run
from chestct.plan.scans import ASSUMED_SLICES, Scans
from chestct.plan.speeds import PASSES, THROUGHPUT
from chestct.run_grid import list_runs
from chestct.tables import read_table
from chestct.training.measure.prediction_speed import with_prediction
from chestct.window_forms import slices_seen

_PROCESSOR, _GPU = "AMD EPYC, 1 thread(s)", "NVIDIA A100"


def expected_hours(configuration: dict[str, Any], num_scans: int, *, gpu: bool) -> float | None:
    """Hours of training and scoring on one core of a known processor, or on one GPU.

    A speed that was not measured at the study's size is that of the nearest size that was, by the number of
    voxels in a window, times the ratio of voxels.

    Args:
        configuration: of the study, whole; it has one dataset.
        num_scans: of the dataset, of 150 slices each.
        gpu: the study is for a GPU.

    Returns:
        None where the speed of a model is not known at any size.
    """
    scans = Scans(num_scans=num_scans, slices=ASSUMED_SLICES, num_bytes=0, num_shards=1, origin="the table")
    subsets = configuration["subsets"]
    speeds = {
        name: _speeds(configuration, name, _GPU if gpu else _PROCESSOR)
        for name in {run.model for run in list_runs(configuration)}
    }
    hours = 0.0
    for run in list_runs(configuration):
        known = speeds[run.model]
        if known is None:
            return None
        trained, validated = windows_of_run(configuration, scans, run)
        predicted = scans.split("validation", subsets) + scans.split("test", subsets)
        predicted *= scans.windows(subsets, MODELS[run.model].sees)
        hours += (trained / known[0] + validated / known[1] + predicted / known[2]) / 3600
    return hours


def _speeds(configuration: dict[str, Any], model: str, device: str) -> tuple[float, ...] | None:
    """Windows a second at the study's size, by ``PASSES``."""
    table = with_prediction(read_table(THROUGHPUT, "throughput", recorded=False))
    rows = table[(table["device"] == device) & (table["model"] == model) & table["compiled"].isna()]
    if rows.empty:
        return None
    wanted = slices_seen(configuration["subsets"], model) * configuration["training"]["crop_px"] ** 2
    ratios = (rows["window"] * rows["size"] ** 2 / wanted).to_numpy(dtype=float)
    nearest = int(np.abs(np.log(ratios)).argmin())
    columns = [f"{name}_windows_per_second" for name in PASSES]
    return tuple(rows[columns].to_numpy(dtype=float)[nearest] * ratios[nearest])
