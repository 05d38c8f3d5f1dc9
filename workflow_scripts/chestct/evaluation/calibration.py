"""Calibration: mean score and share of positive scans in bins of the score."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chestct.evaluation.contrasts import Quantity
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metrics import NUM_BINS, score_bins
from chestct.wilson import wilson_interval


def calibration_rows(
    quantities: Sequence[Quantity], labels: np.ndarray, scores: Mapping[RunKey, np.ndarray], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of the table "calibration" for every arm and mean, with the scores of its runs pooled.

    Empty bins are left out. The number of scans in Wilson's interval is the average over the runs, because
    the scores of several runs for one scan are not independent.
    """
    for quantity in quantities:
        arms = [arm for arm, _ in quantity.parts]
        runs = np.stack([values for key, values in scores.items() if key[:3] in arms])
        bins = score_bins(runs)
        held = np.bincount(bins.ravel(), minlength=NUM_BINS)
        total = np.bincount(bins.ravel(), weights=runs.ravel(), minlength=NUM_BINS)
        positive = np.bincount(bins.ravel(), weights=np.tile(labels, len(runs)), minlength=NUM_BINS)
        for number in np.flatnonzero(held):
            low, high = wilson_interval(positive[number] / len(runs), held[number] / len(runs), confidence)
            yield {
                "model": quantity.model,
                "init": quantity.label,
                "percent": quantity.percent,
                "bin": number,
                "mean_score": total[number] / held[number],
                "share_positive": positive[number] / held[number],
                "low": low,
                "high": high,
                "num_scans": held[number],
            }
