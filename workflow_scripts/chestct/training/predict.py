"""Prediction: one score a scan and run, from weights that were chosen on validation."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model

from chestct.log import REPORT_SECONDS
from chestct.models import build_model
from chestct.runs import Run
from chestct.tables import read_table, write_table
from chestct.training.machine.device import check_hardware, memory_errors, tune
from chestct.training.scoring import scan_logits, scoring_loader
from chestct.training.settings import TrainingSettings
from chestct.training.windows.augmentation import InputSettings
from chestct.training.windows.dataset import Scan, collect_scans


def score_scans(
    model: torch.nn.Module,
    scans: list[Scan],
    input_settings: InputSettings,
    *,
    batch_size: int,
    num_workers: int,
    device: torch.device,
) -> np.ndarray:
    """Score scans: the sigmoid of the maximum logit over their windows, which cover every slice.

    Scores are computed in float32, with TF32 on GPUs where the model was trained in mixed precision
    (``hardware.tune``): on a CPU the size of batches moves them by rounding alone.

    Returns:
        Scores in [0, 1], shape (number of scans,).
    """
    model = model.to(device).eval()
    loader = scoring_loader(
        scans, batch_size=batch_size, num_workers=num_workers, pin_memory=device.type == "cuda"
    )
    reported = time.perf_counter()

    def on_batch(number: int) -> None:
        nonlocal reported
        if time.perf_counter() - reported >= REPORT_SECONDS:
            print(f"batch {number} of {len(loader)}", flush=True)
            reported = time.perf_counter()

    try:
        logits = scan_logits(model, loader, len(scans), input_settings, device=device, on_batch=on_batch)
    finally:
        loader.close()
    return logits.double().sigmoid().numpy()


def predict(
    *,
    runs: Sequence[Run],
    weights: Sequence[str],
    settings: TrainingSettings,
    display_window_hu: dict[str, float],
    window_slices: int,
    index: str,
    windows: str,
    splits: str,
    output: str,
    threads: int,
    num_workers: int,
    gpus: int,
) -> None:
    """Score validation and test scans with every run of one model on one dataset.

    Args:
        runs: of one model on one dataset.
        weights: its weights file, in the same order.
        settings: training settings of the model.
        output: table of schema ``predictions``.
        gpus: 0: CPU; else one GPU is used.
    """
    torch.set_num_threads(threads)
    check_hardware(gpus=min(gpus, 1), precision=settings.precision)
    device = torch.device("cuda" if gpus else "cpu")
    index_table, window_table = read_table(index, "index"), read_table(windows, "windows")
    split_table = read_table(splits, "splits")
    batch_size = max(1, 2 * settings.batch_size // settings.accumulate)
    tables = []
    for number, (run, path) in enumerate(zip(runs, weights, strict=True), start=1):
        model = build_model(
            run.model, num_slices=window_slices, size_px=settings.crop_px, num_classes=1, seed=0
        )
        load_model(model, path)  # strict: no parameter missing, none unexpected
        tune(model, gpus=gpus, precision=settings.precision)
        chosen = split_table[(split_table["fold"] == run.fold) & (split_table["split"] != "train")]
        labels = dict(zip(chosen["study_id"], chosen["label"].astype(int), strict=True))
        scans = collect_scans(chosen, index_table, window_table, labels)
        where = f"prediction with {path}"
        with memory_errors(where, windows=batch_size, precision=settings.precision):
            scores = score_scans(
                model,
                scans,
                InputSettings.of_model(run.model, settings, display_window_hu),
                batch_size=batch_size,
                num_workers=num_workers,
                device=device,
            )
        table = chosen[["split", "patient_id", "study_id", "label"]].reset_index(drop=True)
        table = table.assign(**run.asdict(), score=scores, num_windows=[len(scan.starts) for scan in scans])
        tables.append(table)
        print(f"run {number} of {len(runs)}: {run}: {len(scans)} scans", flush=True)
    write_table(pd.concat(tables, ignore_index=True), output, "predictions")
