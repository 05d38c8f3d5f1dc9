"""Folds: metrics, resamples, DeLong's errors, curves and permuted labels stay within them."""

import numpy as np
import pandas as pd
import pytest
from evaluated import edit, evaluate, one_row
from sklearn.metrics import average_precision_score, roc_auc_score
from synthetic_predictions import write_study

from chestct.errors import InputError
from chestct.evaluation.curves import fold_curves, run_curves
from chestct.evaluation.delong import placements, standard_errors
from chestct.evaluation.fold_values import MetricSettings, fold_values
from chestct.evaluation.folds import LEFT_OUT, class_strata, ranked_folds
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.resampling import bootstrap_counts, draw_resamples
from chestct.evaluation.scans import TestSet, load_test_set
from chestct.evaluation.validity.permuted import permute_labels
from chestct.no_interval import NO_INTERVAL

NUM_FOLDS = 5
RUN = RunKey("i3d", "video", 100, 0)


def scans_of(labels: np.ndarray, folds: np.ndarray, patients: np.ndarray | None = None) -> TestSet:
    numbers = np.arange(len(labels))
    return TestSet(
        dataset="own",
        study_ids=numbers,
        patient_ids=numbers if patients is None else patients,
        labels=labels,
        folds=folds,
        baseline=None,
        validation=pd.DataFrame(),
    )


def settings_of(labels: np.ndarray, scores: dict[RunKey, np.ndarray]) -> MetricSettings:
    thresholds = {run: np.full(len(labels), 0.6) for run in scores}
    return MetricSettings(specificity=0.9, prevalence=float(labels.mean()), thresholds=thresholds)


def cross_validated(*, offset: float, seed: int, num_scans: int = 95) -> tuple[np.ndarray, ...]:
    """Labels, folds and scores with a true AUROC of 0.75 in every fold; the folds differ by offsets."""
    rng = np.random.default_rng(seed)
    labels, folds = np.arange(num_scans) % 2, np.arange(num_scans) // 2 % NUM_FOLDS
    logits = rng.normal(size=num_scans) + 0.9539 * labels + offset * rng.normal(size=NUM_FOLDS)[folds]
    return labels, folds, 1 / (1 + np.exp(-logits))


def value_of(metric: str, labels: np.ndarray, folds: np.ndarray, scores: np.ndarray) -> float:
    draws = draw_resamples(np.arange(len(labels)), labels, 1, np.random.default_rng(0), folds)
    run = {RUN: scores}
    values = fold_values(metric, run, scans_of(labels, folds), draws, settings_of(labels, run))
    return float(values[RUN][:, 0].mean())


def test_an_offset_between_networks_is_no_error_of_ranking():
    """Pooled, the out-of-fold scores of networks with true AUROC 0.75 would give 0.70."""
    drawn = [cross_validated(offset=1.0, seed=seed) for seed in range(300)]
    within = np.mean([value_of("auroc", *draw) for draw in drawn])
    pooled = np.mean([roc_auc_score(labels, scores) for labels, _, scores in drawn])
    assert within == pytest.approx(0.75, abs=0.012)  # standard error 0.003
    assert pooled < 0.71


@pytest.mark.parametrize(
    "metric", ["auroc", "sensitivity", "sensitivity_validation", "specificity_validation"]
)
def test_offsets_between_folds_change_nothing(metric):
    labels, folds, scores = cross_validated(offset=0.0, seed=0)
    draws = draw_resamples(np.arange(len(labels)), labels, 20, np.random.default_rng(0), folds)
    results = []
    for shift in (np.zeros(NUM_FOLDS), np.arange(NUM_FOLDS)):
        run = {RUN: scores + shift[folds]}
        thresholds = {RUN: 0.6 + shift[folds]}
        settings = MetricSettings(specificity=0.9, prevalence=0.5, thresholds=thresholds)
        results.append(fold_values(metric, run, scans_of(labels, folds), draws, settings)[RUN])
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("metric", "reference"), [("auroc", roc_auc_score), ("auprc", average_precision_score)]
)
def test_every_fold_has_its_own_value_under_its_part_of_every_count(metric, reference):
    labels, folds, scores = cross_validated(offset=1.0, seed=1, num_scans=100)
    draws = draw_resamples(np.arange(100), labels, 30, np.random.default_rng(0), folds)
    run = {RUN: scores}
    values_FR = fold_values(metric, run, scans_of(labels, folds), draws, settings_of(labels, run))[RUN]
    assert values_FR.shape == (NUM_FOLDS, 1 + 30 + 100) and values_FR.dtype == np.float64
    for fold in range(NUM_FOLDS):
        mine = folds == fold
        for column in range(31):
            times = draws.counts[column, mine].astype(int)
            expected = reference(np.repeat(labels[mine], times), np.repeat(scores[mine], times))
            assert values_FR[fold, column] == pytest.approx(expected, abs=1e-12)
    left_out_FJ = draws.left_out(values_FR)
    if not METRICS[metric].bca:
        assert np.isnan(left_out_FJ).all()
        return
    # A patient who is left out changes the own fold alone.
    others = folds[None, :] != np.arange(NUM_FOLDS)[:, None]
    assert (left_out_FJ == values_FR[:, :1])[others].all()
    assert (left_out_FJ != values_FR[:, :1])[~others].any()


@pytest.mark.parametrize("metric", METRICS)
def test_one_fold_is_one_test_set(metric):
    labels, _, scores = cross_validated(offset=0.0, seed=2)
    draws = draw_resamples(np.arange(95), labels, 5, np.random.default_rng(0))
    run = {RUN: scores, RUN._replace(seed=1): scores[::-1]}
    values = fold_values(metric, run, scans_of(labels, np.zeros(95, int)), draws, settings_of(labels, run))
    assert list(values) == list(run)
    assert {array.shape for array in values.values()} == {(1, 1 + 5 + 95)}
    kind = METRICS[metric]
    num_values = 1 if metric in NO_INTERVAL else 1 + 5 + 95 * kind.bca
    assert np.isfinite(values[RUN][0, :num_values]).all() and np.isnan(values[RUN][0, num_values:]).all()


@pytest.mark.parametrize("metric", METRICS)
def test_first_axis_is_that_of_the_folds_unless_the_metric_is_pooled(metric):
    labels, folds, scores = cross_validated(offset=0.0, seed=2)
    draws = draw_resamples(np.arange(95), labels, 3, np.random.default_rng(0), folds)
    run = {RUN: scores}
    values = fold_values(metric, run, scans_of(labels, folds), draws, settings_of(labels, run))[RUN]
    assert len(values) == (1 if METRICS[metric].pooled else NUM_FOLDS)


def test_folds_with_one_label_are_left_out():
    labels, folds = np.array([0, 1, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 2, 2])
    scores = np.array([0.1, 0.9, 0.8, 0.2, 0.5, 0.6])
    strata = class_strata(labels, folds)
    assert strata.tolist() == [0, 1, 2, 3, LEFT_OUT, LEFT_OUT]
    assert [mask.tolist() for mask in ranked_folds(strata)] == [
        [True] * 2 + [False] * 4,
        [False] * 2 + [True] * 2 + [False] * 2,
    ]
    assert value_of("auroc", labels, folds, scores) == pytest.approx((1 + 0) / 2)
    assert np.isnan(placements(strata, scores)[4:]).all()


def test_resamples_keep_the_patients_of_every_fold_and_class():
    rng = np.random.default_rng(0)
    labels, folds = rng.integers(0, 2, 60), np.arange(60) % 3
    counts = bootstrap_counts(np.arange(60), labels, 40, rng, folds)
    for fold in range(3):
        for label in (0, 1):
            chosen = (folds == fold) & (labels == label)
            assert (counts[:, chosen].sum(axis=1) == chosen.sum()).all()
    stratum = draw_resamples(np.arange(60), labels, 1, rng, folds).stratum
    assert stratum.tolist() == (2 * folds + labels).tolist()


def test_resamples_have_both_labels_in_every_fold():
    patients, folds = np.repeat(np.arange(6), 2), np.repeat([0, 1], 6)
    labels = np.array([1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1])  # every patient is positive, few are negative too
    counts = bootstrap_counts(patients, labels, 300, np.random.default_rng(0), folds)
    for fold in (0, 1):
        assert (counts[:, (folds == fold) & (labels == 0)].sum(axis=1) > 0).all()


def test_resamples_of_one_test_set_are_those_without_folds():
    labels = np.arange(30) % 2
    alone = bootstrap_counts(np.arange(30), labels, 9, np.random.default_rng(0))
    folded = bootstrap_counts(np.arange(30), labels, 9, np.random.default_rng(0), np.zeros(30, int))
    assert np.array_equal(alone, folded)


def test_delong_of_a_mean_over_folds():
    labels, folds, scores = cross_validated(offset=2.0, seed=3)
    strata = class_strata(labels, folds)
    sides = placements(strata, scores)
    variances = []
    for fold in range(NUM_FOLDS):
        mine = folds == fold
        own = placements(labels[mine], scores[mine])
        assert np.array_equal(own, sides[mine])
        assert own[labels[mine] == 1].mean() == pytest.approx(roc_auc_score(labels[mine], scores[mine]))
        variances.append(standard_errors(labels[mine], own[None])[0] ** 2)
    expected = np.sqrt(np.sum(variances)) / NUM_FOLDS
    assert standard_errors(strata, sides[None])[0] == pytest.approx(expected)


def test_delong_error_of_folds_is_near_the_bootstraps():
    rng = np.random.default_rng(0)
    labels, folds = np.arange(600) % 2, np.arange(600) // 2 % 3
    scores = rng.normal(labels, 1) + 2 * folds
    draws = draw_resamples(np.arange(600), labels, 2000, rng, folds)
    run = {RUN: scores}
    values = fold_values("auroc", run, scans_of(labels, folds), draws, settings_of(labels, run))[RUN]
    spread = np.std(draws.resampled(values.mean(axis=0)))
    strata = class_strata(labels, folds)
    assert standard_errors(strata, placements(strata, scores)[None])[0] == pytest.approx(spread, rel=0.06)


def test_curves_are_means_of_the_folds_curves():
    labels, folds, scores = cross_validated(offset=2.0, seed=4)
    counts = bootstrap_counts(np.arange(95), labels, 4, np.random.default_rng(0), folds)
    curves = fold_curves(class_strata(labels, folds), scores, counts)
    parts = [
        run_curves(labels[folds == fold], scores[folds == fold], counts[:, folds == fold])
        for fold in range(NUM_FOLDS)
    ]
    for name in ("roc", "precision_recall"):
        np.testing.assert_allclose(curves[name], np.mean([part[name] for part in parts], axis=0))
    pooled = run_curves(labels, scores, counts)["roc"]
    assert curves["roc"][:, 0].mean() > pooled[:, 0].mean() + 0.03


def test_labels_are_permuted_within_folds():
    labels, folds = np.array([1, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 1, 1, 2])
    labels[3] = 1
    rng = np.random.default_rng(0)
    seen = {tuple(permute_labels(np.arange(6), labels, rng, folds)) for _ in range(50)}
    assert seen == {(1, 1, 1, 1, 0, 0), (1, 1, 1, 0, 1, 0)}


def test_a_study_with_folds_ranks_within_them(tmp_path):
    """An offset of a fold's scores changes no AUROC, no interval, no difference, no curve and no control."""
    files = write_study(
        tmp_path, {"own": {"num_patients": 50, "folds": 5}}, ["i3d"], ["scratch", "video"], [100]
    )
    before = evaluate(files, tmp_path / "a", metrics=["auroc", "sensitivity_validation"])

    def shift(table: pd.DataFrame) -> None:
        table["score"] = 0.1 + table["score"] / 10 + 0.15 * table["fold"]

    edit(files.predictions["own"][0], shift)
    after = evaluate(files, tmp_path / "b", metrics=["auroc", "sensitivity_validation"])
    for name in ("metrics", "means", "comparisons", "claims", "power", "permuted", "curves"):
        pd.testing.assert_frame_equal(before[name], after[name])
    assert (before["metrics"]["num_scans"] == 50).all()
    row = one_row(before["metrics"], init="video", metric="auroc")
    assert row["patients_low"] <= row["value"] <= row["patients_high"]


def test_a_fold_without_both_labels_is_logged_and_no_such_fold_is_refused(tmp_path, caplog):
    files = write_study(tmp_path, {"own": {"num_patients": 50, "folds": 5}}, ["i3d"], ["scratch"], [100])
    cohort, splits = files.cohorts["own"], files.splits["own"]

    def relabel(table: pd.DataFrame, folds) -> pd.DataFrame:
        tests = pd.read_csv(splits).query("split == 'test' and fold in @folds")["study_id"]
        return table.assign(label=table["label"].where(~table["study_id"].isin(tests), 0))

    for path in (cohort, splits):
        edit(path, lambda table: relabel(table, [3]))
    with caplog.at_level("WARNING"):
        load_test_set(cohort, splits)
    assert "test scans of fold(s) 3 have one label" in caplog.text

    def by_fold(table: pd.DataFrame) -> pd.DataFrame:
        tests = pd.read_csv(splits).query("split == 'test'").set_index("study_id")["fold"]
        return table.assign(label=(table["study_id"].map(tests) % 2).where(table["label"].notna()))

    for path in (cohort, splits):
        edit(path, by_fold)
    with pytest.raises(InputError, match="no fold has test scans of both labels"):
        load_test_set(cohort, splits)
