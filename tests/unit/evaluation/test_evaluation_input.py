"""Predictions, splits and subsets that cannot be evaluated are refused, with the scans named."""

import numpy as np
import pandas as pd
import pytest
from evaluated import edit, evaluate
from synthetic_predictions import StudyFiles

from chestct.errors import InputError

DATASET = "lidc_phantom"
TEST, VALIDATION = f"{DATASET}-0005-0", f"{DATASET}-0001-0"


def path_of(files: StudyFiles, table: str):
    """Path of a table: predictions of the 3D or the 2D model, the splits, or the cohort."""
    predictions = dict(zip(("3d", "2d"), files.predictions[DATASET], strict=True))
    return (predictions | {"splits": files.splits[DATASET], "cohort": files.cohorts[DATASET]})[table]


def put(scan: str, column: str, value):
    """A change of a scan's value in a column."""
    return lambda t: t.assign(**{column: t[column].astype(object).where(t["study_id"] != scan, value)})


def flip(scan: str):
    """A change of a scan's label."""
    return lambda t: t.assign(label=t["label"].where(t["study_id"] != scan, 1 - t["label"]))


def add(scan: str, **values):
    """A repetition of a scan's rows, with other values in some columns."""
    return lambda t: pd.concat([t, t[t["study_id"] == scan].assign(**values)])


def fill_baseline(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(baseline=np.where(table["study_id"] == TEST, np.nan, 1.0))


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("3d", lambda t: t[(t["study_id"] != TEST) | (t["init"] != "video")], f"lack test scans: {TEST}"),
        ("3d", lambda t: t[t["study_id"] == TEST], "lack test scans: .* and 14 more"),
        ("3d", add(TEST), f"repeat test scans: {TEST}"),
        ("3d", lambda t: pd.concat([t, t[t["init"] == "video"]]), f"repeat test scans: {TEST}"),
        ("3d", add(TEST, study_id=f"{TEST}-stray"), f"outside the test set: {TEST}-stray"),
        ("3d", flip(TEST), f"disagree with the cohort: {TEST}"),
        ("3d", put(TEST, "fold", 1), f"another fold than the split's: {TEST}"),
        ("3d", put(TEST, "score", np.nan), f"without a score: scans {TEST}"),
        ("3d", put(TEST, "score", "nan?"), f"without a score: scans {TEST}"),
        ("3d", put(TEST, "score", 1.5), f"outside 0 to 1: scans {TEST}"),
        ("3d", put(TEST, "score", -0.01), f"outside 0 to 1: scans {TEST}"),
        ("3d", put(TEST, "score", np.inf), f"outside 0 to 1: scans {TEST}"),
        ("3d", lambda t: t[t["init"] != "video"], "slow_narrow, video, 100 %, seed 0"),
        ("3d", lambda t: t.assign(model="slow_naroww"), "unknown model slow_naroww"),
        ("3d", lambda t: t.assign(init="vidoe"), "unknown init vidoe"),
        ("3d", lambda t: t.assign(dataset="other"), "unknown dataset other"),
        ("3d", lambda t: t[t["study_id"] != VALIDATION], f"lack validation scans: {VALIDATION}"),
        ("3d", lambda t: t[t["split"] == "test"], f"lack validation scans: {VALIDATION}"),
        ("3d", add(VALIDATION), f"repeat validation scans: {VALIDATION}"),
        ("3d", flip(VALIDATION), f"labels that disagree with the splits: {VALIDATION}"),
        ("2d", lambda t: t[t["study_id"] != VALIDATION], f"lack validation scans: {VALIDATION}"),
        ("2d", lambda t: t[t["split"] == "test"], f"lack validation scans: {VALIDATION}"),
        ("2d", add(VALIDATION), f"repeat validation scans: {VALIDATION}"),
        ("2d", add(VALIDATION, study_id=f"{VALIDATION}x"), f"outside the validation set: {VALIDATION}x"),
        ("2d", flip(VALIDATION), f"labels that disagree with the splits: {VALIDATION}"),
        ("splits", lambda t: t[(t["label"] == 0) | (t["split"] != "test")], "do not hold both labels"),
        ("splits", flip(TEST), f"differ from the cohort: {TEST}"),
        ("splits", add(TEST, fold=1), f"test set twice: {TEST}"),
        ("cohort", lambda t: t[t["study_id"] != TEST], f"does not use: {TEST}"),
        ("cohort", fill_baseline, f"without a baseline score: {TEST}"),
    ],
)
def test_bad_tables_are_refused_by_scan(small_study, tmp_path, table, change, message):
    edit(path_of(small_study, table), change)
    with pytest.raises(InputError, match=message):
        evaluate(small_study, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.csv"))


def test_run_in_two_tables_is_refused(small_study, tmp_path):
    small_study.predictions[DATASET].append(small_study.predictions[DATASET][0])
    with pytest.raises(InputError, match="in two tables"):
        evaluate(small_study, tmp_path)


def test_missing_training_subset_is_refused(small_study, tmp_path):
    small_study.subsets[DATASET].clear()
    with pytest.raises(InputError, match="no training subset of 100 %, seed 0"):
        evaluate(small_study, tmp_path)


@pytest.mark.parametrize(("metrics", "message"), [(["auroc", "f1"], "f1"), (["auprc"], "auroc is not among")])
def test_unusable_metrics_are_refused(small_study, tmp_path, metrics, message):
    with pytest.raises(InputError, match=message):
        evaluate(small_study, tmp_path, metrics=metrics)
