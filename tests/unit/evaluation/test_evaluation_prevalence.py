"""Metrics at a stated prevalence, and decisions at the threshold that validation chose."""

import numpy as np
import pandas as pd
import pytest
from evaluated import edit, evaluate_alone, one_row
from sklearn.metrics import average_precision_score, brier_score_loss, precision_score, recall_score
from synthetic_predictions import write_study

from chestct.errors import InputError
from chestct.evaluation.metrics import average_precision, brier, calibration_error
from chestct.evaluation.operating_point import (
    lowest_threshold,
    negative_predictive_value,
    positive_predictive_value,
    sensitivity_at,
    specificity_at,
)
from chestct.evaluation.recalibration import calibration_intercept, calibration_slope
from chestct.evaluation.resampling import bootstrap_counts

AT_PREVALENCE = {
    "auprc": average_precision,
    "brier": brier,
    "calibration_error": calibration_error,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}


def sample(num_scans: int = 120, *, share: float = 0.4, decimals: int = 2, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_scans) < share).astype(np.int64)
    scores = 1 / (1 + np.exp(-rng.normal(labels, 1.2)))
    return labels, np.clip(np.round(scores, decimals), 0.01, 0.99)


@pytest.mark.parametrize("metric", AT_PREVALENCE)
def test_own_prevalence_is_no_weighting(metric):
    labels, scores = sample()
    counts = bootstrap_counts(np.arange(120), labels, 50, np.random.default_rng(0))
    plain = AT_PREVALENCE[metric](labels, scores, counts)
    weighted = AT_PREVALENCE[metric](labels, scores, counts, prevalence=labels.mean())
    np.testing.assert_allclose(weighted, plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("metric", AT_PREVALENCE)
def test_metric_at_a_prevalence_is_that_of_scans_in_this_proportion(metric):
    """Every negative scan seven times, every positive one twice: the shares are those of 2 p to 7 n."""
    labels, scores = sample()
    repeats = np.where(labels == 1, 2, 7)
    prevalence = repeats[labels == 1].sum() / repeats.sum()
    once, many = np.ones((1, 120), dtype=np.int32), repeats[None].astype(np.int32)
    function = AT_PREVALENCE[metric]
    expected = function(np.repeat(labels, repeats), np.repeat(scores, repeats), np.ones((1, repeats.sum())))
    assert function(labels, scores, once, prevalence=prevalence) == pytest.approx(expected, abs=1e-9)
    assert function(labels, scores, many, prevalence=prevalence) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "reference"), [("auprc", average_precision_score), ("brier", brier_score_loss)]
)
def test_weights_are_scikit_learns_sample_weights(metric, reference):
    labels, scores = sample()
    counts = bootstrap_counts(np.arange(120) // 3, labels, 30, np.random.default_rng(0))
    values = AT_PREVALENCE[metric](labels, scores, counts, prevalence=0.1)
    for value, times in zip(values, counts, strict=True):
        drawn, theirs = np.repeat(labels, times), np.repeat(scores, times)
        weights = np.where(drawn == 1, 0.1 / drawn.sum(), 0.9 / (1 - drawn).sum())
        assert value == pytest.approx(reference(drawn, theirs, sample_weight=weights), abs=1e-12)


@pytest.mark.parametrize(("specificity", "above"), [(0.9, 1), (0.95, 0), (0.5, 5), (0.05, 9)])
def test_threshold_lets_as_many_negatives_pass_as_the_specificity_allows(specificity, above):
    rng = np.random.default_rng(0)
    negatives = rng.permuted(np.tile(np.arange(10) / 10, (3, 1)), axis=1)
    thresholds = lowest_threshold(negatives, specificity)
    assert ((negatives > thresholds[:, None]).sum(axis=1) == above).all()
    # Any lower threshold would let another one pass.
    assert ((negatives >= thresholds[:, None]).sum(axis=1) == above + 1).all()


def test_threshold_among_equal_scores_keeps_the_specificity():
    negatives = np.array([[0.2, 0.2, 0.2, 0.2, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5]])
    assert lowest_threshold(negatives, 0.9).tolist() == [0.5]


def test_threshold_leaves_out_scans_whose_labels_a_run_did_not_see():
    known = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]])
    with_unknown = np.insert(known, [0, 4, 10], np.nan, axis=1)
    assert lowest_threshold(with_unknown, 0.9) == lowest_threshold(known, 0.9) == [0.9]


def test_decisions_equal_scikit_learn_on_the_same_resamples():
    labels, _ = sample()
    runs = np.stack([sample(seed=seed)[1] for seed in range(4)])
    thresholds = np.repeat([[0.5], [0.6], [0.7], [0.62]], 120, axis=1)
    counts = bootstrap_counts(np.arange(120) // 2, labels, 25, np.random.default_rng(0))
    arguments = (labels, runs, counts)
    values = {
        "sensitivity": sensitivity_at(*arguments, thresholds=thresholds),
        "specificity": specificity_at(*arguments, thresholds=thresholds),
        "ppv": positive_predictive_value(*arguments, thresholds=thresholds),
        "npv": negative_predictive_value(*arguments, thresholds=thresholds),
    }
    for run in range(4):
        called = (runs[run] > thresholds[run]).astype(int)
        for column, times in enumerate(counts):
            drawn, decided = np.repeat(labels, times), np.repeat(called, times)
            expected = {
                "sensitivity": recall_score(drawn, decided),
                "specificity": recall_score(1 - drawn, 1 - decided),
                "ppv": precision_score(drawn, decided),
                "npv": precision_score(1 - drawn, 1 - decided),
            }
            for name, value in expected.items():
                assert values[name][run, column] == pytest.approx(value, abs=1e-12), name


def test_predictive_values_follow_the_prevalence_by_bayes_theorem():
    labels, scores = sample()
    once = np.ones((1, 120))
    arguments, thresholds = (labels, scores, once), np.full(120, 0.6)
    found = sensitivity_at(*arguments, thresholds=thresholds)[0]
    right = specificity_at(*arguments, thresholds=thresholds)[0]
    value = positive_predictive_value(*arguments, thresholds=thresholds, prevalence=0.02)[0]
    assert value == pytest.approx(0.02 * found / (0.02 * found + 0.98 * (1 - right)))
    value = negative_predictive_value(*arguments, thresholds=thresholds, prevalence=0.02)[0]
    assert value == pytest.approx(0.98 * right / (0.98 * right + 0.02 * (1 - found)))


def test_predictive_value_of_no_decision_is_not_a_number():
    labels, scores = np.array([0, 1]), np.array([0.2, 0.3])
    arguments = (labels, scores, np.ones((1, 2)))
    assert np.isnan(positive_predictive_value(*arguments, thresholds=np.ones(2), prevalence=0.3)).all()
    assert negative_predictive_value(*arguments, thresholds=np.ones(2), prevalence=0.3) == pytest.approx(0.7)
    assert np.isnan(negative_predictive_value(*arguments, thresholds=np.zeros(2), prevalence=0.3)).all()


DECISIONS = ["sensitivity_validation", "specificity_validation", "ppv_validation", "npv_validation"]


@pytest.mark.parametrize("folds", [1, 4])
def test_a_study_decides_at_the_threshold_of_every_runs_own_validation_scans(tmp_path, folds):
    datasets = {"own": {"num_patients": 80, "folds": folds}}
    files = write_study(tmp_path, datasets, ["i3d"], ["scratch", "video"], [100], [0, 1])
    metrics = evaluate_alone(files, tmp_path / "out", metrics=["auroc", *DECISIONS])["metrics"]
    table = pd.read_csv(files.predictions["own"][0])
    for (init, seed), rows in table.groupby(["init", "seed"]):
        found, right, called = [], [], []
        for _, part in rows.groupby("fold"):
            negative = part.query("split == 'validation' and label == 0")["score"]
            allowed = int(0.1 * len(negative) + 1e-9)
            threshold = negative.sort_values(ascending=False).iloc[allowed]
            tests = part.query("split == 'test'")
            above = tests["score"] > threshold
            found.append(above[tests["label"] == 1].mean())
            right.append(1 - above[tests["label"] == 0].mean())
            called.append(tests.assign(above=above))
        joined = pd.concat(called)
        expected = {
            "sensitivity_validation": np.mean(found),
            "specificity_validation": np.mean(right),
            "ppv_validation": joined.loc[joined["above"], "label"].mean(),
            "npv_validation": 1 - joined.loc[~joined["above"], "label"].mean(),
        }
        for metric, value in expected.items():
            row = one_row(metrics, init=init, seed=seed, metric=metric)
            assert row["value"] == pytest.approx(value, abs=1e-12), metric


def test_validation_scores_decide_the_threshold(tmp_path):
    files = write_study(tmp_path, {"own": {"num_patients": 40}}, ["i3d"], ["scratch"], [100])
    options = {"metrics": ["auroc", "sensitivity", *DECISIONS]}
    before = (
        evaluate_alone(files, tmp_path / "a", **options)["metrics"]
        .query("model == 'i3d'")
        .set_index("metric")["value"]
    )
    edit(
        files.predictions["own"][0],
        lambda table: table.assign(score=table["score"].where(table["split"] == "test", 1.0)),
    )
    after = (
        evaluate_alone(files, tmp_path / "b", **options)["metrics"]
        .query("model == 'i3d'")
        .set_index("metric")["value"]
    )
    assert after["sensitivity"] == before["sensitivity"] and after["auroc"] == before["auroc"]
    assert after["sensitivity_validation"] == 0 and after["specificity_validation"] == 1
    assert np.isnan(after["ppv_validation"]) and after["npv_validation"] == pytest.approx(0.6)


def test_validation_without_negative_scans_decides_no_threshold(tmp_path):
    files = write_study(tmp_path, {"own": {"num_patients": 40}}, ["i3d"], ["scratch"], [100])

    def drop(table: pd.DataFrame) -> pd.DataFrame:
        return table[(table["split"] != "validation") | (table["label"] == 1)]

    edit(files.splits["own"], drop)
    edit(files.predictions["own"][0], drop)
    evaluate_alone(files, tmp_path / "a", metrics=["auroc"])
    with pytest.raises(InputError, match="fold 0 of own has no negative validation scan"):
        evaluate_alone(files, tmp_path / "b", metrics=["auroc", *DECISIONS])


def test_prevalence_of_a_study_is_what_it_states_or_that_of_its_test_set(tmp_path):
    files = write_study(tmp_path, {"own": {"num_patients": 80}}, ["i3d"], ["scratch"], [100])
    metrics = ["auroc", "auprc", "brier", "ppv_validation", "calibration_intercept"]
    tables = {
        name: evaluate_alone(files, tmp_path / name, metrics=metrics, prevalence=prevalence)
        for name, prevalence in (("own", None), ("same", 0.4), ("rare", 0.05))
    }
    own, same, rare = (
        each["metrics"].query("model == 'i3d'").set_index("metric") for each in tables.values()
    )
    tests = pd.read_csv(files.predictions["own"][0]).query("split == 'test'")
    assert tests["label"].mean() == pytest.approx(0.4)
    assert own.loc["auprc", "value"] == pytest.approx(average_precision_score(tests["label"], tests["score"]))
    pd.testing.assert_frame_equal(own, same)
    assert rare.loc["auroc", "value"] == own.loc["auroc", "value"]
    assert rare.loc["auprc", "value"] < own.loc["auprc", "value"] - 0.1
    assert rare.loc["ppv_validation", "value"] < own.loc["ppv_validation", "value"] - 0.1
    assert rare.loc["calibration_intercept", "value"] < own.loc["calibration_intercept", "value"] - 1
    ends = {}
    for name in ("own", "rare"):
        curves = tables[name]["curves"].query("curve == 'precision_recall'")
        assert curves["prevalence"].unique() == pytest.approx([0.4 if name == "own" else 0.05])
        ends[name] = curves.query("x == 1")["y"].iloc[0]
    # Where all positive scans are found, so is the same share of negative ones.
    odds = {name: (1 - value) / value for name, value in ends.items()}
    assert odds["rare"] == pytest.approx(odds["own"] * (0.95 / 0.05) / (0.6 / 0.4))
