"""Prediction: one score a scan and run, from weights that were chosen on validation."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model

from chestct.log import REPORT_SECONDS
from chestct.models import build_model
from chestct.run import Run
from chestct.tables import read_table, write_table
from chestct.training.machine.device import check_hardware, memory_errors, tune
from chestct.training.scoring import largest, scoring_loader, top_windows, window_logits
from chestct.training.settings import TrainingSettings
from chestct.training.windows.dataset import Scan, collect_scans
from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.loader import Loader

#: Windows of a set of scans that stay in memory between runs, at most.
_KEPT_BYTES = 2**27


class KeptBatches:
    """Batches of a loader, kept after the first pass if they are small: every run scores the same windows."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self._kept: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        if self._kept:
            yield from self._kept
            return
        batches, size = [], 0
        for batch in self.loader:
            size += batch[0].nbytes
            if size <= _KEPT_BYTES:
                batches.append(batch)
            yield batch
        self._kept = batches if size <= _KEPT_BYTES else []


def score_scans(
    model: torch.nn.Module,
    batches: KeptBatches,
    num_scans: int,
    input_settings: InputSettings,
    *,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Score scans: the sigmoid of the maximum logit over their windows, which cover every slice.

    Scores are computed in float32, with TF32 on GPUs where the model was trained in mixed precision
    (``device.tune``): on a CPU the size of batches moves them by rounding alone.

    Returns:
        Scores in [0, 1], and the place of the highest-scoring window among all windows of the batches; both
        of shape (num_scans,).
    """
    reported = time.perf_counter()

    def on_batch(number: int) -> None:
        nonlocal reported
        if time.perf_counter() - reported >= REPORT_SECONDS:
            print(f"batch {number} of {len(batches.loader)}", flush=True)
            reported = time.perf_counter()

    model = model.to(device).eval()
    logits, numbers = window_logits(model, batches, input_settings, device=device, on_batch=on_batch)
    scores = largest(logits, numbers, num_scans).double().sigmoid().numpy()
    return scores, top_windows(logits, numbers, num_scans).numpy()


def predict(
    *,
    runs: Sequence[Run],
    weights: Sequence[str],
    settings: TrainingSettings,
    display_window_hu: dict[str, float],
    intensity: str,
    window_slices: int,
    index: str,
    windows: str,
    splits: str,
    output: str,
    threads: int,
    num_workers: int,
    gpus: int,
    outside: str | None = None,
    own_predictions: str | None = None,
) -> None:
    """Score validation and test scans with every run of one model on one dataset.

    Args:
        runs: of one model on one dataset.
        weights: its weights file, in the same order.
        settings: training settings of the model.
        intensity: what the values of the scans are, hu or display.
        output: table of schema ``predictions``.
        gpus: 0: CPU; else one GPU is used.
        outside: name of a test set outside the training set, which stands for the dataset in the table;
            index, windows and splits are then of that set.
        own_predictions: with ``outside``: what these runs gave on their own dataset. The scores of the
            validation scans, which are the same ones, are taken from there and not computed again.
    """
    torch.set_num_threads(threads)
    check_hardware(gpus=min(gpus, 1), precision=settings.precision)
    device = torch.device("cuda" if gpus else "cpu")
    index_table, window_table = read_table(index, "index"), read_table(windows, "windows")
    split_table = read_table(splits, "splits")
    batch_size = max(1, 2 * settings.batch_size // settings.accumulate)
    scored = ["validation", "test"] if outside is None else ["test"]
    tables = []
    sets: dict[int, tuple[pd.DataFrame, list[Scan], KeptBatches, pd.DataFrame]] = {}  # by fold
    for number, (run, path) in enumerate(zip(runs, weights, strict=True), start=1):
        if run.fold not in sets:
            chosen = split_table[(split_table["fold"] == run.fold) & split_table["split"].isin(scored)]
            labels = dict(zip(chosen["study_id"], chosen["label"].astype(int), strict=True))
            scans = collect_scans(chosen, index_table, window_table, labels, window_slices)
            loader = scoring_loader(
                scans, batch_size=batch_size, num_workers=num_workers, pin_memory=device.type == "cuda"
            )
            sets[run.fold] = chosen, scans, KeptBatches(loader), _listed(scans, window_table)
        chosen, scans, batches, listed = sets[run.fold]
        model = build_model(
            run.model, num_slices=window_slices, size_px=settings.crop_px, num_classes=1, seed=0
        )
        load_model(model, path)  # strict: no parameter missing, none unexpected
        tune(model, gpus=gpus, precision=settings.precision)
        input_settings = InputSettings.of_model(run.model, settings, display_window_hu, intensity)
        where = f"prediction with {path}"
        with memory_errors(where, windows=batch_size, precision=settings.precision):
            scores, top = score_scans(model, batches, len(scans), input_settings, device=device)
        table = chosen[["split", "patient_id", "study_id", "label"]].reset_index(drop=True)
        table = table.assign(**run.asdict(), score=scores, **_window_columns(listed, top))
        tables.append(table)
        print(f"run {number} of {len(runs)}: {run}: {len(scans)} scans", flush=True)
    for _, _, batches, _ in sets.values():
        batches.loader.close()
    if own_predictions is not None:
        own = read_table(own_predictions, "predictions")
        tables.append(own[(own["split"] == "validation") & own["fold"].isin([run.fold for run in runs])])
    table = pd.concat(tables, ignore_index=True)
    write_table(table if outside is None else table.assign(dataset=outside), output, "predictions")


def _listed(scans: Sequence[Scan], windows: pd.DataFrame) -> pd.DataFrame:
    """The windows of scans in the order in which they are scored, with the number of their scan."""
    numbers = pd.DataFrame({"study_id": [scan.study_id for scan in scans], "number": range(len(scans))})
    chosen = windows[windows["study_id"].isin(numbers["study_id"])].reset_index(names="place")
    listed = chosen.merge(numbers, on="study_id", validate="m:1").sort_values(["number", "place"])
    return listed[["number", "start", "stop", "num_positive_slices"]].reset_index(drop=True)


def _window_columns(listed: pd.DataFrame, top: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of predictions: how many windows a scan has, and which one scored highest.

    Args:
        listed: of ``_listed``.
        top: rows of the scans' highest-scoring windows, shape (num_scans,).
    """
    marked = listed["num_positive_slices"] > 0
    best = listed.iloc[top]
    return {
        "num_windows": np.bincount(listed["number"]),
        "top_start": best["start"].to_numpy(),
        "top_stop": best["stop"].to_numpy(),
        "top_marked": marked.iloc[top].to_numpy(dtype=int),
        "num_marked_windows": np.bincount(listed["number"], weights=marked).astype(int),
    }
