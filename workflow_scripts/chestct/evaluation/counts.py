"""Sums over the scans of every resample, from counts, which may be of very many scans.

Shapes: S scans, R resamples, W weights.
"""

import numpy as np

_COUNTS_PER_PRODUCT = 2**21  # counts converted to float64 at a time
_COUNTS_PER_SUM = 2**24  # counts gathered at a time
_COUNTS_PER_COPY = 2**26  # counts of some scans that are copied at most


def ratio(numerator: np.ndarray | float, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Quotient in float64, NaN or another value where the denominator is 0."""
    top, bottom = np.asarray(numerator, dtype=np.float64), denominator.astype(np.float64)
    return np.divide(top, bottom, out=np.full(bottom.shape, otherwise), where=bottom > 0)


def rows_of(counts_SR: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Counts of the chosen scans: a copy, or where that would be very large all counts and the mask."""
    if np.count_nonzero(chosen) * counts_SR.shape[1] <= _COUNTS_PER_COPY:
        return counts_SR[chosen], None
    return counts_SR, chosen


def count_sums(counts_SR: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
    """Number of the chosen scans (None: all) in every resample, as float64, which is exact."""
    if chosen is None:
        return counts_SR.sum(axis=0, dtype=np.float64)
    places = np.flatnonzero(chosen)
    size = max(1, _COUNTS_PER_SUM // max(1, counts_SR.shape[1]))
    total_R = np.zeros(counts_SR.shape[1])
    for start in range(0, len(places), size):
        total_R += counts_SR[places[start : start + size]].sum(axis=0, dtype=np.float64)
    return total_R


def class_weights(
    num_positive_R: np.ndarray, num_negative_R: np.ndarray, prevalence: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a positive and of a negative scan: all sum to 1, those of positive scans to the prevalence.

    Without a prevalence, all scans of a resample weigh alike. 0 for a class that a resample lacks.
    """
    if prevalence is None:
        even_R = 1 / (num_positive_R + num_negative_R)
        return even_R, even_R
    return ratio(prevalence, num_positive_R, 0.0), ratio(1 - prevalence, num_negative_R, 0.0)


def weighted_sums(
    weights_WS: np.ndarray, counts_SR: np.ndarray, chosen: np.ndarray | None = None
) -> np.ndarray:
    """Weighted sums over the chosen scans of every resample, in float64; shape (W, num_resamples).

    Args:
        weights_WS: of the chosen scans.
        counts_SR: of all scans, whatever they are kept as.
        chosen: mask, shape (num_scans,); None for all.
    """
    sums_WR = np.empty((len(weights_WS), counts_SR.shape[1]))
    places = None if chosen is None else np.flatnonzero(chosen)
    size = max(1, _COUNTS_PER_PRODUCT // max(1, weights_WS.shape[1]))
    for start in range(0, counts_SR.shape[1], size):
        block_SR = counts_SR[:, start : start + size]
        if places is not None:
            block_SR = block_SR[places]
        sums_WR[:, start : start + size] = weights_WS @ block_SR.astype(np.float64)
    return sums_WR


class Classes:
    """Counts of a test set by class, for sums over scans that are weighted to a prevalence."""

    def __init__(self, labels: np.ndarray, counts: np.ndarray, prevalence: float | None) -> None:
        self._positive = labels == 1
        self._rows = [rows_of(counts.T, chosen) for chosen in (self._positive, ~self._positive)]
        sums = [count_sums(*rows) for rows in self._rows]
        self._weights = class_weights(sums[0], sums[1], prevalence)
        #: Whether a resample has both classes.
        self.both = (sums[0] > 0) & (sums[1] > 0)

    def sums(self, values_WS: np.ndarray) -> np.ndarray:
        """Weighted sums over the scans of every resample, shape (W, num_resamples)."""
        of_positive_WR = weighted_sums(values_WS[:, self._positive], *self._rows[0])
        of_negative_WR = weighted_sums(values_WS[:, ~self._positive], *self._rows[1])
        of_positive_WR *= self._weights[0]
        of_negative_WR *= self._weights[1]
        return of_positive_WR + of_negative_WR
