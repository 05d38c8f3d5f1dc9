"""Test sets of any size: memory grows with the scans, and what is split into blocks gives the same bytes."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chestct.evaluation import counts, metrics, resampling
from chestct.evaluation.claims import Cell, DatasetDraws
from chestct.evaluation.contrasts import ArmKey, Quantity
from chestct.evaluation.curves import run_curves
from chestct.evaluation.fold_values import MetricSettings, fold_values
from chestct.evaluation.intervals import acceleration
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.resampling import bootstrap_counts, choose_left_out, draw_resamples, patient_strata
from chestct.evaluation.scans import TestSet
from chestct.evaluation.validity import permuted, power


def sample(num_scans: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients (two scans each), labels and scores with ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_scans) < 0.4).astype(np.int64)
    scores = np.round(1 / (1 + np.exp(-rng.normal(labels, 1.2, (3, num_scans)))), 2)
    return np.arange(num_scans) // 2, labels, scores


def drawn_at_once(patients: np.ndarray, labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Counts as they are drawn where nothing is split: stratum by stratum, all resamples together."""
    patient_of_scan, stratum = patient_strata(patients, labels, None)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((len(stratum), number), dtype=int)
    for of in (1, 0):
        members = np.flatnonzero(stratum == of)
        for resample, picks in enumerate(rng.integers(len(members), size=(number, len(members)))):
            drawn[members, resample] = np.bincount(picks, minlength=len(members))
    return drawn[patient_of_scan].T


@settings(max_examples=20, deadline=None)
@given(
    num_scans=st.integers(20, 90),
    number=st.integers(1, 40),
    at_once=st.integers(1, 500),
    seed=st.integers(0, 99),
)
def test_resamples_are_the_same_however_many_are_drawn_at_a_time(num_scans, number, at_once, seed):
    patients, labels, _ = sample(num_scans, seed)
    labels[:4] = [0, 0, 1, 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "_DRAWS_AT_ONCE", at_once)
        found = bootstrap_counts(patients, labels, number, np.random.default_rng(seed))
    assert np.array_equal(found, drawn_at_once(patients, labels, number, seed))


def all_values(patients, labels, scores, draws) -> dict[str, np.ndarray]:
    """Every metric of every run, as bytes tell them apart."""
    test_set = TestSet(
        dataset="d",
        study_ids=np.arange(len(labels)),
        patient_ids=patients,
        labels=labels,
        folds=np.arange(len(labels)) // 2 % 2,
        baseline=None,
        validation=None,
    )
    runs = {RunKey("i3d", "video", 100, seed): run for seed, run in enumerate(scores)}
    thresholds = {key: np.full(len(labels), 0.5) for key in runs}
    options = MetricSettings(specificity=0.9, prevalence=0.3, thresholds=thresholds)
    return {
        metric: np.stack(list(fold_values(metric, runs, test_set, draws, options).values()))
        for metric in METRICS
    }


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_values_are_the_same_in_blocks_and_from_small_integers(monkeypatch, kind):
    patients, labels, scores = sample(120)
    draws = draw_resamples(patients, labels, 50, np.random.default_rng(0))
    whole = all_values(patients, labels, scores, draws)
    monkeypatch.setattr(metrics, "_COUNTS_PER_WALK", 1)
    monkeypatch.setattr(metrics, "_LEAST_RESAMPLES", 7)
    monkeypatch.setattr(counts, "_COUNTS_PER_SUM", 300)
    monkeypatch.setattr(counts, "_COUNTS_PER_COPY", 0)
    monkeypatch.setattr(resampling, "_MOST_BYTES", 0 if kind is np.uint8 else 2**29)
    monkeypatch.setattr(resampling, "_DRAWS_AT_ONCE", 90)
    again = draw_resamples(patients, labels, 50, np.random.default_rng(0))
    assert again.counts.dtype == kind and np.array_equal(again.counts, draws.counts)
    for metric, values in all_values(patients, labels, scores, again).items():
        assert values.tobytes() == whole[metric].tobytes(), metric
    curves = run_curves(labels, scores[0], draws.counts, 0.3)
    monkeypatch.setattr("chestct.evaluation.curves._COUNTS_AT_ONCE", 1000)
    for name, values in run_curves(labels, scores[0], again.counts, 0.3).items():
        assert np.array_equal(values, curves[name])


def test_the_array_of_counts_grows_with_the_scans_alone(monkeypatch):
    # Every patient left out once would be 50,000 x 100,000 counts.
    monkeypatch.setattr(resampling, "_MOST_LEFT_OUT_COUNTS", 2**20)
    monkeypatch.setattr(resampling, "_LEAST_LEFT_OUT", 40)
    patients, labels = np.arange(100_000) // 2, (np.arange(100_000) % 7 == 0).astype(np.int64)
    tracemalloc.start()
    draws = draw_resamples(patients, labels, 10, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert draws.counts.shape == (1 + 10 + 40, 100_000)
    assert draws.freedom > 10_000, "every patient counts, whether left out or not"
    assert peak < 150e6


@pytest.mark.parametrize("num_patients", [10, 1000, 9000, 50_000])
def test_patients_left_out_stand_for_every_stratum(num_patients):
    stratum = (np.arange(num_patients) % 10 == 0).astype(int)
    chosen = choose_left_out(stratum, 2 * num_patients)
    assert len(chosen) * 2 * num_patients <= max(2**26, 1000 * 2 * num_patients)
    assert len(np.unique(chosen)) == len(chosen) and (np.diff(chosen) > 0).all()
    assert stratum[chosen].mean() == pytest.approx(0.1, abs=0.002)
    if num_patients <= 1000:
        assert np.array_equal(chosen, np.arange(num_patients))


def test_a_part_of_the_patients_tells_the_acceleration(monkeypatch):
    _, labels, scores = sample(3000)
    whole = draw_resamples(np.arange(3000), labels, 1, np.random.default_rng(0))
    monkeypatch.setattr(resampling, "_MOST_LEFT_OUT_COUNTS", 1)
    part = draw_resamples(np.arange(3000), labels, 1, np.random.default_rng(0))
    assert len(part.left_out_stratum) == 1000
    found, other = (
        acceleration(
            draws.left_out(metrics.auroc(labels, scores, draws.counts)),
            draws.left_out_stratum,
            draws.stratum_sizes,
        )
        for draws in (whole, part)
    )
    # 0.002 moves the end of a 95 % interval by less than a hundredth of a standard error.
    assert np.abs(found - other).max() < 0.002 and np.abs(found).max() > 0.002


def test_permuted_labels_need_no_matrix_of_pairs(monkeypatch):
    patients, labels, _ = sample(80)
    keys = [RunKey("i3d", init, 100, seed) for init in ("video", "scratch") for seed in (0, 1)]
    noise = np.random.default_rng(1).normal(size=(4, 80)).round(1)
    part = (ArmKey("i3d", "video", 100), ArmKey("i3d", "scratch", 100))
    quantity = Quantity(model="i3d", label="video - scratch", percent=100, parts=(part,))
    draws = DatasetDraws(
        dataset="d",
        patients=patients,
        labels=labels,
        folds=np.arange(80) // 2 % 2,
        cells=[Cell(claim="video_vs_scratch", quantity=quantity, seeds=[0, 1], values=np.zeros((1, 2, 3)))],
        scores=dict(zip(keys, noise, strict=True)),
    )

    def rows() -> list[dict]:
        rng = np.random.default_rng(0)
        numbers = {"num_permutations": 12, "num_resamples": 30}
        return list(permuted.permuted_rows(draws, **numbers, confidence=0.95, rng=rng))

    of_pairs = rows()
    monkeypatch.setattr(permuted, "MAX_SCANS_IN_PAIRS", 0)
    monkeypatch.setattr(permuted, "preferences", lambda *_: pytest.fail("a matrix of pairs"))
    (of_ranks,) = rows()
    assert of_ranks == pytest.approx(of_pairs[0], abs=1e-6)


def test_power_is_the_same_however_many_test_sets_are_simulated_at_a_time(monkeypatch):
    classes = [np.random.default_rng(of).normal(size=200) for of in (0, 1)]
    shares = []
    for at_once in (2**24, 1000):
        monkeypatch.setattr(power, "_COUNTS_AT_ONCE", at_once)
        shares.append(power._share_seen(classes, (60, 140), 300, 0.95, np.random.default_rng(0)))
    assert shares[0] == shares[1]
