"""Rivals without the image: what they are fitted on, what they are compared with, what is missing."""

import logging

import numpy as np
import pandas as pd
import pytest
from evaluated import edit, evaluate_alone, one_row
from sklearn.metrics import roc_auc_score

from chestct.errors import InputError
from chestct.evaluation.metadata_model import MIN_SCANS, SIZE, fit_and_score, log_size
from chestct.evaluation.rival_scores import list_rivals, score_rivals
from chestct.evaluation.scans import load_test_set
from chestct.evaluation.training_patients import read_subsets
from chestct.simple_rivals import is_simple
from chestct.tables import read_table

COLUMNS = ["manufacturer", "scanner_model", "kernel", "contrast", "sex"]
NUMBERS = ["slice_thickness_mm", "pixel_mm", "num_slices", "age_years", "spacing_z_mm", SIZE]


def facts_of(size, seed=0):
    rng = np.random.default_rng(seed)
    facts = pd.DataFrame({name: rng.choice(["A", "B"], size) for name in COLUMNS})
    for name in NUMBERS:
        facts[name] = rng.normal(5, 1, size)
    return facts


def test_a_level_that_goes_with_the_label_is_found():
    training, others = facts_of(200), facts_of(100, seed=1)
    labels = (training["manufacturer"] == "A").to_numpy(dtype=int)
    scores = fit_and_score("metadata", training, labels, others)
    assert roc_auc_score(others["manufacturer"] == "A", scores) == 1.0
    assert ((scores > 0) & (scores < 1)).all()


def test_slice_count_reads_nothing_but_the_number_of_slices():
    training, others = facts_of(200), facts_of(100, seed=1)
    labels = (training["num_slices"] > 5).to_numpy(dtype=int)
    scores = fit_and_score("slice_count", training, labels, others)
    assert np.array_equal(np.argsort(scores), np.argsort(others["num_slices"].to_numpy()))


def test_size_and_spacing_reads_size_slices_and_spacing_alone():
    training, others = facts_of(300), facts_of(100, seed=1)
    labels = (training[SIZE] + training["spacing_z_mm"] > 10).to_numpy(dtype=int)
    truth = others[SIZE] + others["spacing_z_mm"] > 10
    scores = fit_and_score("size_and_spacing", training, labels, others)
    assert roc_auc_score(truth, scores) > 0.97
    changed = others.assign(**{name: "C" for name in COLUMNS}, age_years=99)
    assert np.array_equal(fit_and_score("size_and_spacing", training, labels, changed), scores)
    of_spacing = fit_and_score("spacing", training, labels, others)
    assert np.array_equal(fit_and_score("spacing", training, labels, others.assign(**{SIZE: 0})), of_spacing)
    assert roc_auc_score(truth, of_spacing) < 0.9


def test_a_size_is_taken_as_its_logarithm_and_another_score_as_it_is():
    sizes = pd.Series([1.0, np.nan, 100.0])
    assert log_size(sizes).round(6).tolist()[::2] == [0, 4.60517] and np.isnan(log_size(sizes)[1])
    others = pd.Series([-1.0, 2.0])
    assert log_size(others).tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        ([], ["slice_count", "spacing", "size_and_spacing", "metadata"]),
        ([SIZE], ["slice_count", "metadata"]),
        ([*COLUMNS, "age_years"], ["slice_count", "spacing", "size_and_spacing"]),
        ([*COLUMNS, "age_years", SIZE], ["slice_count", "spacing"]),
    ],
)
def test_rivals_are_those_of_what_a_dataset_states(caplog, lacking, expected):
    facts = facts_of(20)
    facts[lacking] = np.nan
    with caplog.at_level(logging.INFO):
        assert list_rivals(facts, "d") == expected
    said = [r for r in caplog.records if "no rival 'metadata'" in r.getMessage()]
    assert len(said) == ("metadata" not in expected)


def test_missing_values_are_a_level_of_their_own():
    """Whether the age is stated tells the label here; its value does not."""
    training, others = facts_of(200), facts_of(100, seed=1)
    labels = np.arange(200) % 2
    training.loc[labels == 1, ["age_years", "sex"]] = np.nan
    others.loc[others.index % 2 == 1, ["age_years", "sex"]] = np.nan
    scores = fit_and_score("metadata", training, labels, others)
    assert roc_auc_score(others.index % 2, scores) == 1.0


def test_nothing_known_but_the_geometry_is_enough():
    training, others = facts_of(60), facts_of(30, seed=1)
    for table in (training, others):
        table[[*COLUMNS, "slice_thickness_mm", "age_years"]] = np.nan
    scores = fit_and_score("metadata", training, np.arange(60) % 2, others)
    assert np.isfinite(scores).all() and len(np.unique(scores)) > 20


def test_rare_and_unknown_levels_are_pooled():
    training = facts_of(200)
    others = pd.concat([facts_of(1, seed=1)] * 4, ignore_index=True)
    training.loc[: MIN_SCANS - 2, "scanner_model"] = "RARE"
    others["scanner_model"] = ["RARE", "NEVER SEEN", "A", "B"]
    scores = fit_and_score("metadata", training, np.arange(200) % 2, others)
    assert scores[0] == scores[1] and len(np.unique(scores)) == 3


def test_one_label_teaches_nothing():
    scores = fit_and_score("metadata", facts_of(8), np.ones(8), facts_of(5))
    assert (scores == 0.5).all()


def test_rivals_are_fitted_on_the_training_scans_of_their_subset_alone(small_study):
    name = "lidc_phantom"
    files = small_study
    test_set = load_test_set(files.cohorts[name], files.splits[name])
    subsets = read_subsets(files.subsets[name])
    arguments = files.acquisition[name], files.cohorts[name], subsets, files.splits[name], test_set
    before = score_rivals(*arguments)
    assert [key[:2] for key in before.test] == [("slice_count", "none"), ("metadata", "none")]
    # What held-out scans look like and are labelled changes their own scores at most.
    held_out = read_table(files.splits[name], "splits").query("split != 'train'")["study_id"]
    changed = held_out.iloc[0]
    edit(
        files.acquisition[name],
        lambda t: t.assign(kernel=t["kernel"].mask(t["study_id"] == changed, "OTHER")),
    )
    edit(
        files.splits[name], lambda t: t.assign(label=t["label"].where(t["split"] == "train", 1 - t["label"]))
    )
    after = score_rivals(*arguments)
    others = before.table["study_id"] != changed
    assert np.array_equal(before.table["score"][others], after.table["score"][others])


def test_metadata_missing_is_said_once_and_a_scan_without_a_row_stops(small_study, caplog):
    name = "lidc_phantom"
    files = small_study
    test_set = load_test_set(files.cohorts[name], files.splits[name])
    subsets = read_subsets(files.subsets[name])
    arguments = files.acquisition[name], files.cohorts[name], subsets, files.splits[name], test_set
    edit(files.acquisition[name], lambda t: t.assign(manufacturer=None, kernel=None))
    with caplog.at_level(logging.WARNING):
        score_rivals(*arguments)
    said = [record.getMessage() for record in caplog.records if "headers do not state" in record.getMessage()]
    assert len(said) == 1 and "manufacturer of 100 %" in said[0] and "kernel of 100 %" in said[0]
    edit(files.acquisition[name], lambda t: t.iloc[1:])
    with pytest.raises(
        InputError, match="1 scan\\(s\\) of lidc_phantom have no row in the table acquisition"
    ):
        score_rivals(*arguments)


def test_every_arm_is_compared_with_the_metadata_of_its_percent_and_seed(full_study):
    comparisons, metrics = full_study.tables["comparisons"], full_study.tables["metrics"]
    gains = comparisons[comparisons["contrast"].str.endswith(" - metadata")]
    assert set(gains["metric"]) == {"auroc"} and set(gains["rival"]) == {"metadata"}
    simple = ("baseline", "slice_count", "spacing", "size_and_spacing", "metadata")
    over = {f"{init} - {rival}" for init in ("scratch", "video", "imagenet") for rival in simple}
    assert over <= set(comparisons["contrast"])
    row = one_row(gains, model="slow_narrow", contrast="video - metadata", percent=10)
    auroc = metrics[(metrics["metric"] == "auroc") & (metrics["percent"] == 10)]
    value = auroc.groupby(["model", "init"])["value"].mean()
    expected = value["slow_narrow", "video"] - value["metadata", "none"]
    assert row["difference"] == pytest.approx(expected)
    assert row["patients_low"] < row["difference"] < row["patients_high"]
    mean = one_row(gains, model="mean_of_seven", contrast="video - metadata", percent=100)
    assert np.isfinite(mean["p_value"])
    means = full_study.tables["means"]
    assert one_row(means, model="metadata", metric="auroc", percent=10)["num_patients"] > 0
    assert not full_study.tables["same_arm"]["model"].map(is_simple).any()


def test_size_of_training_scans_is_needed(small_study):
    """Of a test set outside the training set the sizes of test scans alone are known."""
    name, files = "lidc_phantom", small_study
    splits = read_table(files.splits[name], "splits")
    tested = set(splits.loc[splits["split"] == "test", "study_id"])
    edit(files.cohorts[name], lambda t: t.assign(baseline=t["study_id"].isin(tested).map({True: 5.0})))
    test_set = load_test_set(files.cohorts[name], files.splits[name])
    assert test_set.baseline is not None
    arguments = files.acquisition[name], files.cohorts[name], read_subsets(files.subsets[name])
    found = score_rivals(*arguments, files.splits[name], test_set)
    assert {key.model for key in found.test} == {"slice_count", "metadata"}


def test_metadata_and_models_share_the_folds(tmp_path):
    from synthetic_predictions import write_study

    files = write_study(
        tmp_path,
        {"lidc_phantom": {"num_patients": 60, "folds": 3}},
        ["slow_narrow"],
        ["scratch", "video"],
        [100],
    )
    tables = evaluate_alone(files, tmp_path / "evaluation")
    rivals = tables["simple_rivals"]
    tested = rivals[(rivals["split"] == "test") & (rivals["model"] == "metadata")]
    splits = read_table(files.splits["lidc_phantom"], "splits").query("split == 'test'")
    assert set(zip(tested["study_id"], tested["fold"], strict=True)) == set(
        zip(splits["study_id"], splits["fold"], strict=True)
    )
    by_fold = [roc_auc_score(part["label"], part["score"]) for _, part in tested.groupby("fold")]
    row = one_row(tables["metrics"], model="metadata", metric="auroc")
    assert row["value"] == pytest.approx(np.mean(by_fold))
