"""Simulated scores whose true metrics are known: normal within each class, shifted for positive scans."""

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from scipy import special

#: Log odds of a score are a x normal + b: probabilities that are neither calibrated nor wild.
SCALE, SHIFT = 1.2, -0.3

_NORMAL = NormalDist()
_GRID_STEPS = 4001
_REACH = 9.0


def mean_distance(true_auroc: float) -> float:
    """Distance of the class means, in standard deviations, that gives this AUROC."""
    return float(np.sqrt(2) * _NORMAL.inv_cdf(true_auroc))


def binormal_scores(labels: np.ndarray, true_auroc: float, noise: np.ndarray) -> np.ndarray:
    """Probabilities with this population AUROC from standard normal noise, of its shape."""
    return special.expit(SCALE * (noise + labels * mean_distance(true_auroc)) + SHIFT)


@dataclass(frozen=True)
class Truth:
    """The true metrics of binormal scores in a population.

    Attributes:
        auroc: of the scores.
        prevalence: share of positive scans in the population.
        specificity: at which the sensitivity is read.
    """

    auroc: float
    prevalence: float
    specificity: float

    def value(self, metric: str, thresholds: np.ndarray) -> np.ndarray:
        """True value of a metric of ``metric_table.METRICS`` at every threshold, of the thresholds' shape.

        Metrics without a threshold from validation have the same value everywhere.
        """
        if metric.endswith("_validation"):
            return self._at_threshold(metric, thresholds)
        return np.full(thresholds.shape, _value(self, metric))

    def _at_threshold(self, metric: str, thresholds: np.ndarray) -> np.ndarray:
        place = (special.logit(thresholds) - SHIFT) / SCALE
        found, right = special.ndtr(mean_distance(self.auroc) - place), special.ndtr(place)
        ours, theirs = self.prevalence, 1 - self.prevalence
        return {
            "sensitivity_validation": found,
            "specificity_validation": right,
            "ppv_validation": ours * found / (ours * found + theirs * (1 - right)),
            "npv_validation": theirs * right / (theirs * right + ours * (1 - found)),
        }[metric]


@cache
def _value(truth: Truth, metric: str) -> float:
    distance = mean_distance(truth.auroc)
    ours, theirs = truth.prevalence, 1 - truth.prevalence
    if metric == "auroc":
        return truth.auroc
    if metric == "sensitivity":
        return _NORMAL.cdf(distance - _NORMAL.inv_cdf(truth.specificity))
    if metric == "calibration_slope":  # the label is exactly logistic in the normal score
        return distance / SCALE
    grid = np.linspace(-_REACH, _REACH + distance, _GRID_STEPS)
    positive, negative = (np.exp(-((grid - mean) ** 2) / 2) for mean in (distance, 0.0))
    positive, negative = positive / positive.sum(), negative / negative.sum()
    scores = special.expit(SCALE * grid + SHIFT)
    if metric == "brier":
        return float(ours * (positive @ (1 - scores) ** 2) + theirs * (negative @ scores**2))
    if metric == "auprc":
        found, false = special.ndtr(distance - grid), special.ndtr(-grid)
        return float(positive @ (ours * found / (ours * found + theirs * false)))
    if metric == "calibration_intercept":
        low, high = -20.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            risk = special.expit(SCALE * grid + SHIFT + middle)
            below = ours * (positive @ risk) + theirs * (negative @ risk) < ours
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2
    raise KeyError(metric)
