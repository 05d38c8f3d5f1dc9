"""Coverage: how often intervals contain the true value, by simulation at the size of a test set."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from chestct.evaluation.delong import placements, standard_errors
from chestct.evaluation.fold_values import MetricSettings, fold_values
from chestct.evaluation.intervals import (
    acceleration,
    bca_intervals,
    normal_intervals,
    student_intervals,
)
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.operating_point import lowest_threshold
from chestct.evaluation.resampling import Draws, draw_resamples
from chestct.evaluation.scans import TestSet
from chestct.evaluation.validity.binormal import Truth, binormal_scores
from chestct.no_interval import NO_INTERVAL
from chestct.wilson import wilson_interval

#: True AUROCs of the two models that are simulated and compared.
PAIR = (0.80, 0.75)
#: Correlation of the two models' scores within a class.
CORRELATION = 0.5
#: Test sets of a fixed share of positive scans, or with every scan's label drawn.
PREVALENCES = ("fixed", "sampled")

_NUM_SHARES = 10  # shares of positive scans that stand for the distribution of a sampled one
_AT_ONCE = 50  # simulations held in memory at a time

Ends = tuple[np.ndarray, np.ndarray]


class _Simulated(NamedTuple):
    """Simulated test sets with the same labels: scores (M, B, S) and thresholds (M, B) of both models."""

    labels: np.ndarray
    draws: Draws
    scores: np.ndarray
    thresholds: np.ndarray


def coverage_rows(
    num_scans: int,
    num_positive: int,
    *,
    metrics: Sequence[str],
    specificity: float,
    num_simulations: int,
    num_resamples: int,
    confidence: float,
    rng: np.random.Generator,
    pair: tuple[float, float] = PAIR,
) -> Iterator[dict[str, Any]]:
    """Rows of the table "coverage" for one size of a test set with one scan per patient.

    A simulation draws the scores of two models on the same scans, whose true AUROCs are ``pair``. The metrics
    of the first are the quantity "value", their differences the quantity "difference"; thresholds come from
    as many simulated negative validation scans as the test set has. Metrics that depend on the prevalence are
    evaluated at that of the population, also where the test set's own share of positive scans is sampled.
    Simulations with the same number of positive scans share their resamples, as all runs of a study do; this
    favours none, because the scans of a class are exchangeable. Half of the simulations have the fixed
    number of positive scans, half a sampled one.
    """
    truths = [Truth(auroc, num_positive / num_scans, specificity) for auroc in pair]
    for prevalence in PREVALENCES:
        tallies: dict[tuple[str, str, str], np.ndarray] = {}
        size, numbers = (num_scans, num_positive), (-(-num_simulations // 2), num_resamples)
        for simulated in _simulate(size, prevalence, specificity, numbers, rng, pair):
            for key, tally in _tallies(simulated, truths, metrics, confidence):
                tallies[key] = tallies.get(key, 0.0) + tally
        for (metric, quantity, method), (hits, number, widths, true_values) in tallies.items():
            if not number:
                continue
            low, high = wilson_interval(hits, number, confidence)
            yield {
                "metric": metric,
                "quantity": quantity,
                "prevalence": prevalence,
                "method": method,
                "num_scans": num_scans,
                "num_positive": num_positive,
                "true_value": true_values / number,
                "nominal": confidence,
                "coverage": hits / number,
                "low": low,
                "high": high,
                "mean_width": widths / number,
                "num_simulations": int(number),
                "num_resamples": num_resamples,
            }


def _simulate(
    size: tuple[int, int],
    prevalence: str,
    specificity: float,
    numbers: tuple[int, int],
    rng: np.random.Generator,
    pair: tuple[float, float],
) -> Iterator[_Simulated]:
    """Simulated test sets of a size (scans, positive scans); numbers are of simulations and resamples."""
    (num_scans, num_positive), (num_simulations, num_resamples) = size, numbers
    positives = np.array([num_positive])
    if prevalence == "sampled":
        sampled = rng.binomial(num_scans, num_positive / num_scans, size=20_000)
        middles = (np.arange(_NUM_SHARES) + 0.5) / _NUM_SHARES
        positives = np.clip(np.quantile(sampled, middles).round().astype(int), 2, num_scans - 2)
    edges = np.arange(len(positives) + 1) * num_simulations // len(positives)
    for number, start, end in zip(positives, edges[:-1], edges[1:], strict=True):
        labels = (np.arange(num_scans) < number).astype(np.int64)
        draws = draw_resamples(np.arange(num_scans), labels, num_resamples, rng)
        for begin in range(start, end, _AT_ONCE):
            at_once = min(_AT_ONCE, end - begin)
            noise_MBS = _correlated((at_once, num_scans), rng)
            negative_MBV = _correlated((at_once, num_scans - num_positive), rng)
            scores = [binormal_scores(labels, *each) for each in zip(pair, noise_MBS, strict=True)]
            negative = [binormal_scores(np.zeros(1), *each) for each in zip(pair, negative_MBV, strict=True)]
            thresholds = [lowest_threshold(each, specificity) for each in negative]
            yield _Simulated(labels, draws, np.stack(scores), np.stack(thresholds))


def _correlated(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(size=(2, *shape))
    noise[1] = CORRELATION * noise[0] + np.sqrt(1 - CORRELATION**2) * noise[1]
    return noise


def _tallies(
    simulated: _Simulated, truths: Sequence[Truth], metrics: Sequence[str], confidence: float
) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """By metric, quantity and method: sums of hits, intervals, widths and true values over simulations."""
    labels, draws, scores_MBS, thresholds_MB = simulated
    num_models, size, num_scans = scores_MBS.shape
    runs = [RunKey("simulated", str(model), 100, i) for model in range(num_models) for i in range(size)]
    by_scan = np.repeat(thresholds_MB.reshape(-1, 1), num_scans, axis=1)
    settings = MetricSettings(
        specificity=truths[0].specificity,
        prevalence=truths[0].prevalence,
        thresholds=dict(zip(runs, by_scan, strict=True)),
    )
    scores = dict(zip(runs, scores_MBS.reshape(-1, num_scans), strict=True))
    for metric in metrics:
        if metric in NO_INTERVAL:
            continue
        values = fold_values(metric, scores, _test_set(labels), draws, settings)
        values_MBL = np.stack(list(values.values()))[:, 0].reshape(num_models, size, -1)
        true_MB = np.stack(
            [truth.value(metric, own) for truth, own in zip(truths, thresholds_MB, strict=True)]
        )
        quantities = {
            "value": (values_MBL[0], true_MB[0]),
            "difference": (values_MBL[0] - values_MBL[1], true_MB[0] - true_MB[1]),
        }
        for quantity, (values_BL, true_B) in quantities.items():
            ends = dict(_intervals(metric, quantity, values_BL, draws, confidence))
            if metric == "auroc":
                sides = np.array([[placements(labels, run) for run in model] for model in scores_MBS])
                sides_BS = sides[0] if quantity == "value" else sides[0] - sides[1]
                errors = standard_errors(labels, sides_BS)
                ends["delong"] = normal_intervals(values_BL[:, 0], errors, confidence)[:2]
            for method, (low, high) in ends.items():
                found = np.isfinite(low) & np.isfinite(high)
                held = found & (low <= true_B) & (true_B <= high)
                sums = held.sum(), found.sum(), (high - low)[found].sum(), true_B[found].sum()
                yield (metric, quantity, method), np.array(sums, dtype=np.float64)


def _intervals(
    metric: str, quantity: str, values_BL: np.ndarray, draws: Draws, confidence: float
) -> Iterator[tuple[str, Ends]]:
    """The intervals over patients that tables print, by method."""
    kind, resampled_BR = METRICS[metric], draws.resampled(values_BL)
    low, high, _ = student_intervals(
        values_BL[:, 0],
        resampled_BR,
        draws.freedom,
        confidence,
        of_share=kind.share and quantity == "value",
        skewed=kind.skewed,
    )
    yield "student", (low, high)
    if kind.bca:
        acceleration_B = acceleration(draws.left_out(values_BL), draws.left_out_stratum, draws.stratum_sizes)
        ordered_BR = np.sort(resampled_BR, axis=1)
        yield "bca", bca_intervals(values_BL[:, 0], ordered_BR, acceleration_B, confidence)


def _test_set(labels: np.ndarray) -> TestSet:
    numbers = np.arange(len(labels))
    return TestSet(
        dataset="simulated",
        study_ids=numbers,
        patient_ids=numbers,
        labels=labels,
        folds=np.zeros(len(labels), dtype=np.int64),
        baseline=None,
        validation=pd.DataFrame(),
    )
