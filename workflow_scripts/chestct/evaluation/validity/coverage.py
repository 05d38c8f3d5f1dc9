"""Coverage: how often intervals contain the true value, by simulation at the size of a test set."""

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from chestct.evaluation.delong import placements, standard_errors
from chestct.evaluation.intervals import (
    acceleration,
    bca_intervals,
    normal_intervals,
    percentile_intervals,
)
from chestct.evaluation.metrics import auroc
from chestct.evaluation.resampling import bootstrap_counts
from chestct.wilson import wilson_interval

#: True AUROCs of single models, and of the two that are compared.
SINGLE = (0.7, 0.85)
PAIR = (0.80, 0.75)
#: Correlation of the two models' scores within a class.
CORRELATION = 0.5

_AT_ONCE = 50  # simulations held in memory at a time

Ends = tuple[np.ndarray, np.ndarray]


def binormal_scores(labels: np.ndarray, true_auroc: float, noise: np.ndarray) -> np.ndarray:
    """Scores with this population AUROC: standard normal noise, shifted for positive scans."""
    return noise + labels * np.sqrt(2) * NormalDist().inv_cdf(true_auroc)


def coverage_rows(
    num_scans: int,
    num_positive: int,
    *,
    num_simulations: int,
    num_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """Rows of the table "coverage" for one size of a test set with one scan per patient.

    A simulation draws the scores of four models: one for each AUROC of ``SINGLE``, and the two of ``PAIR``,
    whose difference is the quantity "difference". All simulations share the same resamples, as all runs of a
    study do; this favours no simulation, because the scans of a class are exchangeable.
    """
    labels = (np.arange(num_scans) < num_positive).astype(np.int64)
    counts = np.ones((1 + num_resamples, num_scans), dtype=np.float32, order="F")
    counts[1:] = bootstrap_counts(np.arange(num_scans), labels, num_resamples, rng)
    true_values = [*SINGLE, PAIR[0] - PAIR[1]]
    methods = ("percentile", "bca", "delong")
    hits, widths = np.zeros((2, len(true_values), len(methods)))
    for start in range(0, num_simulations, _AT_ONCE):
        size = min(_AT_ONCE, num_simulations - start)
        for number, (values_BR, sides_BS) in enumerate(_simulate(labels, counts, size, rng)):
            for column, method in enumerate(methods):
                low, high = _INTERVALS[method](values_BR, sides_BS, labels, confidence)
                hits[number, column] += ((low <= true_values[number]) & (true_values[number] <= high)).sum()
                widths[number, column] += (high - low).sum()
    for number, true_value in enumerate(true_values):
        for column, method in enumerate(methods):
            least, most = wilson_interval(hits[number, column], num_simulations, confidence)
            yield {
                "quantity": "auroc" if number < len(SINGLE) else "difference",
                "method": method,
                "num_scans": num_scans,
                "num_positive": num_positive,
                "true_value": true_value,
                "nominal": confidence,
                "coverage": hits[number, column] / num_simulations,
                "low": least,
                "high": most,
                "mean_width": widths[number, column] / num_simulations,
                "num_simulations": num_simulations,
                "num_resamples": num_resamples,
            }


def _simulate(
    labels: np.ndarray, counts: np.ndarray, size: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every quantity: simulated values on sample and resamples, and placement values."""
    noise = rng.normal(size=(len(SINGLE) + len(PAIR), size, len(labels)))
    noise[-1] = CORRELATION * noise[-2] + np.sqrt(1 - CORRELATION**2) * noise[-1]
    models = []
    for true_auroc, own in zip((*SINGLE, *PAIR), noise, strict=True):
        scores_BS = binormal_scores(labels, true_auroc, own)
        sides_BS = np.stack([placements(labels, scores) for scores in scores_BS])
        models.append((auroc(labels, scores_BS, counts), sides_BS))
    (one, one_sides), (other, other_sides) = models[-2:]
    return [*models[:-2], (one - other, one_sides - other_sides)]


def _percentile(values: np.ndarray, sides: np.ndarray, labels: np.ndarray, confidence: float) -> Ends:
    return percentile_intervals(np.sort(values[:, 1:], axis=1), confidence)


def _bca(values: np.ndarray, sides: np.ndarray, labels: np.ndarray, confidence: float) -> Ends:
    # Without a scan, AUROC is the mean of the remaining placement values of its class.
    sizes = np.where(labels == 1, labels.sum(), (1 - labels).sum())
    left_out = (sizes * values[:, :1] - sides) / np.maximum(1, sizes - 1)
    ordered = np.sort(values[:, 1:], axis=1)
    return bca_intervals(values[:, 0], ordered, acceleration(left_out, labels), confidence)


def _delong(values: np.ndarray, sides: np.ndarray, labels: np.ndarray, confidence: float) -> Ends:
    low, high, _ = normal_intervals(values[:, 0], standard_errors(labels, sides), confidence)
    return low, high


_INTERVALS: dict[str, Callable[..., Ends]] = {"percentile": _percentile, "bca": _bca, "delong": _delong}
