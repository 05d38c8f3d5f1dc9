"""Calibration slope and intercept by logistic recalibration of the scores.

The label is regressed on the logit of the score (Cox, Biometrika 45(3/4), 1958). The slope is 1 for
calibrated scores, below 1 for scores that are too extreme, 0 for scores that tell nothing. The intercept is
calibration in the large: the intercept with the slope fixed at 1, 0 where the mean risk is right and negative
where scores are too high (Van Calster et al., BMC Medicine 17, 2019). Both have no value where the regression
has no finite solution.

On a resample the regression is not fitted anew: one Newton step from the fit on the scans themselves, with
the gradient and the curvature of the resample (a one-step estimator; Le Cam, 1956), which are sums over scans
and so matrix products for all resamples at once.

Shapes: K runs, D coefficients, S scans, R resamples.
"""

import numpy as np

from chestct.evaluation.counts import Classes, class_weights

#: Scores nearer to 0 or 1 than a float64 below 1 can be are moved to this distance: their logit is infinite.
CLOSEST_TO_CERTAIN = 2.0**-53

_MAX_STEPS = 100
_MAX_HALVINGS = 40
_LARGEST_STEP = 5.0
_TOLERANCE = 1e-10  # of the gradient of the mean log likelihood
_RUNS_PER_PRODUCT = 32


def logits(scores: np.ndarray) -> np.ndarray:
    """Log odds of scores, finite also for scores of 0 and 1."""
    inside = np.clip(scores, CLOSEST_TO_CERTAIN, 1 - CLOSEST_TO_CERTAIN)
    return np.log(inside) - np.log1p(-inside)


def calibration_slope(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, prevalence: float | None = None
) -> np.ndarray:
    """Slope of the logistic regression of the label on the logit of the score.

    NaN on all resamples where the scores of one class all lie at or above those of the other, equal scores
    included: there the likelihood has no maximum (Albert and Anderson, Biometrika 71(1), 1984). The classes
    are weighted to the ``prevalence``, if one is given.
    """
    x_KS = logits(np.atleast_2d(scores))
    values_KR = np.full((len(x_KS), len(counts)), np.nan)
    overlap_K = np.zeros(len(x_KS), dtype=bool)
    if 0 < labels.sum() < len(labels):
        positive_KS, negative_KS = x_KS[:, labels == 1], x_KS[:, labels == 0]
        overlap_K = positive_KS.min(axis=1) < negative_KS.max(axis=1)
        overlap_K &= negative_KS.min(axis=1) < positive_KS.max(axis=1)
    x_KS = x_KS[overlap_K]
    # In standard units, in which the curvature is well scaled.
    spread_K1 = x_KS.std(axis=1, keepdims=True)
    x_KS = (x_KS - x_KS.mean(axis=1, keepdims=True)) / spread_K1
    design_KDS = np.stack([np.ones_like(x_KS), x_KS], axis=1)
    last_KR = _last_coefficients(labels, design_KDS, np.zeros_like(x_KS), counts, prevalence)
    values_KR[overlap_K] = last_KR / spread_K1
    return values_KR if scores.ndim == 2 else values_KR[0]


def calibration_intercept(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, *, prevalence: float | None = None
) -> np.ndarray:
    """Intercept of the logistic regression of the label with the logit of the score as its offset.

    NaN where there are scans of one class only. The classes are weighted to the ``prevalence``, if one is
    given.
    """
    x_KS = logits(np.atleast_2d(scores))
    values_KR = np.full((len(x_KS), len(counts)), np.nan)
    if 0 < labels.sum() < len(labels):
        values_KR = _last_coefficients(labels, np.ones_like(x_KS)[:, None], x_KS, counts, prevalence)
    return values_KR if scores.ndim == 2 else values_KR[0]


def _last_coefficients(
    labels: np.ndarray,
    design_KDS: np.ndarray,
    offset_KS: np.ndarray,
    counts: np.ndarray,
    prevalence: float | None,
) -> np.ndarray:
    """Last coefficient (of one or two) of a logistic regression on every resample, shape (K, R)."""
    classes = Classes(labels, counts, prevalence)
    fitted_KD = _fit(labels, design_KDS, offset_KS, prevalence)
    two = design_KDS.shape[1] == 2
    values_KR = np.empty((len(design_KDS), len(counts)))
    for start in range(0, len(design_KDS), _RUNS_PER_PRODUCT):
        part = slice(start, start + _RUNS_PER_PRODUCT)
        risk_KS = _risk(fitted_KD[part], design_KDS[part], offset_KS[part])
        residual_KS, curve_KS = labels - risk_KS, risk_KS * (1 - risk_KS)
        first_KS, last_KS = design_KDS[part, 0], design_KDS[part, -1]
        wanted = [residual_KS * last_KS, curve_KS * last_KS**2]
        if two:
            wanted += [residual_KS * first_KS, curve_KS * first_KS**2, curve_KS * first_KS * last_KS]
        # One product for all: the counts are converted to float64 once.
        sums = classes.sums(np.concatenate(wanted)).reshape(len(wanted), len(risk_KS), -1)
        slope_KR, bend_KR = sums[:2]
        if two:  # the other coefficient is solved for, and put in
            first_slope_KR, first_bend_KR, mixed_KR = sums[2:]
            share_KR = mixed_KR / first_bend_KR
            slope_KR -= share_KR * first_slope_KR
            bend_KR -= share_KR * mixed_KR
        values_KR[part] = fitted_KD[part, -1, None] + slope_KR / bend_KR
    values_KR[:, ~classes.both] = np.nan
    return values_KR


def _fit(
    labels: np.ndarray, design_KDS: np.ndarray, offset_KS: np.ndarray, prevalence: float | None
) -> np.ndarray:
    """Coefficients that maximise the weighted likelihood of the scans, shape (K, D); NaN if none is found.

    Newton's method; a step that lowers the likelihood is halved.
    """
    num_runs, num_coefficients = design_KDS.shape[:2]
    num_positive = labels.sum(keepdims=True).astype(np.float64)
    of_positive, of_negative = class_weights(num_positive, len(labels) - num_positive, prevalence)
    weights_S = np.where(labels == 1, of_positive, of_negative)
    fitted_KD = np.zeros((num_runs, num_coefficients))
    value_K = _log_likelihood(labels, fitted_KD, design_KDS, offset_KS, weights_S)
    gradient_KD = np.full_like(fitted_KD, np.inf)
    for _ in range(_MAX_STEPS):
        risk_KS = _risk(fitted_KD, design_KDS, offset_KS)
        gradient_KD = np.einsum("kds,ks->kd", design_KDS, (labels - risk_KS) * weights_S)
        if (np.abs(gradient_KD) < _TOLERANCE).all():
            break
        curve_KS = risk_KS * (1 - risk_KS) * weights_S
        curvature_KDD = np.einsum("kds,kes,ks->kde", design_KDS, design_KDS, curve_KS, optimize=True)
        curvature_KDD += 1e-30 * np.eye(num_coefficients)  # certain scores curve nothing
        step_KD = np.linalg.solve(curvature_KDD, gradient_KD[..., None])[..., 0]
        step_KD = np.clip(step_KD, -_LARGEST_STEP, _LARGEST_STEP)
        for _ in range(_MAX_HALVINGS):
            after_K = _log_likelihood(labels, fitted_KD + step_KD, design_KDS, offset_KS, weights_S)
            worse_K = after_K < value_K - 1e-14
            if not worse_K.any():
                break
            step_KD[worse_K] /= 2
        fitted_KD += step_KD
        value_K = after_K
    fitted_KD[(np.abs(gradient_KD) >= _TOLERANCE).any(axis=1)] = np.nan
    return fitted_KD


def _linear(fitted_KD: np.ndarray, design_KDS: np.ndarray, offset_KS: np.ndarray) -> np.ndarray:
    return offset_KS + np.einsum("kd,kds->ks", fitted_KD, design_KDS)


def _risk(fitted_KD: np.ndarray, design_KDS: np.ndarray, offset_KS: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(_linear(fitted_KD, design_KDS, offset_KS) / 2)) / 2


def _log_likelihood(
    labels: np.ndarray,
    fitted_KD: np.ndarray,
    design_KDS: np.ndarray,
    offset_KS: np.ndarray,
    weights_S: np.ndarray,
) -> np.ndarray:
    linear_KS = _linear(fitted_KD, design_KDS, offset_KS)
    return -np.logaddexp(0, np.where(labels == 1, -linear_KS, linear_KS)) @ weights_S
