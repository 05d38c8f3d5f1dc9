"""Confidence intervals and p values from bootstrap resamples, for many quantities at once.

Shapes: K quantities, R resamples, J patients left out one at a time.
"""

from statistics import NormalDist

import numpy as np
from scipy import special

from chestct.evaluation.inference import NO_ERROR
from chestct.wilson import wilson_interval

_NORMAL = NormalDist()
_cdf = np.vectorize(_NORMAL.cdf, otypes=[float])
_inverse_cdf = np.vectorize(_NORMAL.inv_cdf, otypes=[float])


def quantiles(sorted_KR: np.ndarray, levels_K: np.ndarray | float) -> np.ndarray:
    """Quantile of every row at its own level, with the linear interpolation of ``numpy.quantile``.

    Args:
        sorted_KR: rows in ascending order.
        levels_K: between 0 and 1; one number for all rows, or one per row.
    """
    last = sorted_KR.shape[1] - 1
    place = np.broadcast_to(levels_K, len(sorted_KR)) * last
    below = np.clip(np.floor(place).astype(np.int64), 0, last)
    rows = np.arange(len(sorted_KR))
    low, high = sorted_KR[rows, below], sorted_KR[rows, np.minimum(below + 1, last)]
    share, step = place - below, high - low
    # Interpolating from the nearer end keeps the result between both and bit-identical to NumPy.
    return np.where(share < 0.5, low + step * share, high - step * (1 - share))


def percentile_intervals(sorted_KR: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of every row of sorted resamples: lower and upper ends, shape (K,)."""
    tail = (1 - confidence) / 2
    return quantiles(sorted_KR, tail), quantiles(sorted_KR, 1 - tail)


def acceleration(
    left_out_KJ: np.ndarray, stratum_J: np.ndarray, sizes: np.ndarray | None = None
) -> np.ndarray:
    """Acceleration of the BCa interval from leave-one-patient-out values of a stratified sample, shape (K,).

    A stratum's influence values are (size - 1) x (mean - value); their cubes and squares, over size^3 and
    size^2, are summed over strata (Davison and Hinkley, Bootstrap Methods, 1997, section 5.3.2;
    ``scipy.stats.bootstrap`` does the same for two samples). It is 0 where nothing varies, and where a value
    is undefined because the sample without the patient has one class: then only the bias is corrected.

    Args:
        left_out_KJ: values without one patient each.
        stratum_J: of that patient.
        sizes: number of patients by stratum, where not all were left out: those that were stand for the
            others. None for the numbers in ``stratum_J``.
    """
    cubes_K, squares_K = np.zeros(len(left_out_KJ)), np.zeros(len(left_out_KJ))
    for stratum in np.unique(stratum_J):
        values_KJ = left_out_KJ[:, stratum_J == stratum]
        number = values_KJ.shape[1]
        size = number if sizes is None else int(sizes[stratum])
        influence_KJ = (size - 1) * (values_KJ.mean(axis=1, keepdims=True) - values_KJ)
        cubes_K += (influence_KJ**3).sum(axis=1) / size**3 * (size / number)
        squares_K += (influence_KJ**2).sum(axis=1) / size**2 * (size / number)
    # Variation at the level of rounding errors counts as none.
    varies = np.isfinite(cubes_K) & (squares_K > 1e-24)
    return np.divide(cubes_K, 6 * squares_K**1.5, out=np.zeros(len(cubes_K)), where=varies)


def bca_intervals(
    values_K: np.ndarray, sorted_KR: np.ndarray, acceleration_K: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated interval (Efron, J. Am. Stat. Assoc. 82(397), 1987).

    Args:
        values_K: on the sample itself.
        sorted_KR: values on the resamples in ascending order.
        acceleration_K: from ``acceleration``.
        confidence: between 0 and 1.

    Returns:
        Lower and upper ends, shape (K,). Where all resamples lie on one side of the value, half a
        resample is assumed to lie on the other.
    """
    num_draws = sorted_KR.shape[1]
    # Resamples equal to the value count half; there are many if a metric has few distinct values.
    below_K = (sorted_KR < values_K[:, None]).sum(axis=1) + (sorted_KR <= values_K[:, None]).sum(axis=1)
    share_K = np.clip(below_K / (2 * num_draws), 0.5 / num_draws, 1 - 0.5 / num_draws)
    bias_K = _inverse_cdf(share_K)
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted_K = bias_K + _NORMAL.inv_cdf(tail)
        ends.append(quantiles(sorted_KR, _cdf(bias_K + shifted_K / (1 - acceleration_K * shifted_K))))
    return ends[0], ends[1]


def two_sided_p_values(draws_KR: np.ndarray) -> np.ndarray:
    """P values of the null hypothesis of no difference, from bootstrap resamples of differences, shape (K,).

    A p value is twice the smaller share of resamples on either side of zero. The sample itself counts once on
    each side (Davison and Hinkley, 1997, section 4.2.5), so p is never 0. The test inverts the percentile
    interval: p is below 0.05 where the 95 % interval excludes zero, up to one resample. NaN where a resample
    has no value.
    """
    smaller_K = np.minimum((draws_KR <= 0).sum(axis=1), (draws_KR >= 0).sum(axis=1))
    p_values_K = np.minimum(1.0, 2 * (1 + smaller_K) / (draws_KR.shape[1] + 1))
    return np.where(np.isnan(draws_KR).any(axis=1), np.nan, p_values_K)


def log_odds_slopes(
    values_K: np.ndarray, draws_KR: np.ndarray, size: int, *, skewed: bool = False
) -> np.ndarray:
    """Standard errors on the scale of log odds by those on the own scale, for shares; shape (K,).

    By the delta method (Agresti, Categorical Data Analysis, 2013, section 3.1.6), 1 over share x (1 - share).
    For shares that are skewed on the scale of log odds too, the ratio is that of the standard deviations over
    resamples, where no log odds lie beyond those of half a pair of patients.

    Args:
        values_K: shares, above 0 and below 1.
        draws_KR: shares on the resamples.
        size: number of patients.
        skewed: whether the ratio is taken from the resamples.
    """
    slopes_K = 1 / (values_K * (1 - values_K))
    if not skewed:
        return slopes_K
    least = 0.5 / size**2
    odds_KR = special.logit(np.clip(draws_KR, least, 1 - least))
    errors_K = draws_KR.std(axis=1)
    return np.divide(odds_KR.std(axis=1), errors_K, out=slopes_K, where=errors_K > 0)


def share_intervals(
    values_K: np.ndarray,
    reach_K: np.ndarray,
    draws_KR: np.ndarray,
    size: int,
    confidence: float,
    *,
    skewed: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of shares, which lie between 0 and 1, symmetric on the scale of their log odds.

    Near 0 and 1 shares are skewed, and intervals that are symmetric on their own scale, or percentiles of
    resamples, cover too little (docs/statistics.md).

    Args:
        values_K: shares.
        reach_K: half the length of their intervals on their own scale.
        draws_KR: shares on the resamples of patients.
        size: number of patients behind a share of 0 or 1, from which resamples cannot differ: it has Wilson's
            interval.
        confidence: between 0 and 1.
        skewed: see ``log_odds_slopes``.
    """
    low_K, high_K = values_K - reach_K, values_K + reach_K
    inside = (values_K > 0) & (values_K < 1)
    odds = special.logit(values_K[inside])
    reach = reach_K[inside] * log_odds_slopes(values_K[inside], draws_KR[inside], size, skewed=skewed)
    low_K[inside], high_K[inside] = special.expit(odds - reach), special.expit(odds + reach)
    for number in np.flatnonzero(((values_K == 0) | (values_K == 1)) & np.isfinite(reach_K)):
        low_K[number], high_K[number] = wilson_interval(values_K[number] * size, size, confidence)
    return low_K, high_K


def student_intervals(
    values_K: np.ndarray,
    draws_KR: np.ndarray,
    freedom: int,
    confidence: float,
    *,
    of_share: bool = False,
    skewed: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Student's intervals with the standard deviation over resamples as the standard error, and p values.

    Args:
        values_K: on the sample itself.
        draws_KR: values on the resamples.
        freedom: degrees of freedom.
        confidence: between 0 and 1.
        of_share: whether the values are shares (``share_intervals``).
        skewed: if so, see ``log_odds_slopes``.

    Returns:
        Lower and upper ends, and two-sided p values for zero; each of shape (K,), NaN where a value is. p is
        1 where no resample differs: chance cannot be told there.
    """
    errors_K = draws_KR.std(axis=1, ddof=1)
    distances_K = np.zeros(len(values_K))
    np.divide(np.abs(values_K), errors_K, out=distances_K, where=errors_K > NO_ERROR)
    p_values_K = np.where(np.isnan(errors_K), np.nan, 2 * special.stdtr(freedom, -distances_K))
    reach_K = special.stdtrit(freedom, (1 + confidence) / 2) * errors_K
    if of_share:
        low_K, high_K = share_intervals(values_K, reach_K, draws_KR, freedom + 1, confidence, skewed=skewed)
    else:
        low_K, high_K = values_K - reach_K, values_K + reach_K
    return low_K, high_K, np.minimum(1.0, p_values_K)


def normal_intervals(
    values_K: np.ndarray, errors_K: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal intervals of values with standard errors, and two-sided p values for zero; each of shape (K,).

    If the standard error is 0, p is 1: chance cannot be told there.
    """
    reach_K = _NORMAL.inv_cdf((1 + confidence) / 2) * errors_K
    distance_K = np.zeros(len(values_K))
    np.divide(np.abs(values_K), errors_K, out=distance_K, where=errors_K > NO_ERROR)
    return values_K - reach_K, values_K + reach_K, np.minimum(1.0, 2 * _cdf(-distance_K))
