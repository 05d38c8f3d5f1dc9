"""The evaluation of a study, from tables to tables."""

import shutil
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from evaluated import SEVEN, edit, evaluate, evaluate_alone, one_row
from scipy import stats
from scipy.special import logit
from sklearn.metrics import roc_auc_score
from synthetic_predictions import StudyFiles, write_study

from chestct.evaluation.dataset import TABLES
from chestct.evaluation.holm import holm
from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.validity.dataset import VALIDITY_TABLES
from chestct.no_interval import NO_INTERVAL
from chestct.simple_rivals import FITTED
from chestct.simple_rivals import TITLES as SIMPLE
from chestct.tables import read_table


def study_of(folder, models, inits=("scratch", "video"), **options) -> StudyFiles:
    """A study of one dataset, with 40 patients unless its options say otherwise, at one percentage."""
    return write_study(folder, {"lidc": {"num_patients": 40} | options}, models, inits, [100])


def test_metrics_have_every_run_with_its_value_inside_its_interval(evaluated_small_study):
    small_study, tables = evaluated_small_study.files, evaluated_small_study.tables
    metrics = tables["metrics"]
    arms = {("slow_narrow", "scratch"), ("slow_narrow", "video")}
    arms |= {("efficientnet_lite0", "scratch"), ("efficientnet_lite0", "imagenet")}
    arms |= {("metadata", "none"), ("slice_count", "none")}
    assert set(zip(metrics["model"], metrics["init"], metrics["metric"], strict=True)) == {
        (*arm, metric) for arm, metric in product(arms, ("auroc", "auprc"))
    }
    low, high = metrics["patients_low"], metrics["patients_high"]
    assert ((low <= metrics["value"]) & (metrics["value"] <= high)).all()
    assert (metrics["num_scans"] == 20).all() and (metrics["num_positive"] == 8).all()
    test = read_table(small_study.predictions["lidc_phantom"][0], "predictions").query(
        "split == 'test' and init == 'video'"
    )
    value = one_row(metrics, model="slow_narrow", init="video", metric="auroc")["value"]
    assert value == pytest.approx(roc_auc_score(test["label"].astype(int), test["score"]), abs=1e-12)


def test_validation_scores_count_in_no_metric_of_the_test_scans_alone(
    evaluated_small_study, small_study, tmp_path
):
    before = evaluated_small_study.tables["metrics"]

    def turn_round(table):
        table["score"] = table["score"].where(table["split"] == "test", 1 - table["score"])

    edit(small_study.predictions["lidc_phantom"][0], turn_round)
    pd.testing.assert_frame_equal(before, evaluate_alone(small_study, tmp_path / "b")["metrics"])


def test_identical_predictions_differ_by_exactly_nothing(small_study, tmp_path):
    def copy_scores(table):
        scratch = table.loc[table["init"] == "scratch", "score"].to_numpy()
        table.loc[table["init"] == "video", "score"] = scratch

    edit(small_study.predictions["lidc_phantom"][0], copy_scores)
    comparisons = evaluate_alone(small_study, tmp_path)["comparisons"]
    row = one_row(comparisons, contrast="video - scratch", metric="auroc")
    assert (row["difference"], row["patients_low"], row["patients_high"], row["patients_p"]) == (0, 0, 0, 1)
    assert np.isnan(row["ci_low"])  # one training run


def test_comparison_is_the_difference_of_the_metrics_and_narrower_than_unpaired(evaluated_small_study):
    tables = evaluated_small_study.tables
    row = one_row(tables["comparisons"], contrast="video - best_2d", model="slow_narrow", metric="auroc")
    video = one_row(tables["metrics"], model="slow_narrow", init="video", metric="auroc")
    rival = one_row(tables["metrics"], model="efficientnet_lite0", init="imagenet", metric="auroc")
    assert row["difference"] == pytest.approx(video["value"] - rival["value"], abs=1e-12)
    assert row["patients_low"] <= row["difference"] <= row["patients_high"]
    apart = [run["patients_high"] - run["patients_low"] for run in (video, rival)]
    assert row["patients_high"] - row["patients_low"] < sum(apart)


def test_mean_of_seven(full_study):
    tables = full_study.tables
    seven = tables["metrics"].query("model in @SEVEN and metric == 'auroc' and percent == 10")
    mean = seven.groupby("init")["value"].mean()
    means = tables["means"].query("metric == 'auroc' and percent == 10")
    for init in ("scratch", "video"):
        row = one_row(means, model="mean_of_seven", init=init)
        assert row["value"] == pytest.approx(mean[init], abs=1e-12)
        assert (row["num_models"], row["num_seeds"]) == (7, 2)
    comparisons = tables["comparisons"].query("model == 'mean_of_seven' and metric == 'auroc'")
    assert set(comparisons["contrast"]) == {
        "video - scratch",
        "video - best_2d",
        *(f"{init} - {rival}" for init in ("scratch", "video") for rival in SIMPLE),
    }
    row = one_row(comparisons, contrast="video - scratch", percent=10)
    assert row["difference"] == pytest.approx(mean["video"] - mean["scratch"], abs=1e-12)
    assert not (tables["means"]["init"] == "video_ct").any()


def test_the_first_interval_holds_training_and_models(full_study):
    for name in ("means", "comparisons"):
        table = full_study.tables[name].query("metric == 'auroc' and model != 'baseline'")
        single = table["num_models"] == 1
        assert (
            table.loc[single, "share_models"].isna().all()
            and table.loc[~single, "share_models"].notna().all()
        )
        shares = table[["share_patients", "share_training", "share_models"]]
        assert np.allclose(shares.sum(axis=1), 1) and (table["num_runs"] == 2).all()
        assert table[["ci_low", "ci_high", "standard_error", "degrees_of_freedom"]].notna().all(axis=None)
        wide, narrow = (table[f"{ends}_high"] - table[f"{ends}_low"] for ends in ("ci", "patients"))
        assert (wide > 0.6 * narrow).all() and wide.mean() > narrow.mean()
    baseline = full_study.tables["means"].query("metric == 'auroc' and model == 'baseline'").iloc[0]
    assert baseline["share_patients"] == 1  # no training is behind it


def test_seeds_are_pooled_and_their_spread_is_shown_apart(full_study):
    metrics = full_study.tables["metrics"].query("metric == 'auroc' and percent == 100")
    by_seed = metrics.query("model == 'csn_narrow'").set_index(["init", "seed"])["value"]
    row = one_row(full_study.tables["means"], model="csn_narrow", init="video", percent=100, metric="auroc")
    assert row["value"] == pytest.approx(by_seed["video"].mean(), abs=1e-12)
    assert row["seed_sd"] == pytest.approx(by_seed["video"].std(), abs=1e-12)
    contrast = full_study.tables["comparisons"].query("contrast == 'video - scratch' and metric == 'auroc'")
    row = one_row(contrast, model="csn_narrow", percent=100)
    assert row["seed_sd"] == pytest.approx((by_seed["video"] - by_seed["scratch"]).std(), abs=1e-12)
    seven = metrics[metrics["model"].isin(SEVEN)].groupby(["init", "seed"])["value"].mean()
    row = one_row(contrast, model="mean_of_seven", percent=100)
    assert row["seed_sd"] == pytest.approx((seven["video"] - seven["scratch"]).std(), abs=1e-12)


def test_one_training_run_has_no_spread_and_no_verdict(evaluated_small_study):
    tables = evaluated_small_study.tables
    assert tables["means"]["seed_sd"].isna().all() and tables["comparisons"]["seed_sd"].isna().all()
    assert tables["comparisons"][["ci_low", "p_value", "p_holm"]].isna().all(axis=None)
    assert tables["comparisons"][["patients_low", "patients_p"]].notna().all(axis=None)
    assert tables["claims"]["verdict"][0] == "not_decidable"
    assert len(tables["same_arm"]) == 0


def test_seeds_of_one_arm_are_contrasted(full_study):
    table = full_study.tables["same_arm"]
    assert set(table["seeds"]) == {"0 - 1"} and not (table["model"] == "baseline").any()
    metrics = full_study.tables["metrics"].query("metric == 'auroc' and percent == 100 and init == 'video'")
    by_seed = metrics[metrics["model"].isin(SEVEN)].groupby("seed")["value"].mean()
    row = one_row(table, model="mean_of_seven", init="video", percent=100)
    assert row["difference"] == pytest.approx(by_seed[0] - by_seed[1], abs=1e-12)
    means = table["num_models"] > 1
    assert table.loc[means, "p_value"].notna().all()
    # Two runs of a single model cannot tell how much training varies.
    assert table.loc[~means, "p_value"].isna().all() and table["patients_p"].notna().all()


def test_means_count_training_patients(full_study):
    means = full_study.tables["means"]
    assert means.loc[means["model"] == "baseline", "num_patients"].isna().all()
    counts = means[means["model"] != "baseline"].groupby("percent")["num_patients"].unique()
    assert {percent: list(values) for percent, values in counts.items()} == {10: [2.0], 100: [18.0]}


def test_p_values_are_adjusted_within_their_family(full_study):
    table = full_study.tables["comparisons"]
    family = table[table["family"] == "lidc_phantom / auroc / video - scratch / models"]
    assert len(family) == 18  # nine 3D arms, frozen probe among them, at two percents
    assert set(family["model"]) == {*SEVEN, "x3d_narrow", "slow_narrow_probe"}
    assert family["p_holm"].to_numpy() == pytest.approx(holm(family["p_value"].to_numpy()))
    assert len(table[table["family"] == "lidc_phantom / auroc / video - scratch / mean"]) == 2


def test_probes_are_compared_with_the_model_that_they_probe(full_study):
    table = full_study.tables["comparisons"].query("metric == 'auroc' and percent == 100")
    rows = table[table["contrast"].str.endswith("_probe")]
    assert set(zip(rows["model"], rows["contrast"], strict=True)) == {
        ("slow_narrow", "scratch - scratch_probe"),
        ("slow_narrow", "video - video_probe"),
    }
    means = full_study.tables["means"].query("metric == 'auroc' and percent == 100 and init == 'video'")
    tuned, probe = (one_row(means, model=f"slow_narrow{part}")["value"] for part in ("", "_probe"))
    row = one_row(rows, contrast="video - video_probe")
    assert row["difference"] == pytest.approx(tuned - probe, abs=1e-12)


def test_delong_is_given_for_auroc_and_near_the_bootstrap(full_study):
    table = full_study.tables["comparisons"]
    auroc = table[table["metric"] == "auroc"]
    assert table.loc[table["metric"] != "auroc", "delong_p"].isna().all()
    assert auroc["delong_p"].notna().all()
    ratio = (auroc["delong_high"] - auroc["delong_low"]) / (auroc["patients_high"] - auroc["patients_low"])
    assert ratio.median() == pytest.approx(1, abs=0.15)
    assert ((auroc["delong_p"] < 0.05) == (auroc["patients_p"] < 0.05)).mean() > 0.9


def test_agreement_of_delong_and_bootstrap_is_logged(small_study, tmp_path, caplog):
    with caplog.at_level("INFO"):
        table = evaluate_alone(small_study, tmp_path)["comparisons"].query("metric == 'auroc'")
    agree = ((table["patients_p"] < 0.05) == (table["delong_p"] < 0.05)).sum()
    assert f"agree at p < 0.05 in {agree} of {len(table)} comparisons of AUROC" in caplog.text


def with_2d_models(files: StudyFiles, folder, change) -> StudyFiles:
    """The study with changed predictions of its two 2D models."""
    paths = list(files.predictions["lidc_phantom"])
    for number, path in enumerate(paths):
        if path.parent.name in ("efficientnet_lite0", "lrcn_efficientnet_lite0"):
            paths[number] = folder / f"{path.parent.name}.csv"
            shutil.copy(path, paths[number])
            edit(paths[number], change)
    return replace(files, predictions={"lidc_phantom": paths})


def test_best_2d_model_is_chosen_on_validation_alone(full_study, tmp_path):
    """Scores of test scans that would make the other model the better one change no choice."""
    rivals = full_study.tables["comparisons"].query("contrast == 'video - best_2d'")
    chosen = rivals.groupby("percent")["rival"].unique()

    def make_the_choice_the_worst(table):
        for percent, (rival,) in chosen.items():
            of_test = (table["split"] == "test") & (table["percent"] == percent)
            worst = table["label"] if table["model"].iloc[0] != rival else 1 - table["label"]
            table.loc[of_test, "score"] = worst[of_test] * 0.8 + 0.1

    files = with_2d_models(full_study.files, tmp_path, make_the_choice_the_worst)
    again = evaluate_alone(files, tmp_path / "out")
    again = again["comparisons"].query("contrast == 'video - best_2d'")
    assert again.groupby("percent")["rival"].unique().map(list).to_dict() == chosen.map(list).to_dict()
    # The test scores did change: the chosen model is now the worst possible there.
    assert (again.query("metric == 'auroc'")["difference"] > 0.5).all()


def test_better_validation_scores_change_the_choice(full_study, tmp_path):
    def make_perfect(table):
        of_validation = (table["split"] == "validation") & (table["model"] == "lrcn_efficientnet_lite0")
        table.loc[of_validation, "score"] = table.loc[of_validation, "label"] * 0.8 + 0.1

    files = with_2d_models(full_study.files, tmp_path, make_perfect)
    again = evaluate_alone(files, tmp_path / "out")["comparisons"]
    assert set(again["rival"].dropna()) == {"lrcn_efficientnet_lite0", *FITTED}


def test_a_baseline_that_is_no_probability_has_no_brier_score(full_study, tmp_path):
    tables = evaluate_alone(
        full_study.files, tmp_path, metrics=["auroc", "brier", "calibration_error"], num_resamples=100
    )
    assert set(tables["metrics"].query("model == 'baseline'")["metric"]) == {"auroc"}
    assert tables["metrics"].query("model == 'csn_narrow'")["metric"].nunique() == 3


def test_mean_of_fewer_models_says_how_many(tmp_path):
    tables = evaluate_alone(study_of(tmp_path, [*SEVEN[:3], "i3d"]), tmp_path)
    assert "mean_of_3" in set(tables["comparisons"]["model"]) & set(tables["means"]["model"])
    assert "mean_of_seven" not in set(tables["comparisons"]["model"])


def test_without_the_seven_the_means_are_over_the_studys_own_3d_models(tmp_path):
    """Over those that may start from video: the claims are about nothing else."""
    files = study_of(tmp_path, ["i3d", "x3d_narrow", "i3d_probe", "efficientnet_lite0"])
    tables = evaluate_alone(files, tmp_path)
    means = tables["means"].query("metric == 'auroc'")
    row = one_row(means, model="mean_of_2_3d", init="video")
    values = [one_row(means, model=name, init="video")["value"] for name in ("i3d", "x3d_narrow")]
    assert row["value"] == pytest.approx(np.mean(values)) and row["num_models"] == 2
    assert "mean_of_2_3d" in set(tables["comparisons"].query("contrast == 'video - scratch'")["model"])


def test_metrics_are_means_over_folds_and_the_baseline_enters(tmp_path):
    files = study_of(tmp_path, ["i3d"], num_patients=50, folds=5, baseline=True)
    tables = evaluate(files, tmp_path)
    assert (tables["metrics"]["num_scans"] == 50).all()
    cohort = read_table(files.cohorts["lidc"], "cohort").query("status == 'used'")
    splits = read_table(files.splits["lidc"], "splits").query("split == 'test'")
    row = one_row(tables["metrics"], model="baseline", metric="auroc")
    assert (row["init"], row["percent"], row["seed"]) == ("none", 100, 0)
    cohort = cohort.merge(splits[["study_id", "fold"]], on="study_id")
    by_fold = [
        roc_auc_score(part["label"].astype(int), part["baseline"]) for _, part in cohort.groupby("fold")
    ]
    assert len(by_fold) == 5 and row["value"] == pytest.approx(np.mean(by_fold))
    contrasts = {f"{init} - {rival}" for init in ("scratch", "video") for rival in SIMPLE}
    contrasts.add("video - scratch")
    assert set(tables["comparisons"]["contrast"]) == contrasts


def test_patients_with_several_scans(tmp_path):
    files = study_of(tmp_path, ["i3d"], scans_a_patient=3)
    assert (evaluate(files, tmp_path)["metrics"]["num_scans"] == 60).all()


def test_numbers_follow_the_seed_and_no_other_dataset(tmp_path):
    datasets = {"one": {"num_patients": 40}, "two": {"num_patients": 40}}
    both = write_study(tmp_path, datasets, ["i3d"], ["scratch", "video"], [100])
    first = StudyFiles(both.models, *({"one": part["one"]} for part in list(vars(both).values())[1:]))
    together = evaluate(both, tmp_path / "a")
    alone = evaluate(first, tmp_path / "b")
    other = evaluate(first, tmp_path / "d", seed=1)
    for name in (*TABLES, *VALIDITY_TABLES):
        table = together[name]
        mine = table[table["dataset"] == "one"].reset_index(drop=True)
        assert len(mine) or name in ("multipliers", "same_arm")  # which need two percentages, two seeds
        pd.testing.assert_frame_equal(mine, alone[name])
    for name, column in (("metrics", "patients_low"), ("coverage", "mean_width"), ("power", "power")):
        assert not np.array_equal(alone[name][column], other[name][column])
    assert np.array_equal(alone["metrics"]["value"], other["metrics"]["value"])


def test_one_arm_is_compared_with_simple_rivals_alone(tmp_path):
    tables = evaluate(study_of(tmp_path, ["i3d"], ["scratch"]), tmp_path)
    assert tables["comparisons"]["contrast"].tolist() == ["scratch - slice_count", "scratch - metadata"]
    assert tables["multipliers"].empty
    assert set(tables["claims"]["verdict"]) == {"not_tested"}


def test_intervals_are_printed_where_they_hold(small_study, tmp_path):
    """Docs/statistics.md, Validity: the calibration error has none, and some metrics no BCa interval."""
    tables = evaluate_alone(small_study, tmp_path, metrics=list(METRICS))
    ends = ["patients_low", "patients_high"]
    for name, value in (("metrics", "value"), ("means", "value"), ("comparisons", "difference")):
        for metric, rows in tables[name].groupby("metric"):
            printed = metric not in NO_INTERVAL
            assert rows[value].notna().all()
            assert (rows[ends].notna() == printed).all(axis=None)
            has_bca = METRICS[metric].bca and printed
            assert (rows[["bca_low", "bca_high"]].notna() == has_bca).all(axis=None)
            if name == "comparisons":
                assert (rows["patients_p"].notna() == printed).all()
            elif printed:
                assert ((rows[ends[0]] <= rows[value]) & (rows[value] <= rows[ends[1]])).all()
            if name != "comparisons" and METRICS[metric].share and printed:
                assert (rows[ends] >= 0).all(axis=None) and (rows[ends] <= 1).all(axis=None)
    comparisons = tables["comparisons"]
    untested = comparisons["metric"].isin(NO_INTERVAL)
    assert comparisons.loc[untested, ["p_value", "p_holm"]].isna().all(axis=None)


def test_interval_over_patients_is_students_on_the_resamples(full_study):
    """On the scale of log odds for an arm, on its own scale for a difference."""
    for name, value in (("means", "value"), ("comparisons", "difference")):
        rows = full_study.tables[name].query("metric == 'auroc'")
        low, middle, high = (rows[column].to_numpy() for column in ("patients_low", value, "patients_high"))
        if name == "means":
            low, middle, high = logit(low), logit(middle), logit(high)
        np.testing.assert_allclose(low + high, 2 * middle, rtol=0, atol=1e-9)
    # Twelve patients with a positive scan: eleven degrees of freedom.
    error = (rows["patients_high"] - rows["difference"]) / stats.t.ppf(0.975, 11)
    np.testing.assert_allclose(rows["patients_p"], 2 * stats.t.sf(abs(rows["difference"] / error), 11))
