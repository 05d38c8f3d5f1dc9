"""Prediction: one score a scan and run, from weights that were chosen on validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model

from chestct.catalogue import MODELS
from chestct.models import build_model, tune_for_cpu
from chestct.tables import read_table, write_table
from chestct.training.data import Scan, collect_scans, scoring_loader
from chestct.training.transforms import InputSettings, score_windows


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

    Returns:
        Scores in [0, 1], shape (number of scans,).
    """
    model = model.to(device).eval()
    logits = torch.full((len(scans),), -torch.inf)
    loader = scoring_loader(scans, batch_size=batch_size, num_workers=num_workers)
    with torch.inference_mode():
        for hu_BTHW, numbers in loader:
            scores = score_windows(model, hu_BTHW.to(device), input_settings)
            logits.scatter_reduce_(0, numbers, scores.float().cpu(), reduce="amax")
    return logits.double().sigmoid().numpy()


def predict(
    *,
    runs: Sequence[dict[str, Any]],
    weights: Sequence[str],
    settings: dict[str, Any],
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
        runs: key columns of every run.
        weights: its weights file, in the same order.
        settings: training settings of the model.
        output: table of schema ``predictions``.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if gpus else "cpu")
    index_table, window_table = read_table(index, "index"), read_table(windows, "windows")
    split_table = read_table(splits, "splits")
    tables = []
    for number, (run, path) in enumerate(zip(runs, weights, strict=True), start=1):
        entry = MODELS[run["model"]]
        model = build_model(
            run["model"], num_slices=window_slices, size_px=settings["crop_px"], num_classes=1, seed=0
        )
        load_model(model, path)  # strict: no parameter missing, none unexpected
        if not gpus:
            tune_for_cpu(model)
        chosen = split_table[(split_table["fold"] == run["fold"]) & (split_table["split"] != "train")]
        labels = dict(zip(chosen["study_id"], chosen["label"].astype(int), strict=True))
        scans = collect_scans(chosen, index_table, window_table, labels)
        scores = score_scans(
            model,
            scans,
            InputSettings.from_settings(settings, display_window_hu, mean=entry.mean, std=entry.std),
            batch_size=2 * settings["batch_size"],
            num_workers=num_workers,
            device=device,
        )
        table = chosen[["split", "patient_id", "study_id", "label"]].reset_index(drop=True)
        table = table.assign(**run, score=scores, num_windows=[len(scan.starts) for scan in scans])
        tables.append(table)
        print(f"run {number} of {len(runs)}: {run}: {len(scans)} scans", flush=True)
    write_table(pd.concat(tables, ignore_index=True), output, "predictions")
