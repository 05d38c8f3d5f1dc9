"""Values of a metric by run and fold: every fold is another network, whose scans are evaluated apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from chestct.evaluation.folds import ranked_folds
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.resampling import Draws
from chestct.evaluation.scans import TestSet
from chestct.no_interval import NO_INTERVAL

#: Largest share of the resamples that may lack a value without taking the interval away.
MAX_SHARE_ABSENT = 0.05


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """What metrics need beside labels, scores and counts.

    Attributes:
        specificity: at which the sensitivity of the test set's own threshold is read.
        prevalence: share of positive scans at which metrics that depend on it are evaluated.
        thresholds: by run, the threshold that the validation scans of a scan's fold decide; shape
            (num_scans,). Needed for the metrics at that threshold alone.
    """

    specificity: float
    prevalence: float
    thresholds: Mapping[RunKey, np.ndarray] = field(default_factory=dict)


def fold_values(
    metric: str,
    scores: Mapping[RunKey, np.ndarray],
    test_set: TestSet,
    draws: Draws,
    settings: MetricSettings,
) -> dict[RunKey, np.ndarray]:
    """Evaluate a metric within folds, on every count of ``draws``.

    Args:
        metric: name in ``METRICS``.
        scores: by run, shape (num_scans,).
        test_set: scans, labels and folds.
        draws: counts: the sample, its resamples, the leave-one-patient-out samples.
        settings: what the metric needs beside these.

    Returns:
        By run, float64 of shape (num_folds, num_counts): the metric on the scans of every fold under the
        fold's part of every count; the mean over the first axis is the metric. The first axis has length 1
        where there is one test set, and for metrics marked ``pooled``. Folds whose scans have one label are
        left out for all runs alike. NaN where the metric is not defined; on the leave-one-patient-out samples
        for metrics without a BCa interval, and on all counts but the sample for those without any.

        If a metric has a value on the sample and on nearly all resamples, the others take the mean of these:
        a predictive value is not defined where by chance no scan is called positive.
    """
    kind = METRICS[metric]
    runs = list(scores)
    scores_KS = np.stack([scores[run] for run in runs])
    options = {name: getattr(settings, name) for name in kind.settings if name != "thresholds"}
    thresholds_KS = None
    if "thresholds" in kind.settings:
        thresholds_KS = np.stack([settings.thresholds[run] for run in runs])
    counts = draws.counts if kind.bca else draws.sample_and_resamples
    if metric in NO_INTERVAL:
        counts = draws.counts[:1]
    everything = np.ones(len(test_set.labels), dtype=bool)
    masks = [everything] if kind.pooled else list(ranked_folds(test_set.strata))
    values_KFR = np.full((len(runs), len(masks), len(draws.counts)), np.nan)
    for number, mask in enumerate(masks):
        if thresholds_KS is not None:
            options["thresholds"] = _of_scans(thresholds_KS, mask)
        values_KFR[:, number, : len(counts)] = kind.function(
            test_set.labels[mask], _of_scans(scores_KS, mask), _of_scans(counts, mask), **options
        )
    if metric not in NO_INTERVAL:
        _fill(values_KFR, draws)
    return dict(zip(runs, values_KFR, strict=True))


def _fill(values_KFR: np.ndarray, draws: Draws) -> None:
    """Fill resamples without a value, in place, where they are few."""
    resampled_KFR = draws.resampled(values_KFR)
    absent_KFR = np.isnan(resampled_KFR)
    few_KF = absent_KFR.any(axis=2) & (absent_KFR.mean(axis=2) <= MAX_SHARE_ABSENT)
    for run, fold in np.argwhere(few_KF & np.isfinite(values_KFR[..., 0])):
        values_R, absent_R = resampled_KFR[run, fold], absent_KFR[run, fold]
        values_R[absent_R] = values_R[~absent_R].mean()


def _of_scans(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Columns of some scans, in the order of memory that the array has; the array itself for all scans."""
    if mask.all():
        return values
    if values.flags.f_contiguous:
        return values.T[mask].T
    return values[:, mask]
