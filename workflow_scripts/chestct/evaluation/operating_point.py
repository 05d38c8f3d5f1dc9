"""Decisions at a threshold that was chosen on validation scans: sensitivity, specificity, predictive values.

The threshold of a run keeps the specificity on its own validation scans (with folds, on the fold's), so that
the test scans have no part in it: what a user of the model would meet. "Positive" means a score above the
threshold. A threshold from the test scans themselves is that of ``metrics.sensitivity``.
"""

from collections.abc import Mapping

import numpy as np

from chestct.errors import InputError
from chestct.evaluation.counts import count_sums, rows_of, weighted_sums
from chestct.evaluation.matching import RunKey
from chestct.evaluation.scans import TestSet


def lowest_threshold(negative_KS: np.ndarray, specificity: float) -> np.ndarray:
    """The lowest threshold above which at most (1 - specificity) of the negative scans lie, shape (K,).

    Args:
        negative_KS: scores of K runs for negative scans; NaN where a run does not know the scan.
        specificity: between 0 and 1, both excluded; the number of false positives is rounded down.
    """
    num_negative_K = np.isfinite(negative_KS).sum(axis=1)
    # A tenth of 100 is 10, whatever 1 - 0.9 is in binary.
    allowed_K = np.floor((1 - specificity) * num_negative_K + 1e-9).astype(int)
    place_K = num_negative_K - 1 - allowed_K  # NaN are sorted to the end
    return np.take_along_axis(np.sort(negative_KS, axis=1), place_K[:, None], axis=1)[:, 0]


def validation_thresholds(
    validation: Mapping[RunKey, np.ndarray], test_set: TestSet, specificity: float
) -> dict[RunKey, np.ndarray]:
    """Threshold of every run for every test scan, which the validation scans of the scan's fold decide.

    Args:
        validation: scores by run, in the order of ``test_set.validation``.
        test_set: test and validation scans.
        specificity: that the threshold keeps on the validation scans.

    Returns:
        By run, shape (num_scans,).

    Raises:
        InputError: a fold has no negative validation scan.
    """
    scores_KV = np.stack(list(validation.values()))
    folds, labels = (test_set.validation[name].to_numpy(dtype=np.int64) for name in ("fold", "label"))
    thresholds_KS = np.empty((len(scores_KV), len(test_set.folds)))
    for fold in np.unique(test_set.folds):
        negative_KV = scores_KV[:, (folds == fold) & (labels == 0)]
        if not np.isfinite(negative_KV).any(axis=1).all():
            raise InputError(
                f"fold {fold} of {test_set.dataset} has no negative validation scan",
                where="the table splits",
                expected="a negative validation scan, on which a threshold can be chosen",
                remedy="rerun the subsets step with a larger share for validation, or drop the metrics "
                "..._validation from evaluation.metrics",
            )
        thresholds = lowest_threshold(negative_KV, specificity)
        thresholds_KS[:, test_set.folds == fold] = thresholds[:, None]
    return dict(zip(validation, thresholds_KS, strict=True))


def _share_called(
    chosen: np.ndarray, scores: np.ndarray, counts: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Share of the chosen scans above their threshold; shape (num_runs, num_resamples), NaN without any."""
    called_KS = (np.atleast_2d(scores) > thresholds)[:, chosen].astype(np.float64)
    rows = rows_of(counts.T, chosen)
    num_chosen_R = count_sums(*rows)
    shares_KR = weighted_sums(called_KS, *rows)
    return np.divide(shares_KR, num_chosen_R, out=np.full(shares_KR.shape, np.nan), where=num_chosen_R > 0)


def _like(values_KR: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return values_KR if scores.ndim == 2 else values_KR[0]


def sensitivity_at(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, thresholds: np.ndarray
) -> np.ndarray:
    """Share of the positive scans above the threshold; NaN where a resample has no positive scan.

    Args:
        labels, scores, counts: see ``metrics``.
        thresholds: of every score, of a shape that broadcasts to that of the scores.
    """
    return _like(_share_called(labels == 1, scores, counts, thresholds), scores)


def specificity_at(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, thresholds: np.ndarray
) -> np.ndarray:
    """Share of the negative scans at or below the threshold; NaN where a resample has no negative scan.

    Arguments as of ``sensitivity_at``.
    """
    return 1 - _like(_share_called(labels == 0, scores, counts, thresholds), scores)


def positive_predictive_value(
    labels: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray,
    *,
    thresholds: np.ndarray,
    prevalence: float | None = None,
) -> np.ndarray:
    """Share of positive scans among those above the threshold, at a prevalence.

    By Bayes' theorem from sensitivity and specificity: pi x sensitivity / (pi x sensitivity + (1 - pi) x
    (1 - specificity)). NaN where no scan is above the threshold.

    Args:
        labels, scores, counts: see ``metrics``.
        thresholds: of every score, of a shape that broadcasts to that of the scores.
        prevalence: pi; None for the share of positive scans in each resample.
    """
    return _like(_predictive_value(labels, scores, counts, thresholds, prevalence, of_label=1), scores)


def negative_predictive_value(
    labels: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray,
    *,
    thresholds: np.ndarray,
    prevalence: float | None = None,
) -> np.ndarray:
    """Share of negative scans among those at or below the threshold, at a prevalence.

    Arguments as of ``positive_predictive_value``; NaN where all scans are above the threshold.
    """
    return _like(_predictive_value(labels, scores, counts, thresholds, prevalence, of_label=0), scores)


def _predictive_value(
    labels: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray,
    thresholds: np.ndarray,
    prevalence: float | None,
    *,
    of_label: int,
) -> np.ndarray:
    share_R = prevalence
    if share_R is None:
        share_R = count_sums(counts.T, labels == 1) / counts.sum(axis=1, dtype=np.float64)
    positive_KR, negative_KR = (
        _share_called(labels == label, scores, counts, thresholds) for label in (1, 0)
    )
    if of_label == 0:
        positive_KR, negative_KR = 1 - positive_KR, 1 - negative_KR
    mine_KR, others_KR = share_R * positive_KR, (1 - share_R) * negative_KR
    if of_label == 0:
        mine_KR, others_KR = others_KR, mine_KR
    total_KR = mine_KR + others_KR
    return np.divide(mine_KR, total_KR, out=np.full(total_KR.shape, np.nan), where=total_KR > 0)
