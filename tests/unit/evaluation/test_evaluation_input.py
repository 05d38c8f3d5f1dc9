"""Predictions, splits and subsets that cannot be evaluated are refused, with the scans named."""

import numpy as np
import pandas as pd
import pytest
from evaluated import edit, evaluate
from synthetic_predictions import StudyFiles

from chestct.errors import InputError
from chestct.tables import read_table, write_table

DATASET = "lidc_phantom"
TEST_SCAN = "lidc_phantom-0005-0"


def _drop(table):
    return table[~((table["study_id"] == TEST_SCAN) & (table["init"] == "video"))]


def _repeat(table):
    return pd.concat([table, table[table["study_id"] == TEST_SCAN]])


def _flip(table):
    table.loc[table["study_id"] == TEST_SCAN, "label"] ^= 1


def _blank(table):
    table.loc[table["study_id"] == TEST_SCAN, "score"] = np.nan


def _words(table):
    return table.astype({"score": object}).assign(
        score=table["score"].where(table["study_id"] != TEST_SCAN, "nan?")
    )


def _stray(table):
    extra = table[table["study_id"] == TEST_SCAN].assign(study_id=f"{TEST_SCAN}-stray")
    return pd.concat([table, extra])


def _above(table):
    table.loc[table["study_id"] == TEST_SCAN, "score"] = 1.5


def _below(table):
    table.loc[table["study_id"] == TEST_SCAN, "score"] = -0.01


def _infinite(table):
    table.loc[table["study_id"] == TEST_SCAN, "score"] = np.inf


def _twice(table):
    return pd.concat([table, table[table["init"] == "video"]])


def _fold(table):
    table.loc[table["study_id"] == TEST_SCAN, "fold"] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, "lack test scans"),
        (_repeat, "repeat test scans"),
        (_flip, "disagree with the cohort"),
        (_blank, "without a score"),
        (_words, "without a score"),
        (_stray, "outside the test set"),
        (_fold, "another fold"),
        (_above, "outside 0 to 1"),
        (_below, "outside 0 to 1"),
        (_infinite, "outside 0 to 1"),
        (_twice, "repeat test scans"),
    ],
)
def test_bad_predictions_are_refused_by_scan(small_study, tmp_path, change, message):
    edit(small_study.predictions[DATASET][0], change)
    with pytest.raises(InputError, match=message) as refusal:
        evaluate(small_study, tmp_path / "out")
    assert TEST_SCAN in str(refusal.value)
    assert not list((tmp_path / "out").rglob("*.csv"))


def test_many_bad_scans_are_counted(small_study, tmp_path):
    edit(small_study.predictions[DATASET][0], lambda t: t[t["study_id"] == TEST_SCAN])
    with pytest.raises(InputError, match=r"lack test scans: .* and 14 more"):
        evaluate(small_study, tmp_path)


def test_missing_run_is_refused(small_study, tmp_path):
    edit(small_study.predictions[DATASET][0], lambda t: t[t["init"] != "video"])
    with pytest.raises(InputError, match="slow_narrow, video, 100 %, seed 0"):
        evaluate(small_study, tmp_path)


def test_run_in_two_tables_is_refused(small_study, tmp_path):
    small_study.predictions[DATASET].append(small_study.predictions[DATASET][0])
    with pytest.raises(InputError, match="in two tables"):
        evaluate(small_study, tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("model", "slow_naroww", "unknown model slow_naroww"),
        ("init", "vidoe", "unknown init vidoe"),
        ("dataset", "other", "unknown dataset other"),
    ],
)
def test_unknown_names_are_refused(small_study, tmp_path, column, value, message):
    edit(small_study.predictions[DATASET][0], lambda t: t.assign(**{column: value}))
    with pytest.raises(InputError, match=message):
        evaluate(small_study, tmp_path)


VALIDATION_SCAN = f"{DATASET}-0001-0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[t["study_id"] != VALIDATION_SCAN], "lack validation scans"),
        (lambda t: pd.concat([t, t[t["study_id"] == VALIDATION_SCAN]]), "repeat validation scans"),
        (
            lambda t: pd.concat(
                [t, t[t["study_id"] == VALIDATION_SCAN].assign(study_id=VALIDATION_SCAN + "x")]
            ),
            f"outside the validation set: {VALIDATION_SCAN}x",
        ),
        (
            lambda t: t.assign(label=t["label"].where(t["study_id"] != VALIDATION_SCAN, 1 - t["label"])),
            "labels that disagree with the splits",
        ),
        (lambda t: t[t["split"] == "test"], "lack validation scans"),
    ],
    ids=["missing", "repeated", "stray", "label", "all missing"],
)
def test_bad_validation_predictions_of_2d_models_are_refused_by_scan(small_study, tmp_path, change, message):
    edit(small_study.predictions[DATASET][1], change)
    with pytest.raises(InputError, match=message) as refusal:
        evaluate(small_study, tmp_path / "out")
    assert VALIDATION_SCAN in str(refusal.value)


def test_one_class_is_refused(small_study, tmp_path):
    edit(small_study.splits[DATASET], lambda t: t[(t["label"] == 0) | (t["split"] != "test")])
    with pytest.raises(InputError, match="do not hold both labels"):
        evaluate(small_study, tmp_path)


def test_splits_that_disagree_with_the_cohort_are_refused(small_study, tmp_path):
    edit(small_study.splits[DATASET], _flip)
    with pytest.raises(InputError, match=f"differ from the cohort: {TEST_SCAN}"):
        evaluate(small_study, tmp_path)
    edit(small_study.splits[DATASET], _flip)
    edit(small_study.cohorts[DATASET], lambda t: t[t["study_id"] != TEST_SCAN])
    with pytest.raises(InputError, match=f"does not use: {TEST_SCAN}"):
        evaluate(small_study, tmp_path)


def test_scan_in_two_test_sets_is_refused(small_study, tmp_path):
    edit(small_study.splits[DATASET], lambda t: pd.concat([t, t[t["study_id"] == TEST_SCAN].assign(fold=1)]))
    with pytest.raises(InputError, match=f"test set twice: {TEST_SCAN}"):
        evaluate(small_study, tmp_path)


def test_half_a_baseline_is_refused(small_study, tmp_path):
    cohort = read_table(small_study.cohorts[DATASET], "cohort")
    cohort["baseline"] = np.where(cohort["study_id"] == TEST_SCAN, np.nan, 1.0)
    write_table(cohort, small_study.cohorts[DATASET], "cohort")
    with pytest.raises(InputError, match=f"without a baseline score: {TEST_SCAN}"):
        evaluate(small_study, tmp_path)


def test_missing_training_subset_is_refused(small_study: StudyFiles, tmp_path):
    small_study.subsets[DATASET].clear()
    with pytest.raises(InputError, match="no training subset of 100 %, seed 0"):
        evaluate(small_study, tmp_path)


@pytest.mark.parametrize(("metrics", "message"), [(["auroc", "f1"], "f1"), (["auprc"], "auroc is not among")])
def test_metrics_that_cannot_be_had_are_refused(small_study, tmp_path, metrics, message):
    with pytest.raises(InputError, match=message):
        evaluate(small_study, tmp_path, metrics=metrics)
