"""Metrics over many resamples at once, from counts.

A metric is a callable ``(labels, scores, counts) -> values``: labels 0 or 1, shape (num_scans,); scores,
shape (num_scans,) or (num_runs, num_scans); counts, shape (num_resamples, num_scans), saying how often each
scan is in a resample. It gives one value a resample, shape (num_resamples,) or (num_runs, num_resamples), NaN
where it is not defined. Each equals scikit-learn's function of the repeated scans, ties included.
``metric_table`` lists them all.

Some metrics depend on the prevalence, the share of positive scans. They are evaluated at a stated one,
``prevalence``, by weighting the classes (Pepe, The Statistical Evaluation of Medical Tests, 2003, section
2.3); without it, at the share that a resample has itself.

Ranking metrics walk the scans once in order of score; a step adds or multiplies rows that hold the counts
of one scan in all resamples. Rows are long enough that NumPy's overhead is small and short enough (10,000
float32 are 40 KB) that the running sums stay in the cache. Counts kept as float32 in Fortran order are used
as they are, others are converted once a call, of very large test sets a block of resamples at a time: values
of a resample do not depend on the others. Integers below 2**24 are exact in float32; where a product could be
larger, all is done in float64.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from chestct.evaluation.counts import Classes, class_weights, count_sums, ratio

Metric = Callable[..., np.ndarray]

NUM_BINS = 10  # of the calibration error, of equal width

_EXACT_IN_FLOAT32 = 2**24
_RUNS_PER_PRODUCT = 32  # runs whose bins are summed in one matrix product
_WEIGHTS_PER_PRODUCT = 2**23  # sums of bins that are held at a time
#: Counts that a kernel walks at a time, but never fewer resamples than the next number: a step has a cost.
_COUNTS_PER_WALK = 2**24
_LEAST_RESAMPLES = 256


class _Rows(NamedTuple):
    """Counts of every scan in all resamples, with the sums that every run shares."""

    counts: np.ndarray  # (num_scans, num_resamples)
    num_positive: np.ndarray  # (num_resamples,), float64, as the next
    num_negative: np.ndarray


def _for_every_run(
    kernel: Callable[[np.ndarray, np.ndarray, _Rows], np.ndarray],
    labels: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """Values of a kernel of (positive, scores of one run, rows), for one run or many."""
    positive = labels == 1
    num_positive_R = count_sums(counts.T, positive)
    num_negative_R = count_sums(counts.T, ~positive)
    largest = 2 * float((num_positive_R * num_negative_R).max(initial=0.0))
    kind = np.float32 if largest < _EXACT_IN_FLOAT32 else np.float64
    runs_KS = np.atleast_2d(scores)
    values_KR = np.empty((len(runs_KS), len(counts)))
    size = max(_LEAST_RESAMPLES, _COUNTS_PER_WALK // max(1, len(labels)))
    for start in range(0, len(counts), size):
        part = slice(start, start + size)
        rows = _Rows(
            np.ascontiguousarray(counts.T[:, part], dtype=kind), num_positive_R[part], num_negative_R[part]
        )
        for number, run in enumerate(runs_KS):
            values_KR[number, part] = kernel(positive, run, rows)
        del rows  # before the next block, or there would be two
    return values_KR if scores.ndim == 2 else values_KR[0]


def _tied_groups(
    positive: np.ndarray, scores: np.ndarray, *, ascending: bool
) -> Iterator[tuple[list[int], list[int]]]:
    """Positive and negative scans of every distinct score, in order of score."""
    order = np.argsort(scores if ascending else -scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0).tolist()
    ranked, is_positive = order.tolist(), positive[order].tolist()
    for start, end in zip(starts, [*starts[1:], len(ranked)], strict=True):
        if end == start + 1:
            yield ([ranked[start]], []) if is_positive[start] else ([], [ranked[start]])
        else:
            tied = range(start, end)
            yield [ranked[i] for i in tied if is_positive[i]], [ranked[i] for i in tied if not is_positive[i]]


def _sum_of(rows_SR: np.ndarray, scans: list[int], buffer_R: np.ndarray) -> np.ndarray:
    """Sum of some rows; of one row that row itself."""
    if len(scans) == 1:
        return rows_SR[scans[0]]
    np.add(rows_SR[scans[0]], rows_SR[scans[1]], out=buffer_R)
    for scan in scans[2:]:
        np.add(buffer_R, rows_SR[scan], out=buffer_R)
    return buffer_R


def auroc(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a positive scan outranks a negative one, ties half.

    (Hanley and McNeil, Radiology 143(1), 1982, for the identity.) NaN where a resample has one class.
    """

    def kernel(positive: np.ndarray, run: np.ndarray, rows: _Rows) -> np.ndarray:
        rows_SR = rows.counts
        below_R, wins_R = np.zeros_like(rows_SR[0]), np.zeros_like(rows_SR[0])
        part_R, buffer_R = np.empty_like(below_R), np.empty_like(below_R)
        waiting: list[int] = []  # positive scans since the last negative one: all beat the same negatives

        def count_wins(winners: list[int], beaten_R: np.ndarray) -> None:
            if winners:
                np.multiply(_sum_of(rows_SR, winners, buffer_R), beaten_R, out=part_R)
                np.add(wins_R, part_R, out=wins_R)

        for positives, negatives in _tied_groups(positive, run, ascending=True):
            if positives and negatives:
                count_wins(waiting, below_R)
                waiting = []
                tied_R = rows_SR[negatives].sum(axis=0)
                count_wins(positives, below_R + tied_R / 2)
                below_R += tied_R
            elif positives:
                waiting += positives
            else:
                count_wins(waiting, below_R)
                waiting = []
                for scan in negatives:
                    np.add(below_R, rows_SR[scan], out=below_R)
        count_wins(waiting, below_R)
        return ratio(wins_R, rows.num_positive * rows.num_negative)

    return _for_every_run(kernel, labels, scores, counts)


def average_precision(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, prevalence: float | None = None
) -> np.ndarray:
    """Area under the precision-recall curve as a sum over thresholds, without interpolation.

    Recall gained at every distinct score times the precision there, as scikit-learn's
    ``average_precision_score``. Precision is w1 TP / (w1 TP + w0 FP) with the weights that give the classes
    the ``prevalence``. NaN where a resample has no positive scan.
    """

    def kernel(positive: np.ndarray, run: np.ndarray, rows: _Rows) -> np.ndarray:
        rows_SR = rows.counts
        of_positive_R, of_negative_R = class_weights(rows.num_positive, rows.num_negative, prevalence)
        odds_R = ratio(of_negative_R, of_positive_R, 1.0)
        weighted = bool((odds_R != 1).any())
        false_R, found_R = np.zeros_like(rows_SR[0]), np.zeros_like(rows_SR[0])
        part_R, buffer_R = np.empty_like(false_R), np.empty_like(false_R)
        top_R, bottom_R, area_R = np.empty(len(false_R)), np.empty(len(false_R)), np.zeros(len(false_R))
        all_called = False
        for positives, negatives in _tied_groups(positive, run, ascending=False):
            for scan in negatives:
                np.add(false_R, rows_SR[scan], out=false_R)
            if positives:
                gained_R = _sum_of(rows_SR, positives, buffer_R)
                np.add(found_R, gained_R, out=found_R)
                np.multiply(gained_R, found_R, out=part_R)
                np.copyto(top_R, part_R)
                if weighted:
                    np.multiply(false_R, odds_R, out=bottom_R)
                else:
                    np.copyto(bottom_R, false_R)
                np.add(bottom_R, found_R, out=bottom_R)
                if not all_called:  # where nothing is called yet, nothing is gained: 0 / 1
                    all_called = bool(bottom_R.all())
                    np.maximum(bottom_R, 1.0, out=bottom_R)
                np.divide(top_R, bottom_R, out=top_R)
                np.add(area_R, top_R, out=area_R)
        return ratio(area_R, rows.num_positive)

    return _for_every_run(kernel, labels, scores, counts)


def sensitivity(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, specificity: float = 0.9
) -> np.ndarray:
    """Sensitivity at a fixed specificity: the largest that a threshold reaches without losing it.

    Thresholds are the distinct scores, "positive" meaning at least the threshold, and none at all; of those
    with false positives of at most (1 - specificity) x negatives, the one that finds the most positive scans
    (no interpolation between thresholds). NaN where a resample has one class.
    """

    def kernel(positive: np.ndarray, run: np.ndarray, rows: _Rows) -> np.ndarray:
        rows_SR = rows.counts
        # A tenth of 100 is 10, whatever 1 - 0.9 is in binary.
        allowed_R = np.floor((1 - specificity) * rows.num_negative + 1e-9)
        left_R = (allowed_R + 1).astype(rows_SR.dtype)  # above 0 where specificity is kept
        kept_R, found_R = np.ones_like(left_R), np.zeros_like(left_R)
        part_R, buffer_R = np.empty_like(left_R), np.empty_like(left_R)
        waiting: list[int] = []  # positive scans since the last negative one
        for number, (positives, negatives) in enumerate(_tied_groups(positive, run, ascending=False)):
            if negatives:
                if waiting:
                    np.minimum(left_R, 1, out=kept_R)
                    np.maximum(kept_R, 0, out=kept_R)
                    np.multiply(_sum_of(rows_SR, waiting, buffer_R), kept_R, out=part_R)
                    np.add(found_R, part_R, out=found_R)
                    waiting = []
                    if number % 8 == 0 and not kept_R.any():
                        break
                for scan in negatives:
                    np.subtract(left_R, rows_SR[scan], out=left_R)
            waiting += positives
        if waiting:
            found_R += _sum_of(rows_SR, waiting, buffer_R) * np.clip(left_R, 0, 1)
        return np.where(rows.num_negative > 0, ratio(found_R, rows.num_positive), np.nan)

    return _for_every_run(kernel, labels, scores, counts)


def brier(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, prevalence: float | None = None
) -> np.ndarray:
    """Brier score: mean squared distance of score and label (Brier, Mon. Weather Rev. 78(1), 1950).

    At a prevalence pi: pi times the mean over positive scans, plus 1 - pi times that over negative ones; NaN
    where a resample then lacks a class. Lower is better; scores are taken as probabilities.
    """
    classes = Classes(labels, counts, prevalence)
    values_KR = classes.sums((np.atleast_2d(scores) - labels) ** 2)
    if prevalence is not None:
        values_KR[:, ~classes.both] = np.nan
    return values_KR if scores.ndim == 2 else values_KR[0]


def score_bins(scores: np.ndarray) -> np.ndarray:
    """Number of the bin of every score: ``NUM_BINS`` of equal width, the lower edge belongs to a bin."""
    return np.clip(np.floor(scores * NUM_BINS), 0, NUM_BINS - 1).astype(np.int64)


def calibration_error(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, prevalence: float | None = None
) -> np.ndarray:
    """Expected calibration error: mean over scans of |share positive - mean score| of their bin.

    (Naeini et al., AAAI 2015; bins as in ``score_bins``.) A bin's part is |sum of label - score| over the
    number of all scans, so one sum a bin is all that is needed. Lower is better.
    """
    classes = Classes(labels, counts, prevalence)
    runs_KS = np.atleast_2d(scores)
    scans = np.arange(len(labels))
    values = []
    at_once = min(_RUNS_PER_PRODUCT, max(1, _WEIGHTS_PER_PRODUCT // (NUM_BINS * len(labels))))
    for start in range(0, len(runs_KS), at_once):
        part_KS = runs_KS[start : start + at_once]
        distances_KBS = np.zeros((len(part_KS), NUM_BINS, len(labels)))
        for number, run in enumerate(part_KS):
            distances_KBS[number, score_bins(run), scans] = labels - run
        sums_KBR = classes.sums(distances_KBS.reshape(-1, len(labels))).reshape(len(part_KS), NUM_BINS, -1)
        values.append(np.abs(sums_KBR).sum(axis=1))
    values_KR = np.concatenate(values)
    return values_KR if scores.ndim == 2 else values_KR[0]
