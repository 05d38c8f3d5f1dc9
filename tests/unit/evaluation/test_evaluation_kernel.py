"""The metric kernels against scikit-learn, and the resamples."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from chestct.errors import InputError
from chestct.evaluation.metrics import METRICS, auroc, average_precision
from chestct.evaluation.resampling import bootstrap_counts, percentile_interval, two_sided_p_value

REFERENCE = {"auroc": roc_auc_score, "auprc": average_precision_score}


def sample(num_scans: int, *, decimals: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_scans) < 0.4).astype(np.int64)
    return labels, np.round(rng.normal(labels, 1.2), decimals)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("decimals", [9, 1, 0], ids=["no ties", "some ties", "a handful of distinct scores"])
def test_metric_equals_scikit_learn_on_the_same_resamples(metric, decimals):
    labels, scores = sample(137, decimals=decimals)
    counts = bootstrap_counts(np.arange(137), labels, 300, np.random.default_rng(1))
    expected = [REFERENCE[metric](np.repeat(labels, row), np.repeat(scores, row)) for row in counts]
    np.testing.assert_allclose(METRICS[metric](labels, scores, counts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_metric_of_constant_scores(metric):
    labels = np.array([0, 0, 0, 1])
    value = METRICS[metric](labels, np.full(4, 0.3), np.ones((1, 4), dtype=np.int32))
    assert value == pytest.approx(0.5 if metric == "auroc" else 0.25)


def test_metric_of_a_one_class_resample_is_not_a_number():
    labels, scores = np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])
    counts = np.array([[1, 2, 0]], dtype=np.int32)
    assert np.isnan(auroc(labels, scores, counts)).all()
    assert np.isnan(average_precision(labels, scores, counts)).all()


def test_kernels_are_fast_enough_for_a_study():
    labels, scores = sample(270, decimals=9)
    counts = bootstrap_counts(np.arange(270), labels, 2000, np.random.default_rng(0))
    start = time.process_time()
    for _ in range(10):
        auroc(labels, scores, counts)
        average_precision(labels, scores, counts)
    assert time.process_time() - start < 3  # measured: 0.2 s; a loop over scikit-learn takes 50 s


def test_resamples_are_of_patients_and_keep_the_strata():
    patients = np.repeat([f"P{i}" for i in range(20)], [1, 2, 3, 4] * 5)
    positive = np.isin(patients, [f"P{i}" for i in range(6)])
    counts = bootstrap_counts(patients, positive.astype(int), 500, np.random.default_rng(3))
    assert counts.shape == (500, len(patients))
    first = [np.flatnonzero(patients == patient)[0] for patient in np.unique(patients)]
    for patient in np.unique(patients):
        scans = counts[:, patients == patient]
        assert (scans == scans[:, :1]).all()
    assert (counts[:, first].sum(axis=1) == 20).all()
    assert (counts[:, [i for i in first if positive[i]]].sum(axis=1) == 6).all()
    # Every patient is drawn once a resample on average; the standard error over 500 is 0.04.
    np.testing.assert_allclose(counts[:, first].mean(axis=0), 1, atol=0.2)


def test_several_scans_a_patient_widen_the_interval():
    # Four scans of a patient share label and score: 30 patients tell less than 120 would.
    labels = np.repeat([0, 1], 60)
    scores = np.repeat(np.random.default_rng(0).normal(size=30), 4) + labels
    apart = bootstrap_counts(np.arange(120), labels, 1000, np.random.default_rng(0))
    together = bootstrap_counts(np.repeat(np.arange(30), 4), labels, 1000, np.random.default_rng(0))
    spread = [np.std(auroc(labels, scores, counts)) for counts in (apart, together)]
    assert spread[1] == pytest.approx(2 * spread[0], rel=0.15)  # the root of four


def test_resamples_with_one_label_are_drawn_again():
    patients = np.array(["A", "A", "B", "B"])  # B has no positive scan, A has both
    labels = np.array([1, 0, 1, 0])
    counts = bootstrap_counts(patients, labels, 200, np.random.default_rng(0))
    assert (counts[:, labels == 1].sum(axis=1) > 0).all()
    mixed = bootstrap_counts(np.array(["A", "B", "B"]), np.array([1, 1, 0]), 200, np.random.default_rng(0))
    assert (mixed[:, 2] > 0).all()  # a resample of A alone has no negative scan


def test_resamples_that_cannot_hold_both_labels_are_refused():
    with pytest.raises(InputError, match="one label only"):
        bootstrap_counts(np.arange(5), np.ones(5, dtype=int), 50, np.random.default_rng(0))


def test_resamples_follow_the_seed():
    labels, _ = sample(50, decimals=3)
    draws = [bootstrap_counts(np.arange(50), labels, 100, np.random.default_rng(s)) for s in (4, 4, 5)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_interval_and_p_value_agree():
    draws = np.linspace(-0.1, 0.9, 2001)
    low, high = percentile_interval(draws, 0.8)
    assert (low, high) == pytest.approx((0.0, 0.8))
    assert two_sided_p_value(draws) == pytest.approx(0.2, abs=0.002)
    assert two_sided_p_value(np.full(999, 0.4)) == pytest.approx(2 / 1000)
    assert two_sided_p_value(-draws) == two_sided_p_value(draws)


@pytest.mark.slow
def test_interval_covers_the_true_value():
    """Coverage by simulation: AUROC of two unit Gaussians a distance of 1 apart is 0.7602."""
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1], [80, 55])
    hits = 0
    for _ in range(400):
        counts = bootstrap_counts(np.arange(135), labels, 400, rng)
        low, high = percentile_interval(auroc(labels, rng.normal(labels, 1), counts), 0.95)
        hits += low <= 0.76025 <= high
    assert 0.90 <= hits / 400 <= 0.985  # nominal 0.95, Monte Carlo standard error 0.011
