"""Prediction: one score a scan and run, from weights that were chosen on validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from chestct.models import build_model
from chestct.models.load_weights import load_own_weights
from chestct.run import Run, shown_runs
from chestct.tables import read_table
from chestct.training.compiling import compile_for_scoring
from chestct.training.machine.device import check_hardware, memory_errors, tune
from chestct.training.prediction_rows import (
    predictions_of,
    window_scores_of,
    windows_in_order,
    write_predictions,
    write_window_scores,
)
from chestct.training.record import check_weights
from chestct.training.scoring import batch_reporter, largest, scoring_loader, top_windows, window_logits
from chestct.training.settings import TrainingSettings, windows_scored_at_once
from chestct.training.windows.dataset import collect_scans
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score scans: the sigmoid of the maximum logit over their windows, which cover every slice.

    They are computed as ``chestct.training.precision`` says, without autocast and without a search for the
    fastest convolutions: the size of batches moves them by rounding alone.

    Returns:
        Scores in [0, 1], and the place of the highest-scoring window among all windows of the batches; both
        of shape (num_scans,). Scores of all these windows, in [0, 1].
    """
    model = model.to(device).eval()
    on_batch = batch_reporter(len(batches.loader))
    logits, numbers = window_logits(model, batches, input_settings, device=device, on_batch=on_batch)
    scores = largest(logits, numbers, num_scans).double().sigmoid().numpy()
    return scores, top_windows(logits, numbers, num_scans).numpy(), logits.double().sigmoid().numpy()


@dataclass(frozen=True, kw_only=True)
class _ScoredScans:
    """The scans that the runs of a fold score.

    Attributes:
        rows: of the table ``splits``, a scan each.
        windows: all windows of these scans, in the order in which they are scored (``windows_in_order``).
        batches: of these windows.
    """

    rows: pd.DataFrame
    windows: pd.DataFrame
    batches: KeptBatches

    @classmethod
    def of_fold(
        cls,
        splits: pd.DataFrame,
        index: pd.DataFrame,
        windows: pd.DataFrame,
        *,
        num_slices: int,
        **loading: Any,
    ) -> "_ScoredScans":
        """The validation and test scans of a fold.

        Args:
            splits, index, windows: tables of these schemas; of ``splits`` the rows of the fold.
            num_slices: that a model sees at once.
            loading: batch_size, num_workers and pin_memory (``scoring_loader``).
        """
        rows = splits[splits["split"].isin(["validation", "test"])]
        labels = dict(zip(rows["study_id"], rows["label"].astype(int), strict=True))
        scans = collect_scans(rows, index, windows, labels, num_slices)
        return cls(
            rows=rows,
            windows=windows_in_order(rows["study_id"].tolist(), windows),
            batches=KeptBatches(scoring_loader(scans, **loading)),
        )


def _load_network(
    run: Run, path: str, settings: TrainingSettings, num_slices: int, *, gpus: int
) -> torch.nn.Module:
    """The network of a run with its trained weights, on the CPU still."""
    model = build_model(run.model, num_slices=num_slices, size_px=settings.crop_px, num_classes=1, seed=0)
    check_weights(path, run.folder)
    load_own_weights(model, name=run.model, path=path)
    tune(model, gpus=gpus, precision=settings.precision, fast_forms=settings.fast_forms)
    return model


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
    window_scores: str | None = None,
) -> None:
    """Score validation and test scans with every run of one model on one dataset.

    Args:
        runs: of one model on one dataset.
        weights: its weights file, in the same order.
        settings: training settings of the model.
        display_window_hu: centre and width, of the dataset that the runs were trained on.
        intensity: what the values of the scans are, hu or display.
        window_slices: slices that the model sees at once.
        index, windows, splits: paths of the tables of the scans.
        output: table of schema ``predictions``.
        threads: CPU threads that torch may use.
        num_workers: processes that read windows.
        gpus: 0: CPU; else one GPU is used.
        outside: name of a test set outside the training set, which stands for the dataset in the table;
            index, windows and splits are then of that set.
        own_predictions: with ``outside``: what these runs gave on their own dataset. The scores of the
            validation scans, which are the same ones, are taken from there and not computed again.
        window_scores: table of that schema, with the windows of the test scans as the runs score them of
            which one may be shown (``shown_runs``).

    Raises:
        InputError: the machine lacks what the settings ask for, a table is not as it must be, or weights are
            not those of their run.
    """
    torch.set_num_threads(threads)
    check_hardware(gpus=min(gpus, 1), precision=settings.precision)
    device = torch.device("cuda" if gpus else "cpu")
    index_table, window_table = read_table(index, "index"), read_table(windows, "windows")
    split_table = read_table(splits, "splits")
    if outside is not None:
        split_table = split_table[split_table["split"] == "test"]
    batch_size, shown = windows_scored_at_once(settings), shown_runs(runs)
    by_fold: dict[int, _ScoredScans] = {}
    tables, of_windows = [], []
    for number, (run, path) in enumerate(zip(runs, weights, strict=True), start=1):
        if run.fold not in by_fold:
            by_fold[run.fold] = _ScoredScans.of_fold(
                split_table[split_table["fold"] == run.fold],
                index_table,
                window_table,
                num_slices=window_slices,
                batch_size=batch_size,
                num_workers=num_workers,
                pin_memory=device.type == "cuda",
            )
        scored = by_fold[run.fold]
        model = _load_network(run, path, settings, window_slices, gpus=gpus)
        compile_for_scoring(
            model,
            run.model,
            settings,
            gpus=gpus,
            num_slices=window_slices,
            num_windows=len(scored.windows) * len(runs),
        )
        input_settings = InputSettings.of_model(run.model, settings, display_window_hu, intensity)
        with memory_errors(f"prediction with {path}", windows=batch_size, precision=settings.precision):
            scores, top, each = score_scans(
                model, scored.batches, len(scored.rows), input_settings, device=device
            )
        tables.append(predictions_of(run, scored.rows, scored.windows, scores, top))
        if window_scores and run in shown:
            of_windows.append(window_scores_of(run, scored.rows, scored.windows, each))
        print(f"run {number} of {len(runs)}: {run}: {len(scored.rows)} scans", flush=True)
    for scored in by_fold.values():
        scored.batches.loader.close()
    write_predictions(tables, output, outside=outside, own_predictions=own_predictions)
    if window_scores:
        write_window_scores(of_windows, window_scores, outside=outside)
