"""The validity checks: coverage, power and the control with permuted labels."""

from itertools import product

import numpy as np
import pytest
from evaluated import Evaluated
from scipy import stats

from chestct.evaluation.claims import Cell, DatasetDraws
from chestct.evaluation.contrasts import ArmKey, Quantity, arms_of, list_means, part_values
from chestct.evaluation.intervals import percentile_intervals, student_intervals
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.metrics import auroc, average_precision
from chestct.evaluation.resampling import draw_resamples
from chestct.evaluation.validity.binormal import Truth, binormal_scores
from chestct.evaluation.validity.coverage import coverage_rows
from chestct.evaluation.validity.permuted import permute_labels, permuted_rows, preferences
from chestct.evaluation.validity.power import TRUE_DIFFERENCE, power_rows
from chestct.evaluation.validity.same_arm import same_arm_rows
from chestct.no_interval import NO_INTERVAL

ALL = [metric for metric in METRICS if metric not in NO_INTERVAL]


@pytest.mark.parametrize("prevalence", [0.3, 0.69])
def test_truth_of_binormal_scores_is_that_of_a_large_sample(prevalence):
    rng = np.random.default_rng(0)
    labels = (rng.random(50_000) < 0.5).astype(int)
    scores = binormal_scores(labels, 0.8, rng.normal(size=len(labels)))
    truth, thresholds = Truth(0.8, prevalence, 0.9), np.array([0.6])
    settings = {"prevalence": prevalence, "specificity": 0.9, "thresholds": thresholds}
    for metric in ALL:
        kind = METRICS[metric]
        options = {name: settings[name] for name in kind.settings}
        value = kind.function(labels, scores, np.ones((1, len(labels))), **options)[0]
        assert truth.value(metric, thresholds)[0] == pytest.approx(value, abs=0.02), metric


#: Test sets of the paper's LIDC-IDRI and RSPECT: scans, positive scans.
LIDC, RSPECT = (152, 105), (1068, 332)


def simulate(size: tuple[int, int], num_simulations: int, confidence: float = 0.95) -> list[dict]:
    return list(
        coverage_rows(
            *size,
            metrics=list(METRICS),
            specificity=0.9,
            num_simulations=num_simulations,
            num_resamples=200,
            confidence=confidence,
            rng=np.random.default_rng(7),
        )
    )


@pytest.mark.parametrize(("size", "num_simulations"), [(LIDC, 600), (RSPECT, 120)], ids=["LIDC", "RSPECT"])
def test_intervals_hold_the_true_value_as_often_as_they_say(size, num_simulations):
    """Coverage within 93 to 97 %, give or take what chance makes of so few simulations (99.9 %)."""
    rows = simulate(size, num_simulations)
    kinds = {(row["metric"], row["quantity"], row["prevalence"], row["method"]) for row in rows}
    assert len(kinds) == len(rows)
    for metric in ALL:
        methods = {
            "student",
            *(["bca"] if METRICS[metric].bca else []),
            *(["delong"] if metric == "auroc" else []),
        }
        cells = product([metric], ["value", "difference"], ["fixed", "sampled"], methods)
        assert {kind for kind in kinds if kind[0] == metric} == set(cells)
    half = num_simulations // 2
    least, most = (stats.binom.ppf(q, half, p) / half for q, p in ((5e-4, 0.93), (1 - 5e-4, 0.97)))
    for row in rows:
        assert row["num_simulations"] == half and row["low"] <= row["coverage"] <= row["high"]
        assert least <= row["coverage"] <= most, row


def test_intervals_that_are_too_narrow_are_found_out():
    rows = simulate((80, 35), 300, confidence=0.6)
    assert all(row["low"] > 0.35 and row["high"] < 0.85 for row in rows)
    assert np.mean([row["coverage"] for row in rows]) == pytest.approx(0.6, abs=0.03)


def test_percentiles_of_resamples_hold_too_little_where_none_are_printed():
    """Average precision, specificity and predictive value at LIDC's size: 90 to 92 % instead of 95 %."""
    rng = np.random.default_rng(0)
    labels = (np.arange(152) < 105).astype(int)
    draws = draw_resamples(np.arange(152), labels, 300, rng)
    scores = binormal_scores(labels, 0.8, rng.normal(size=(1500, 152)))
    values = average_precision(labels, scores, draws.sample_and_resamples, prevalence=105 / 152)
    true = Truth(0.8, 105 / 152, 0.9).value("auprc", np.zeros(1))
    held = []
    for low, high in (
        percentile_intervals(np.sort(values[:, 1:], axis=1), 0.95),
        student_intervals(values[:, 0], values[:, 1:], draws.freedom, 0.95, of_share=True, skewed=True)[:2],
    ):
        held.append(np.mean((low <= true) & (true <= high)))
    assert held[0] < 0.925 and held[1] > held[0] + 0.015


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


def test_equal_runs_of_one_arm_are_no_control():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    draws = draw_resamples(np.arange(60), labels, 50, rng)
    one, other = 0.7 + 0.01 * rng.normal(size=(2, 1, len(draws.counts)))
    seeds = {0: one, 1: other, 2: one + 1e-15}  # equal but for the order of a sum
    probe = dict.fromkeys((0, 1, 2), one)
    arms = {ArmKey("slow_r50", "video", 100): seeds, ArmKey("i3d_probe", "video", 100): probe}
    rows = list(same_arm_rows(list_means(arms), arms, draws, 0.95))
    assert [(row["model"], row["seeds"]) for row in rows] == [("slow_r50", "0 - 1"), ("slow_r50", "1 - 2")]
