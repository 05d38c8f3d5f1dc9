"""The validity checks: coverage, power and the control with permuted labels."""

import numpy as np
import pytest
from evaluated import Evaluated
from scipy import stats

from chestct.evaluation.claims import Cell, DatasetDraws
from chestct.evaluation.contrasts import ArmKey, Quantity, arms_of, part_values
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metrics import auroc
from chestct.evaluation.validity.coverage import SINGLE, binormal_scores, coverage_rows
from chestct.evaluation.validity.permuted import permute_labels, permuted_rows, preferences
from chestct.evaluation.validity.power import TRUE_DIFFERENCE, power_rows


def test_binormal_scores_have_the_auroc_asked_for():
    labels = np.repeat([0, 1], 20000)
    for true_auroc in SINGLE:
        scores = binormal_scores(labels, true_auroc, np.random.default_rng(0).normal(size=40000))
        assert auroc(labels, scores, np.ones((1, 40000)))[0] == pytest.approx(true_auroc, abs=0.01)


def test_intervals_hold_the_true_value_as_often_as_they_say():
    """What a nominal 95 % may come to in 500 simulations, by the binomial; chance alone leaves it in
    one of ten thousand. Small samples take a little: 2 % are allowed for."""
    rows = list(
        coverage_rows(
            80, 35, num_simulations=500, num_resamples=400, confidence=0.95, rng=np.random.default_rng(7)
        )
    )
    assert {(row["quantity"], row["method"]) for row in rows} == {
        (quantity, method)
        for quantity in ("auroc", "difference")
        for method in ("percentile", "bca", "delong")
    }
    assert len(rows) == 9
    least, most = stats.binom.ppf(5e-5, 500, 0.93) / 500, stats.binom.ppf(1 - 5e-5, 500, 0.96) / 500
    for row in rows:
        assert least <= row["coverage"] <= most, row
        assert row["low"] < row["coverage"] < row["high"]


def test_intervals_that_are_too_narrow_are_found_out():
    rows = coverage_rows(
        80, 35, num_simulations=300, num_resamples=300, confidence=0.6, rng=np.random.default_rng(7)
    )
    assert all(row["high"] < 0.75 and row["low"] > 0.45 for row in rows)


@pytest.fixture(scope="module")
def draws(full_study: Evaluated) -> DatasetDraws:
    return DatasetDraws.load(full_study.folder / "lidc_phantom" / "draws.npz")


def test_power_grows_with_scans_as_the_normal_test_says(draws):
    rows = [
        row
        for row in power_rows(draws, num_simulations=2000, confidence=0.95, rng=np.random.default_rng(0))
        if row["contrast"] == "video - scratch"
    ]
    powers = [row["power"] for row in rows]
    assert powers == sorted(powers) and powers[-1] > powers[0]
    assert [row["num_scans"] for row in rows] == sorted({30, 100, 200, 500, 1000, 2000, 5000, 10000})
    for row in rows:
        expected = stats.norm.sf(stats.norm.ppf(0.975) - TRUE_DIFFERENCE / row["standard_error"])
        if row["num_scans"] >= 200:
            assert row["power"] == pytest.approx(expected, abs=0.04)
    # A hundred times the scans, a tenth of the error.
    errors = {row["num_scans"]: row["standard_error"] for row in rows}
    assert errors[100] / errors[10000] == pytest.approx(10)


def test_permuted_labels_stay_with_patients():
    patients = np.array([0, 1, 1, 2, 3, 3, 4])
    labels = np.array([1, 0, 1, 0, 0, 0, 0])
    rng = np.random.default_rng(0)
    seen = {tuple(permute_labels(patients, labels, rng)) for _ in range(200)}
    singles, pairs = (
        {(row[0], row[3], row[6]) for row in seen},
        {(row[1], row[2], row[4], row[5]) for row in seen},
    )
    assert singles == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    assert pairs == {(0, 1, 0, 0), (0, 0, 0, 1)}


def test_preferences_of_pairs_give_the_contrast(draws):
    rng = np.random.default_rng(0)
    labels = rng.permutation(draws.labels)
    scores = arms_of(draws.scores)
    values = {key: auroc(labels, run, np.ones((1, len(labels)))) for key, run in draws.scores.items()}
    for cell in draws.largest:
        expected = np.mean(part_values(cell.quantity, arms_of(values)))
        matrix = preferences(cell.quantity, scores)
        assert matrix[labels == 1][:, labels == 0].mean() == pytest.approx(expected, abs=1e-6)


def test_permuted_labels_find_nothing(draws):
    rows = list(
        permuted_rows(
            draws, num_permutations=300, num_resamples=200, confidence=0.95, rng=np.random.default_rng(1)
        )
    )
    assert [row["contrast"] for row in rows] == ["video - scratch", "video - best_2d"]
    for row in rows:
        # Of 300 permutations, 5 % and chance; a test at 30 scans may be a little off its level.
        assert row["share_significant"] <= stats.binom.ppf(1 - 1e-4, 300, 0.06) / 300
        assert abs(row["mean_difference"]) < 0.02


def test_control_would_find_a_comparison_that_sees_what_is_not_there():
    """Labels stay where no two patients have as many scans: then the true difference shows."""
    rng = np.random.default_rng(0)
    patients, labels = np.repeat(np.arange(12), np.arange(1, 13)), np.repeat([0, 1] * 6, np.arange(1, 13))
    noise = rng.normal(size=(2, len(labels)))
    keys = [RunKey("i3d", init, 100, 0) for init in ("video", "scratch")]
    scores = dict(zip(keys, (noise[0] + 3 * labels, noise[1]), strict=True))
    part = (ArmKey("i3d", "video", 100), ArmKey("i3d", "scratch", 100))
    quantity = Quantity(model="i3d", label="video - scratch", percent=100, parts=(part,))
    cell = Cell(claim="video_vs_scratch", quantity=quantity, seeds=[0], values=np.zeros((1, 1, 3)))
    draws = DatasetDraws(
        dataset="d",
        patients=patients,
        labels=labels,
        folds=np.zeros(len(labels), dtype=int),
        cells=[cell],
        scores=scores,
    )
    (row,) = permuted_rows(draws, num_permutations=20, num_resamples=200, confidence=0.95, rng=rng)
    assert row["share_significant"] == 1 and row["mean_difference"] > 0.3
