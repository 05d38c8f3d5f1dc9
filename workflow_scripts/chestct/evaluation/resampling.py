"""The bootstrap: resamples of patients as counts, intervals and p values from the draws.

A resample is stored as the number of times that each scan is in it. Every run of a dataset is scored on
the same counts, so that differences between runs are paired, and a metric needs one pass over
scores that were sorted once (``chestct.evaluation.metrics``).
"""

import numpy as np

from chestct.errors import InputError

_MAX_REDRAWS = 100


def bootstrap_counts(
    patient_ids: np.ndarray, labels: np.ndarray, num_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw patients with replacement, separately among those with and without a positive scan.

    All scans of a patient come and go together (the cluster bootstrap: Field and Welsh, J. R. Stat. Soc. B
    69(3), 2007). Stratifying keeps the number of patients with a positive scan as it is in the sample.
    A resample in which all scans have one label (possible only where patients have scans of both)
    is drawn again, since no ranking metric is defined on it.

    Args:
        patient_ids: patient of every scan, shape (num_scans,).
        labels: 0 or 1, shape (num_scans,).
        num_resamples: number of resamples.
        rng: source of randomness.

    Returns:
        int32 counts, shape (num_resamples, num_scans), in Fortran order (a scan's counts lie together,
        which is how the metrics read them).

    Raises:
        InputError: resamples with both labels cannot be drawn.
    """
    _, patient_of_scan = np.unique(patient_ids, return_inverse=True)
    num_patients = int(patient_of_scan.max()) + 1
    patient_positive = np.zeros(num_patients, dtype=bool)
    np.logical_or.at(patient_positive, patient_of_scan, labels == 1)
    strata = [np.flatnonzero(patient_positive), np.flatnonzero(~patient_positive)]

    counts_SR = np.empty((len(labels), num_resamples), dtype=np.int32)  # S scans, R resamples
    pending = np.arange(num_resamples)
    for _ in range(_MAX_REDRAWS):
        drawn_SR = _draw(strata, num_patients, len(pending), rng)[patient_of_scan]
        counts_SR[:, pending] = drawn_SR
        num_positive_R = drawn_SR[labels == 1].sum(axis=0)
        one_class = (num_positive_R == 0) | (num_positive_R == drawn_SR.sum(axis=0))
        pending = pending[one_class]
        if not len(pending):
            return counts_SR.T
    raise InputError(
        f"{len(pending)} of {num_resamples} resamples of the test patients hold scans of one label only",
        where=f"{len(labels)} test scans of {num_patients} patients",
        expected="patients with positive and patients with negative scans",
        remedy="use more test patients",
    )


def _draw(
    strata: list[np.ndarray], num_patients: int, num_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Counts of patients, shape (num_patients, num_resamples)."""
    counts_PR = np.zeros((num_patients, num_resamples), dtype=np.int32)
    for members in strata:
        if not len(members):
            continue
        picks = rng.integers(len(members), size=(num_resamples, len(members)))
        flat = picks * num_resamples + np.arange(num_resamples)[:, None]
        counts = np.bincount(flat.ravel(), minlength=len(members) * num_resamples)
        counts_PR[members] = counts.reshape(len(members), num_resamples)
    return counts_PR


def percentile_interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws, shape (num_resamples,)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def two_sided_p_value(draws: np.ndarray) -> float:
    """P value of "the difference is zero" from bootstrap draws of the difference.

    Twice the smaller share of draws on either side of zero, the sample itself counted once on each
    (Davison and Hinkley, Bootstrap Methods, 1997, section 4.2.5), so that it is never 0. It inverts the
    percentile interval: below 0.05 where the 95 % interval excludes zero, up to one draw.
    """
    smaller = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (1 + smaller) / (len(draws) + 1))
