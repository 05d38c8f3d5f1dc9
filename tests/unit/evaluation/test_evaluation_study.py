"""The evaluation of a study, from tables to tables."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from synthetic_predictions import StudyFiles, write_study

from chestct.errors import InputError
from chestct.evaluation.study import evaluate
from chestct.tables import read_table, write_table

SEVEN = [f"{m}_narrow" for m in ("slow", "slowfast", "r2plus1d", "csn", "mvit", "swin", "penet")]


def run(files: StudyFiles, folder: Path, **options) -> dict[str, pd.DataFrame]:
    settings = {"metrics": ["auroc", "auprc"], "num_resamples": 300, "confidence": 0.95, "seed": 0}
    names = ("metrics", "comparisons", "means")
    evaluate(
        predictions=files.predictions,
        cohorts=files.cohorts,
        splits=files.splits,
        runs=files.runs,
        **{f"{name}_path": folder / f"{name}.csv" for name in names},
        **{**settings, **options},
    )
    return {name: read_table(folder / f"{name}.csv", name) for name in names}


def edit(path: Path, name: str, change) -> None:
    raw = pd.read_csv(path)
    changed = change(raw)
    (raw if changed is None else changed).to_csv(path, index=False)


def one_row(table: pd.DataFrame, **where) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_metrics_have_every_run_with_its_value_inside_its_interval(small_study, tmp_path):
    tables = run(small_study, tmp_path)
    metrics = tables["metrics"]
    arms = {("slow_narrow", "scratch"), ("slow_narrow", "video")}
    arms |= {("efficientnet_lite0", "scratch"), ("efficientnet_lite0", "imagenet")}
    assert set(zip(metrics["model"], metrics["init"], metrics["metric"], strict=True)) == {
        (*arm, metric) for arm, metric in product(arms, ("auroc", "auprc"))
    }
    assert ((metrics["ci_low"] <= metrics["value"]) & (metrics["value"] <= metrics["ci_high"])).all()
    assert (metrics["num_scans"] == 20).all() and (metrics["num_positive"] == 8).all()
    test = read_table(small_study.predictions[0], "predictions").query("split == 'test' and init == 'video'")
    value = one_row(metrics, model="slow_narrow", init="video", metric="auroc")["value"]
    assert value == pytest.approx(roc_auc_score(test["label"].astype(int), test["score"]), abs=1e-12)


def test_validation_rows_do_not_count(small_study, tmp_path):
    before = run(small_study, tmp_path / "a")["metrics"]
    edit(small_study.predictions[0], "predictions", lambda t: t[t["split"] == "test"])
    pd.testing.assert_frame_equal(before, run(small_study, tmp_path / "b")["metrics"])


def test_identical_predictions_differ_by_exactly_nothing(small_study, tmp_path):
    def copy_scores(table):
        scratch = table.loc[table["init"] == "scratch", "score"].to_numpy()
        table.loc[table["init"] == "video", "score"] = scratch

    edit(small_study.predictions[0], "predictions", copy_scores)
    row = one_row(run(small_study, tmp_path)["comparisons"], contrast="video - scratch", metric="auroc")
    assert (row["difference"], row["ci_low"], row["ci_high"], row["p_value"]) == (0, 0, 0, 1)


def test_comparison_is_the_difference_of_the_metrics_and_narrower_than_unpaired(small_study, tmp_path):
    tables = run(small_study, tmp_path)
    row = one_row(
        tables["comparisons"],
        contrast="video - efficientnet_lite0:imagenet",
        model="slow_narrow",
        metric="auroc",
    )
    video = one_row(tables["metrics"], model="slow_narrow", init="video", metric="auroc")
    rival = one_row(tables["metrics"], model="efficientnet_lite0", init="imagenet", metric="auroc")
    assert row["difference"] == pytest.approx(video["value"] - rival["value"], abs=1e-12)
    assert row["ci_low"] <= row["difference"] <= row["ci_high"]
    assert row["ci_high"] - row["ci_low"] < (video["ci_high"] - rival["ci_low"]) - (
        video["ci_low"] - rival["ci_high"]
    )


def test_mean_of_seven(tmp_path):
    files = write_study(
        tmp_path,
        {"lidc_phantom": {"num_patients": 60}},
        [*SEVEN, "x3d_narrow", "efficientnet_lite0"],
        ["scratch", "video", "imagenet"],
        [10, 100],
        seeds=(0, 1),
    )
    tables = run(files, tmp_path)
    seven = tables["metrics"].query("model in @SEVEN and metric == 'auroc' and percent == 10")
    mean = seven.groupby("init")["value"].mean()
    means = tables["means"].query("metric == 'auroc' and percent == 10")
    for init in ("scratch", "video"):
        row = one_row(means, model="mean_of_seven", init=init)
        assert row["value"] == pytest.approx(mean[init], abs=1e-12)
        assert (row["num_models"], row["num_seeds"]) == (7, 2)
    comparisons = tables["comparisons"].query("model == 'mean_of_seven' and metric == 'auroc'")
    assert set(comparisons["contrast"]) == {"video - scratch", "video - efficientnet_lite0:imagenet"}
    row = one_row(comparisons, contrast="video - scratch", percent=10)
    assert row["difference"] == pytest.approx(mean["video"] - mean["scratch"], abs=1e-12)
    assert not (tables["means"]["init"] == "video_ct").any()


def test_mean_of_fewer_models_says_how_many(tmp_path):
    files = write_study(
        tmp_path, {"lidc_phantom": {"num_patients": 40}}, [*SEVEN[:3], "i3d"], ["scratch", "video"], [100]
    )
    tables = run(files, tmp_path)
    assert "mean_of_3" in set(tables["comparisons"]["model"]) & set(tables["means"]["model"])
    assert "mean_of_seven" not in set(tables["comparisons"]["model"])


def test_folds_are_pooled_and_the_baseline_enters(tmp_path):
    files = write_study(
        tmp_path,
        {"nodules": {"num_patients": 50, "folds": 5, "baseline": True}},
        ["i3d"],
        ["scratch", "video"],
        [100],
    )
    tables = run(files, tmp_path)
    assert (tables["metrics"]["num_scans"] == 50).all()
    cohort = read_table(files.cohorts[0], "cohort").query("status == 'used'")
    row = one_row(tables["metrics"], model="baseline", metric="auroc")
    assert (row["init"], row["percent"], row["seed"]) == ("none", 100, 0)
    assert row["value"] == pytest.approx(roc_auc_score(cohort["label"].astype(int), cohort["baseline"]))
    contrasts = {"video - scratch", "scratch - baseline", "video - baseline"}
    assert set(tables["comparisons"]["contrast"]) == contrasts


def test_patients_with_several_scans(tmp_path):
    files = write_study(
        tmp_path, {"lidc": {"num_patients": 40, "scans_a_patient": 3}}, ["i3d"], ["scratch", "video"], [100]
    )
    assert (run(files, tmp_path)["metrics"]["num_scans"] == 60).all()


def test_numbers_follow_the_seed_and_no_other_dataset(tmp_path):
    datasets = {"one": {"num_patients": 40}, "two": {"num_patients": 40}}
    both = write_study(tmp_path, datasets, ["i3d"], ["scratch", "video"], [100])
    first = StudyFiles(
        both.predictions[:1], both.cohorts[:1], both.splits[:1], [r for r in both.runs if r[0] == "one"]
    )
    together = run(both, tmp_path / "a")
    alone = run(first, tmp_path / "b")
    again = run(first, tmp_path / "c")
    other = run(first, tmp_path / "d", seed=1)
    for name, table in together.items():
        mine = table[table["dataset"] == "one"].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone[name])
        pd.testing.assert_frame_equal(alone[name], again[name])
    assert not np.array_equal(alone["metrics"]["ci_low"], other["metrics"]["ci_low"])
    assert np.array_equal(alone["metrics"]["value"], other["metrics"]["value"])


def test_one_arm_leaves_an_empty_table_of_comparisons(tmp_path):
    files = write_study(tmp_path, {"lidc": {"num_patients": 40}}, ["i3d"], ["scratch"], [100])
    assert len(run(files, tmp_path)["comparisons"]) == 0


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
    ],
)
def test_bad_predictions_are_refused_by_scan(small_study, tmp_path, change, message):
    edit(small_study.predictions[0], "predictions", change)
    with pytest.raises(InputError, match=message) as refusal:
        run(small_study, tmp_path / "out")
    assert TEST_SCAN in str(refusal.value)
    assert not list((tmp_path / "out").glob("*.csv"))


def test_many_bad_scans_are_counted(small_study, tmp_path):
    edit(small_study.predictions[0], "predictions", lambda t: t[t["split"] != "test"].assign(split="test"))
    with pytest.raises(InputError, match="and 15 more"):
        run(small_study, tmp_path)


def test_missing_run_is_refused(small_study, tmp_path):
    edit(small_study.predictions[0], "predictions", lambda t: t[t["init"] != "video"])
    with pytest.raises(InputError, match="slow_narrow, video, 100 %, seed 0"):
        run(small_study, tmp_path)


def test_run_in_two_tables_is_refused(small_study, tmp_path):
    small_study.predictions.append(small_study.predictions[0])
    with pytest.raises(InputError, match="in two tables"):
        run(small_study, tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("model", "slow_naroww", "unknown model slow_naroww"),
        ("init", "vidoe", "unknown init vidoe"),
        ("dataset", "other", "dataset other"),
    ],
)
def test_unknown_names_are_refused(small_study, tmp_path, column, value, message):
    edit(small_study.predictions[0], "predictions", lambda t: t.assign(**{column: value}))
    with pytest.raises(InputError, match=message):
        run(small_study, tmp_path)


def test_one_class_is_refused(small_study, tmp_path):
    edit(small_study.splits[0], "splits", lambda t: t[(t["label"] == 0) | (t["split"] != "test")])
    with pytest.raises(InputError, match="do not hold both labels"):
        run(small_study, tmp_path)


def test_splits_that_disagree_with_the_cohort_are_refused(small_study, tmp_path):
    edit(small_study.splits[0], "splits", _flip)
    with pytest.raises(InputError, match=f"differ from the cohort: {TEST_SCAN}"):
        run(small_study, tmp_path)
    edit(small_study.splits[0], "splits", _flip)
    edit(small_study.cohorts[0], "cohort", lambda t: t[t["study_id"] != TEST_SCAN])
    with pytest.raises(InputError, match=f"does not use: {TEST_SCAN}"):
        run(small_study, tmp_path)


def test_scan_in_two_test_sets_is_refused(small_study, tmp_path):
    edit(
        small_study.splits[0],
        "splits",
        lambda t: pd.concat([t, t[t["study_id"] == TEST_SCAN].assign(fold=1)]),
    )
    with pytest.raises(InputError, match=f"test set twice: {TEST_SCAN}"):
        run(small_study, tmp_path)


def test_half_a_baseline_is_refused(small_study, tmp_path):
    cohort = read_table(small_study.cohorts[0], "cohort")
    cohort["baseline"] = np.where(cohort["study_id"] == TEST_SCAN, np.nan, 1.0)
    write_table(cohort, small_study.cohorts[0], "cohort")
    with pytest.raises(InputError, match=f"without a baseline score: {TEST_SCAN}"):
        run(small_study, tmp_path)


def test_unknown_metric_is_refused(small_study, tmp_path):
    with pytest.raises(InputError, match="f1"):
        run(small_study, tmp_path, metrics=["f1"])


def test_evaluation_imports_without_the_other_steps_libraries():
    program = (
        "import sys\n"
        "for name in ('torch', 'pydicom', 'SimpleITK', 'h5py', 'matplotlib', 'scipy', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "import chestct.evaluation.study\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
