"""The metric kernels against scikit-learn on repeated scans, and the resamples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score, roc_curve

from chestct.errors import InputError
from chestct.evaluation.metrics import (
    NUM_BINS,
    auroc,
    average_precision,
    brier,
    calibration_error,
    sensitivity,
)
from chestct.evaluation.resampling import (
    bootstrap_counts,
    draw_resamples,
    named_rng,
)


def sensitivity_by_curve(labels, scores, specificity=0.9):
    false_rate, found_rate, _ = roc_curve(labels, scores, drop_intermediate=False)
    return found_rate[false_rate <= 1 - specificity + 1e-9].max()


def calibration_error_by_bins(labels, scores):
    edges = np.arange(1, NUM_BINS) / NUM_BINS
    bins = np.digitize(scores, edges)
    parts = [
        np.mean(bins == number) * abs(labels[bins == number].mean() - scores[bins == number].mean())
        for number in np.unique(bins)
    ]
    return sum(parts)


METRICS = {
    "auroc": auroc,
    "auprc": average_precision,
    "sensitivity": sensitivity,
    "brier": brier,
    "calibration_error": calibration_error,
}
REFERENCE = {
    "auroc": roc_auc_score,
    "auprc": average_precision_score,
    "sensitivity": sensitivity_by_curve,
    "brier": brier_score_loss,
    "calibration_error": calibration_error_by_bins,
}


def sample(num_scans: int, *, decimals: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_scans) < 0.4).astype(np.int64)
    return labels, np.round(1 / (1 + np.exp(-rng.normal(labels, 1.2))), decimals)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("decimals", "scans_a_patient"),
    [(9, 1), (2, 1), (1, 1), (0, 1), (2, 3)],
    ids=["no ties", "some ties", "many ties", "two distinct scores", "several scans a patient"],
)
def test_metric_equals_scikit_learn_on_the_same_resamples(metric, decimals, scans_a_patient):
    labels, scores = sample(137, decimals=decimals)
    counts = bootstrap_counts(np.arange(137) // scans_a_patient, labels, 200, np.random.default_rng(1))
    expected = [REFERENCE[metric](np.repeat(labels, row), np.repeat(scores, row)) for row in counts]
    np.testing.assert_allclose(METRICS[metric](labels, scores, counts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_metric_of_many_runs_is_that_of_each(metric):
    labels, _ = sample(60, decimals=2)
    runs = np.stack([sample(60, decimals=2, seed=seed)[1] for seed in range(40)])
    draws = draw_resamples(np.arange(60), labels, 30, np.random.default_rng(0))
    together = METRICS[metric](labels, runs, draws.counts)
    apart = [METRICS[metric](labels, run, draws.counts.astype(np.int32)) for run in runs]
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_counts_too_large_for_float32_stay_exact(metric):
    labels, scores = sample(50, decimals=1)
    counts = bootstrap_counts(np.arange(50), labels, 20, np.random.default_rng(0))
    few = METRICS[metric](labels, scores, counts)
    np.testing.assert_allclose(METRICS[metric](labels, scores, counts * 100_003), few, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("auroc", 0.5), ("auprc", 0.25), ("sensitivity", 0), ("brier", 0.19), ("calibration_error", 0.05)],
)
def test_metric_of_constant_scores(metric, expected):
    value = METRICS[metric](np.array([0, 0, 0, 1]), np.full(4, 0.3), np.ones((1, 4), dtype=np.int32))
    assert value == pytest.approx(expected)


def test_sensitivity_reads_the_curve_at_any_specificity():
    labels, scores = sample(101, decimals=2)
    counts = bootstrap_counts(np.arange(101), labels, 50, np.random.default_rng(1))
    for specificity in (0.05, 0.5, 0.8, 0.99):
        expected = [
            sensitivity_by_curve(np.repeat(labels, n), np.repeat(scores, n), specificity) for n in counts
        ]
        values = sensitivity(labels, scores, counts, specificity=specificity)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_sensitivity_allows_a_tenth_of_ten():
    # 1 - 0.9 is a little less than 0.1 in binary; one false positive of ten is allowed all the same.
    labels = np.array([0] * 10 + [1] * 4)
    scores = np.array([0.1] * 8 + [0.6, 0.8] + [0.3, 0.7, 0.9, 0.9])
    assert sensitivity(labels, scores, np.ones((1, 14)), specificity=0.9) == pytest.approx(0.75)


def test_metric_of_a_one_class_resample_is_not_a_number():
    labels, scores = np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])
    only_negative, only_positive = (np.array([row], dtype=np.int32) for row in ([1, 2, 0], [0, 0, 2]))
    for metric in (auroc, average_precision, sensitivity):
        assert np.isnan(metric(labels, scores, only_negative)).all()
    for metric in (auroc, sensitivity):
        assert np.isnan(metric(labels, scores, only_positive)).all()
    assert average_precision(labels, scores, only_positive) == 1


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


def test_resamples_stay_as_they_were():
    """The stream of resamples decides every published number: a change of it must be meant."""
    labels = np.array([0, 0, 0, 1, 1, 0])
    counts = bootstrap_counts(np.array(list("ABCDEF")), labels, 3, named_rng(0, "lidc"))
    assert counts.tolist() == [[1, 1, 2, 1, 1, 0], [0, 1, 1, 1, 1, 2], [1, 2, 0, 1, 1, 1]]


def test_leaving_out_takes_all_scans_of_a_patient():
    patients, labels = np.array(["A", "B", "A", "C"]), np.array([0, 1, 1, 0])
    draws = draw_resamples(patients, labels, 1, np.random.default_rng(0))
    assert draws.left_out(draws.counts.T).T.tolist() == [[0, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]]
    assert draws.stratum.tolist() == [1, 1, 0]


def test_draws_hold_the_sample_its_resamples_and_it_without_each_patient():
    labels = np.array([0, 0, 1, 1, 1])
    draws = draw_resamples(np.arange(5), labels, 7, np.random.default_rng(0))
    assert draws.counts.shape == (13, 5)
    assert (draws.counts[0] == 1).all()
    again = bootstrap_counts(np.arange(5), labels, 7, np.random.default_rng(0))
    assert np.array_equal(draws.resampled(draws.counts.T).T, again)
    assert np.array_equal(draws.left_out(draws.counts.T).T, 1 - np.eye(5))
