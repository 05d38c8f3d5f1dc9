"""Metrics over many resamples at once, from counts.

A metric is a callable ``(labels, scores, counts) -> values``: labels 0 or 1 and scores of shape
(num_scans,), counts of shape (num_resamples, num_scans) saying how often each scan is in a resample, and
one value a resample. Each equals scikit-learn's function of the repeated scans, ties included.
A new metric is one function here and its name in ``METRICS`` (and in the configuration's schema).
"""

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# Resamples taken at once: the working arrays of a block of a thousand scans stay in the cache.
_BLOCK = 256


def _in_blocks(kernel: Callable[[np.ndarray], np.ndarray], counts_RS: np.ndarray) -> np.ndarray:
    counts_SR = counts_RS.T
    num_resamples = counts_SR.shape[1]
    parts = [
        kernel(np.ascontiguousarray(counts_SR[:, start : start + _BLOCK], dtype=np.float64))
        for start in range(0, num_resamples, _BLOCK)
    ]
    return np.concatenate(parts)


def auroc(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a positive scan outranks a negative one, ties half.

    For every positive scan, the negatives below it are read off one cumulative sum of counts over the
    negatives in order of score (Hanley and McNeil, Radiology 143(1), 1982, for the identity).

    Returns:
        Values, shape (num_resamples,); NaN where a resample has one class.
    """
    positive = labels == 1
    by_score = np.flatnonzero(~positive)[np.argsort(scores[~positive], kind="stable")]
    negative_scores = scores[by_score]
    low = np.searchsorted(negative_scores, scores[positive], side="left")
    high = np.searchsorted(negative_scores, scores[positive], side="right")

    def kernel(counts_SR: np.ndarray) -> np.ndarray:
        below_NR = np.zeros((len(by_score) + 1, counts_SR.shape[1]))
        np.cumsum(counts_SR[by_score], axis=0, out=below_NR[1:])
        positives_PR = counts_SR[positive]
        twice_wins = np.einsum("pr,pr->r", positives_PR, below_NR[low])
        twice_wins += np.einsum("pr,pr->r", positives_PR, below_NR[high])
        pairs = positives_PR.sum(axis=0) * below_NR[-1]
        return np.divide(twice_wins, 2 * pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)

    return _in_blocks(kernel, counts)


def average_precision(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve as a sum over thresholds, without interpolation.

    Recall gained at every distinct score times the precision there, as scikit-learn's
    ``average_precision_score``.

    Returns:
        Values, shape (num_resamples,); NaN where a resample has no positive scan.
    """
    by_score = np.argsort(-scores, kind="stable")
    tie = np.cumsum(np.diff(scores[by_score], prepend=np.inf) != 0)  # number of the distinct score
    positive_ranks = np.flatnonzero(labels[by_score] == 1)
    # Recall grows at scores that a positive scan has; only there is precision needed.
    last_found = np.flatnonzero(np.diff(tie[positive_ranks], append=np.inf))
    last_called = np.searchsorted(tie, tie[positive_ranks[last_found]], side="right") - 1

    def kernel(counts_SR: np.ndarray) -> np.ndarray:
        ranked_SR = counts_SR[by_score]
        found_TR = np.cumsum(ranked_SR[positive_ranks], axis=0)[last_found]
        called_TR = np.cumsum(ranked_SR, axis=0, out=ranked_SR)[last_called]
        precision_TR = np.divide(found_TR, called_TR, out=np.zeros_like(found_TR), where=called_TR > 0)
        gained_TR = np.diff(found_TR, axis=0, prepend=0)
        total_R = found_TR[-1]
        area = np.einsum("tr,tr->r", gained_TR, precision_TR)
        return np.divide(area, total_R, out=np.full(len(total_R), np.nan), where=total_R > 0)

    return _in_blocks(kernel, counts)


METRICS: dict[str, Metric] = {"auroc": auroc, "auprc": average_precision}
