"""Calibration slope and intercept against a full refit."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from chestct.evaluation.recalibration import calibration_intercept, calibration_slope, logits
from chestct.evaluation.resampling import bootstrap_counts

ONCE = np.ones((1, 400), dtype=np.int32)


def sample(num_scans: int = 400, *, stretch: float = 2.0, shift: float = 0.5, seed: int = 0):
    """Scores whose logits are too extreme by a factor, and too high."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-0.3, 1.2, num_scans)
    labels = (rng.random(num_scans) < 1 / (1 + np.exp(-true))).astype(np.int64)
    return labels, 1 / (1 + np.exp(-(stretch * true + shift)))


def refit_slope(labels, scores, weights) -> float:
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    return float(model.fit(logits(scores)[:, None], labels, sample_weight=weights).coef_[0, 0])


def refit_intercept(labels, scores, weights) -> float:
    x = logits(scores)

    def loss(shift):
        return float(np.logaddexp(0, np.where(labels == 1, -1, 1) * (x + shift[0])) @ weights) / weights.sum()

    return float(minimize(loss, [0.0], method="BFGS", options={"gtol": 1e-10}).x[0])


REFIT = {calibration_slope: refit_slope, calibration_intercept: refit_intercept}


@pytest.mark.parametrize("metric", REFIT)
@pytest.mark.parametrize("seed", range(3))
def test_value_on_the_sample_is_that_of_the_fit(metric, seed):
    labels, scores = sample(seed=seed)
    expected = REFIT[metric](labels, scores, np.ones(400))
    assert metric(labels, scores, ONCE)[0] == pytest.approx(expected, abs=1e-5)


def test_scores_that_are_too_extreme_have_a_slope_below_one():
    labels, scores = sample(20000)
    once = np.ones((1, 20000))
    assert calibration_slope(labels, scores, once)[0] == pytest.approx(1 / 2, abs=0.03)
    labels, scores = sample(20000, stretch=1.0, shift=0.0)
    assert calibration_slope(labels, scores, once)[0] == pytest.approx(1, abs=0.06)
    assert calibration_intercept(labels, scores, once)[0] == pytest.approx(0, abs=0.06)
    labels, scores = sample(20000, stretch=1.0, shift=0.7)
    assert calibration_intercept(labels, scores, once)[0] == pytest.approx(-0.7, abs=0.06)


@pytest.mark.parametrize("metric", REFIT)
@pytest.mark.parametrize("prevalence", [None, 0.15])
def test_one_step_is_near_a_full_refit_on_every_resample(metric, prevalence):
    """The step's error is of second order: a small part of what resamples vary by."""
    labels, scores = sample()
    counts = bootstrap_counts(np.arange(400), labels, 60, np.random.default_rng(0))
    steps = metric(labels, scores, counts, prevalence=prevalence)
    refits = []
    for row in counts:
        weights = row.astype(float)
        if prevalence is not None:
            shares = np.where(
                labels == 1, prevalence / row[labels == 1].sum(), (1 - prevalence) / row[labels == 0].sum()
            )
            weights = row * shares * row.sum()
        drawn = row > 0
        refits.append(REFIT[metric](labels[drawn], scores[drawn], weights[drawn]))
    spread = np.std(refits)
    assert np.std(steps) == pytest.approx(spread, rel=0.05)
    assert np.abs(steps - refits).max() < 0.5 * spread and np.abs(steps - refits).mean() < 0.1 * spread


def test_many_runs_are_each_alone():
    labels, _ = sample()
    runs = np.stack([sample(seed=seed)[1] for seed in range(40)])
    runs[3] = labels * 0.8 + 0.1  # separates the labels
    counts = bootstrap_counts(np.arange(400), labels, 8, np.random.default_rng(0))
    for metric in REFIT:
        together = metric(labels, runs, counts)
        apart = [metric(labels, run, counts) for run in runs]
        np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "scores",
    [[0.1, 0.2, 0.3, 0.7, 0.8], [0.8, 0.7, 0.7, 0.7, 0.1], [0.5] * 5, [0.1, 0.2, 0.3, 0.3, 0.3]],
    ids=["separated", "separated but for ties, the wrong way", "constant", "ties at the edge"],
)
def test_slope_without_a_finite_fit_is_not_a_number(scores):
    labels, once = np.array([0, 0, 0, 1, 1]), np.ones((3, 5))
    assert np.isnan(calibration_slope(labels, np.array(scores), once)).all()
    assert np.isfinite(calibration_intercept(labels, np.array(scores), once)).all()


def test_one_class_has_neither_slope_nor_intercept():
    scores, once = np.array([0.1, 0.2, 0.3]), np.ones((1, 3))
    for metric in REFIT:
        assert np.isnan(metric(np.zeros(3, dtype=int), scores, once)).all()


def test_certain_scores_have_finite_values():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    scores = np.where(rng.random(400) < 0.9, labels, 1 - labels).astype(float)  # 0 and 1 only
    for metric in REFIT:
        assert np.isfinite(metric(labels, scores, ONCE)).all()
    assert calibration_slope(labels, scores, ONCE)[0] < 0.1
    assert np.isfinite(logits(np.array([0.0, 1.0, 1e-300]))).all()
