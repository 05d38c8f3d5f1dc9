"""Points of ROC and precision-recall curves with pointwise bands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chestct.evaluation.contrasts import Quantity
from chestct.evaluation.counts import class_weights
from chestct.evaluation.folds import ranked_folds
from chestct.evaluation.intervals import percentile_intervals
from chestct.evaluation.matching import RunKey

#: False positive rates and recalls of the points.
GRID = np.linspace(0, 1, 41)
_COUNTS_AT_ONCE = 2**23  # of which running sums are held
#: Bands use this many resamples, the first ones: they need fewer than intervals that decide a claim.
MAX_BAND_RESAMPLES = 500


def fold_curves(
    strata: np.ndarray, scores: np.ndarray, counts: np.ndarray, prevalence: float | None = None
) -> dict[str, np.ndarray]:
    """``run_curves`` within every fold, averaged over folds at every point.

    Args:
        strata: fold and label (``folds.class_strata``), shape (num_scans,).
        scores, counts, prevalence: as of ``run_curves``.
    """
    parts = [
        run_curves(strata[fold] % 2, scores[fold], counts[:, fold], prevalence)
        for fold in ranked_folds(strata)
    ]
    return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}


def run_curves(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, prevalence: float | None = None
) -> dict[str, np.ndarray]:
    """Curves of one run at the points of ``GRID``, on every resample.

    ROC: the highest sensitivity at a false positive rate of at most x. Precision-recall: the precision at the
    highest threshold with a recall of at least x, and above 0.

    Args:
        labels, scores: shape (num_scans,).
        counts: shape (num_resamples, num_scans), every resample with both classes.
        prevalence: at which the precision is; None for the share of positive scans in each resample.

    Returns:
        Values of shape (num_points, num_resamples), by curve.
    """
    size = max(1, _COUNTS_AT_ONCE // len(labels))
    parts = [
        _curves_of(labels, scores, counts[start : start + size], prevalence)
        for start in range(0, len(counts), size)
    ]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _curves_of(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, prevalence: float | None
) -> dict[str, np.ndarray]:
    """``run_curves`` of so few resamples that their running sums fit into memory."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    ranked_SR, positive = counts.T[order], labels[order, None] == 1
    found, false = (
        np.cumsum(ranked_SR * of_class, axis=0)[last_of_tie].T.astype(np.float64)
        for of_class in (positive, ~positive)
    )
    # A threshold above all scores calls no scan positive.
    found, false = (np.pad(values, ((0, 0), (1, 0))) for values in (found, false))
    num_found, num_false = found[:, -1:], false[:, -1:]
    place = _places(false, np.floor(GRID * num_false + 1e-9), side="right") - 1
    sensitivity = np.take_along_axis(found, place, axis=1) / num_found
    place = _places(found, np.maximum(1, np.ceil(GRID * num_found - 1e-9)), side="left")
    at = np.take_along_axis(found, place, axis=1)
    weights = class_weights(num_found, num_false, prevalence)
    true, untrue = weights[0] * at, weights[1] * np.take_along_axis(false, place, axis=1)
    return {"roc": sensitivity.T, "precision_recall": (true / (true + untrue)).T}


def _places(rising: np.ndarray, wanted: np.ndarray, side: Any) -> np.ndarray:
    """``searchsorted`` within every row, in one call: each row is shifted above the previous one."""
    num_rows, width = rising.shape
    offset = np.arange(num_rows)[:, None] * (rising[:, -1].max() + 2)
    flat = np.searchsorted((rising + offset).ravel(), wanted + offset, side=side)
    return flat - np.arange(num_rows)[:, None] * width


def curve_rows(
    quantities: Sequence[Quantity],
    strata: np.ndarray,
    scores: Mapping[RunKey, np.ndarray],
    counts: np.ndarray,
    confidence: float,
    prevalence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of the table "curves" for every arm and mean, averaged over folds, seeds and models at each point.

    Args:
        quantities: arms and means at one percentage.
        strata: fold and label (``folds.class_strata``), shape (num_scans,).
        scores: shape (num_scans,) by run.
        counts: the sample itself, then its resamples, of which the first ``MAX_BAND_RESAMPLES`` are used.
        confidence: of the pointwise band.
        prevalence: share of positive scans, at which the precision is.
    """
    counts = counts[: 1 + MAX_BAND_RESAMPLES]
    by_arm: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for quantity in quantities:
        if quantity.is_mean:
            parts = [by_arm[arm.model, arm.init] for arm, _ in quantity.parts]
        else:
            runs = [values for key, values in scores.items() if key[:3] == quantity.parts[0][0]]
            parts = [fold_curves(strata, values, counts, prevalence) for values in runs]
        curves = {
            name: np.mean([part[name] for part in parts], axis=0) for name in ("roc", "precision_recall")
        }
        by_arm[quantity.model, quantity.label] = curves
        for name, values in curves.items():
            low, high = percentile_intervals(np.sort(values[:, 1:], axis=1), confidence)
            for point, x in enumerate(GRID):
                yield {
                    "model": quantity.model,
                    "init": quantity.label,
                    "percent": quantity.percent,
                    "curve": name,
                    "prevalence": prevalence,
                    "x": x,
                    "y": values[point, 0],
                    "low": low[point],
                    "high": high[point],
                }
