"""Intervals, p values and adjustments against NumPy, SciPy and slow ways of doing the same."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit

from chestct.evaluation.delong import placements, standard_errors
from chestct.evaluation.holm import holm
from chestct.evaluation.intervals import (
    acceleration,
    bca_intervals,
    normal_intervals,
    percentile_intervals,
    quantiles,
    share_intervals,
    student_intervals,
    two_sided_p_values,
)
from chestct.evaluation.metrics import auroc
from chestct.evaluation.resampling import draw_resamples
from chestct.wilson import wilson_interval


@pytest.mark.parametrize("num_draws", [1, 2, 101, 1000])
def test_quantiles_are_numpys_to_the_last_bit(num_draws):
    rows = np.random.default_rng(0).normal(size=(5, num_draws))
    for level in (0.0, 0.025, 0.3, 0.5, 0.975, 1.0):
        expected = np.quantile(rows, level, axis=1)
        assert np.array_equal(quantiles(np.sort(rows, axis=1), np.full(5, level)), expected)


def test_every_row_has_a_level_of_its_own():
    rows = np.sort(np.random.default_rng(1).normal(size=(3, 50)), axis=1)
    levels = np.array([0.1, 0.5, 0.83])
    expected = [np.quantile(row, level) for row, level in zip(rows, levels, strict=True)]
    assert np.array_equal(quantiles(rows, levels), expected)


def test_percentile_interval_and_p_value_agree():
    draws = np.linspace(-0.1, 0.9, 2001)[None]
    (low,), (high,) = percentile_intervals(draws, 0.8)
    assert (low, high) == pytest.approx((0.0, 0.8))
    assert two_sided_p_values(draws)[0] == pytest.approx(0.2, abs=0.002)
    assert two_sided_p_values(np.full((1, 999), 0.4))[0] == pytest.approx(2 / 1000)
    assert two_sided_p_values(np.zeros((1, 99)))[0] == 1
    assert two_sided_p_values(-draws) == two_sided_p_values(draws)


@pytest.mark.parametrize(("seed", "decimals"), [(0, 9), (1, 1), (2, 9)], ids=["no ties", "ties", "other"])
def test_bca_is_scipys_for_two_strata(seed, decimals):
    """The strata of one scan a patient are two samples, which SciPy resamples apart, as we do."""
    rng = np.random.default_rng(seed)
    positive, negative = np.round(rng.normal(1, 1, 21), decimals), np.round(rng.normal(0, 1, 34), decimals)

    def area(ours: np.ndarray, theirs: np.ndarray) -> float:
        return np.mean(np.sign(ours[:, None] - theirs[None]) + 1) / 2

    expected = stats.bootstrap(
        (positive, negative),
        area,
        n_resamples=600,
        method="BCa",
        vectorized=False,
        rng=np.random.default_rng(5),
    )
    labels, scores = np.repeat([1, 0], [21, 34]), np.concatenate([positive, negative])
    draws = draw_resamples(np.arange(55), labels, 1, rng)
    left_out = draws.left_out(auroc(labels, scores, draws.counts))[None]
    ordered = np.sort(expected.bootstrap_distribution)[None]
    low, high = bca_intervals(
        np.array([area(positive, negative)]), ordered, acceleration(left_out, draws.stratum), 0.95
    )
    assert (low[0], high[0]) == pytest.approx(tuple(expected.confidence_interval), abs=1e-12)


def test_bca_interval_of_our_own_resamples_is_near_scipys():
    rng = np.random.default_rng(3)
    labels = np.repeat([1, 0], [30, 50])
    scores = rng.normal(labels, 1)
    draws = draw_resamples(np.arange(80), labels, 4000, rng)
    values = auroc(labels, scores, draws.counts)[None]
    ordered = np.sort(draws.resampled(values), axis=1)
    low, high = bca_intervals(
        values[:, 0], ordered, acceleration(draws.left_out(values), draws.stratum), 0.95
    )
    expected = stats.bootstrap(
        (scores[:30], scores[30:]),
        lambda ours, theirs: np.mean(ours[:, None] > theirs[None]),
        n_resamples=4000,
        method="BCa",
        vectorized=False,
        rng=rng,
    ).confidence_interval
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=0.008)


def test_bca_interval_where_nothing_varies_is_the_value():
    same = np.full((1, 200), 0.7)
    low, high = bca_intervals(np.array([0.7]), same, acceleration(same[:, :20], np.arange(20) % 2), 0.95)
    assert (low[0], high[0]) == (0.7, 0.7)


def test_bca_interval_where_all_draws_lie_on_one_side_is_finite():
    draws = np.linspace(0.5, 0.6, 100)[None]
    for value in (0.4, 0.7):
        low, high = bca_intervals(np.array([value]), draws, np.zeros(1), 0.95)
        assert 0.5 <= low[0] <= high[0] <= 0.6


def test_acceleration_without_a_defined_jackknife_is_none():
    left_out = np.array([[0.7, np.nan, 0.8, 0.75]])  # leaving out the only positive patient
    assert acceleration(left_out, np.array([0, 1, 0, 0])).tolist() == [0]


def test_holm_adjusts_as_worked_by_hand():
    adjusted = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]
    assert holm(np.array([])).tolist() == []


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (7, 20), (20, 20), (950, 1000)])
def test_wilson_interval_is_scipys(hits, trials):
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, trials, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_normal_interval_and_p_value():
    low, high, p_values = normal_intervals(np.array([0.1, 0.0, 0.1]), np.array([0.05, 0.0, 0.0]), 0.95)
    assert (low[0], high[0]) == pytest.approx(stats.norm.interval(0.95, 0.1, 0.05))
    assert p_values == pytest.approx([2 * stats.norm.sf(2), 1, 1])


def test_student_interval_and_p_value_are_scipys():
    draws = np.random.default_rng(0).normal(0.03, 0.02, (2, 500))
    low, high, p_values = student_intervals(np.array([0.03, 0.01]), draws, 11, 0.9)
    for number, value in enumerate((0.03, 0.01)):
        error = draws[number].std(ddof=1)
        assert (low[number], high[number]) == pytest.approx(stats.t.interval(0.9, 11, value, error))
        assert p_values[number] == pytest.approx(2 * stats.t.sf(value / error, 11))


def test_student_interval_without_variation_and_without_values():
    draws = np.array([np.zeros(9), np.full(9, 0.1), np.full(9, np.nan)])
    low, high, p_values = student_intervals(np.array([0.0, 0.1, np.nan]), draws, 5, 0.95)
    assert (low[0], high[0], low[1], high[1]) == pytest.approx((0, 0, 0.1, 0.1))
    assert p_values[:2].tolist() == [1, 1] and np.isnan([low[2], high[2], p_values[2]]).all()


def test_interval_of_a_share_is_symmetric_in_log_odds_and_stays_inside():
    values, reach = np.array([0.5, 0.97, 0.02]), np.array([0.1, 0.05, 0.05])
    low, high = share_intervals(values, reach, np.ones((3, 9)), 40, 0.95)
    np.testing.assert_allclose(logit(values) * 2, logit(low) + logit(high))
    assert ((low > 0) & (high < 1)).all()
    np.testing.assert_allclose(logit(high) - logit(values), reach / (values * (1 - values)))


def test_interval_of_a_share_at_its_end_is_wilsons():
    low, high = share_intervals(np.array([1.0, 0.0]), np.zeros(2), np.ones((2, 9)), 40, 0.95)
    assert (low[0], high[0]) == pytest.approx(wilson_interval(40, 40, 0.95))
    assert (low[1], high[1]) == pytest.approx(wilson_interval(0, 40, 0.95))
    unknown = share_intervals(np.array([1.0]), np.array([np.nan]), np.ones((1, 9)), 40, 0.95)
    assert np.isnan(unknown).all()


def test_interval_of_a_skewed_share_has_the_spread_of_the_resampled_log_odds():
    draws = np.random.default_rng(0).beta(30, 3, (1, 4000))
    low, high, _ = student_intervals(np.array([0.9]), draws, 20, 0.95, of_share=True, skewed=True)
    reach = stats.t.ppf(0.975, 20) * logit(draws).std(ddof=1)
    assert (logit(low)[0], logit(high)[0]) == pytest.approx((logit(0.9) - reach, logit(0.9) + reach))
    draws[0, 0] = 1.0  # of infinite log odds
    ends = student_intervals(np.array([0.9]), draws, 20, 0.95, of_share=True, skewed=True)[:2]
    assert np.ravel(ends) == pytest.approx([low[0], high[0]], abs=0.002)


def slow_delong(labels: np.ndarray, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs and their covariance by the kernel over all pairs, as DeLong et al. (1988) write it."""
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    wins = np.zeros((len(runs), len(positive), len(negative)))
    for k, (a, i), (b, j) in product(range(len(runs)), enumerate(positive), enumerate(negative)):
        wins[k, a, b] = 1.0 if runs[k, i] > runs[k, j] else 0.5 if runs[k, i] == runs[k, j] else 0.0
    over_negative, over_positive = wins.mean(axis=2), wins.mean(axis=1)
    covariance = np.cov(over_negative) / len(positive) + np.cov(over_positive) / len(negative)
    return wins.mean(axis=(1, 2)), covariance


@pytest.mark.parametrize("decimals", [9, 1], ids=["no ties", "ties"])
@pytest.mark.parametrize("weights", [[1, 0, 0], [1, -1, 0], [0.5, 0.5, -1], [1 / 3, 1 / 3, 1 / 3]])
def test_delong_of_linear_contrasts_is_that_of_the_slow_way(weights, decimals):
    rng = np.random.default_rng(0)
    labels = (rng.random(40) < 0.4).astype(int)
    shared = rng.normal(size=40)
    runs = np.round([labels + shared + rng.normal(size=40) for _ in range(3)], decimals)
    areas, covariance = slow_delong(labels, runs)
    sides = np.stack([placements(labels, run) for run in runs])
    for label in (0, 1):
        np.testing.assert_allclose(sides[:, labels == label].mean(axis=1), areas, rtol=0, atol=1e-12)
    error = standard_errors(labels, (np.array(weights) @ sides)[None])[0]
    assert error == pytest.approx(np.sqrt(weights @ covariance @ weights), rel=1e-10)


def test_delong_error_is_near_the_bootstraps():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [120, 80])
    scores = rng.normal(labels, 1)
    draws = draw_resamples(np.arange(200), labels, 4000, rng)
    spread = np.std(draws.resampled(auroc(labels, scores, draws.counts)))
    assert standard_errors(labels, placements(labels, scores)[None])[0] == pytest.approx(spread, rel=0.06)


def test_delong_needs_two_scans_of_a_class():
    labels = np.array([0, 0, 0, 1])
    assert np.isnan(standard_errors(labels, placements(labels, np.arange(4.0))[None])).all()
