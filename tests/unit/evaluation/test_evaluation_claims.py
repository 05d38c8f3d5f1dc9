"""The paper's claims, label efficiency, curves and calibration."""

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
from evaluated import SEVEN, evaluate, one_row
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import precision_recall_curve, roc_curve
from synthetic_predictions import write_study

from chestct.claimed_models import claimed_models
from chestct.evaluation.claims import CLAIMS, Cell, DatasetDraws, claims_table
from chestct.evaluation.contrasts import ArmKey, Quantity, list_means
from chestct.evaluation.curves import GRID, run_curves
from chestct.evaluation.inference import Inference, infer
from chestct.evaluation.label_efficiency import (
    monotone,
    multiplier_rows,
    patients_needed,
    training_noise,
)
from chestct.evaluation.resampling import bootstrap_counts, draw_resamples, named_rng
from chestct.tables import read_table


def cell(
    claim: str,
    value: float,
    *,
    noise: float = 0.004,
    percent: int = 100,
    num_models: int = 4,
    num_runs: int = 3,
    models: range | None = None,
) -> Cell:
    """A cell whose value is known, and whose models, runs and patients vary around it by ``noise``."""
    chosen = models or range(num_models)
    parts = tuple((ArmKey(f"m{i}", "video", percent), ArmKey(f"m{i}", "scratch", percent)) for i in chosen)
    quantity = Quantity(model="mean", label="x", percent=percent, parts=parts, is_mean=len(parts) > 1)
    rng = named_rng(0, claim, str(percent))
    values = noise * rng.normal(size=(max(chosen) + 1, num_runs, 1))[list(chosen)]
    values += value - values.mean()
    patients = noise * rng.normal(size=(1, 1, 999))
    values = np.concatenate([values, values + patients - patients.mean()], axis=2)
    return Cell(claim=claim, quantity=quantity, seeds=list(range(num_runs)), values=values)


def dataset(name: str, *cells: Cell) -> DatasetDraws:
    patients = np.arange(2000)
    return DatasetDraws(
        dataset=name,
        patients=patients,
        labels=patients % 2,
        folds=np.zeros_like(patients),
        cells=list(cells),
        scores={},
    )


def judge(*datasets: DatasetDraws, margin: float = 0.02) -> pd.DataFrame:
    return claims_table(datasets, 0.95, margin)


def test_verdicts_follow_sign_and_adjusted_p():
    cells = [
        cell("video_vs_scratch", 0.1),
        cell("video_vs_scratch_long", -0.05),
        cell("video_3d_vs_2d", -0.1),
        cell("video_vs_ct", 0.02, noise=0.05),
    ]
    table = judge(dataset("one", *cells))
    assert table["claim"].tolist() == list(CLAIMS)
    contradicted = ["contradicted", "contradicted"]
    assert table["verdict"].tolist() == ["supported_at_every_size", *contradicted, "undecided"]
    assert table["num_above"].tolist() == [1, 0, 0, 0] and table["num_below"].tolist() == [0, 1, 1, 0]
    assert table["difference"].tolist() == pytest.approx([0.1, -0.05, -0.1, 0.02])
    assert table["seeds"].tolist() == ["0;1;2"] * 4 and table["models"][0] == "m0;m1;m2;m3"


def test_a_claim_that_fails_at_one_size_holds_on_average_only():
    """The fault that this replaces: "whatever the size" was decided by the average alone."""
    cells = [cell("video_vs_scratch", value, percent=p) for p, value in ((1, 0.0), (10, 0.08), (100, 0.09))]
    row = judge(dataset("one", *cells)).iloc[0]
    assert row["verdict"] == "supported_on_average_only"
    assert (row["num_cells"], row["num_above"]) == (3, 2) and row["percents"] == "1;10;100"
    assert row["p_holm"] < 0.05 < row["p_every_size"]
    cells[0] = cell("video_vs_scratch", 0.07, percent=1)
    row = judge(dataset("one", *cells)).iloc[0]
    assert row["verdict"] == "supported_at_every_size" and row["num_above"] == 3


def test_a_cell_below_zero_is_no_evidence_for_every_size():
    cells = [cell("video_vs_scratch", value, percent=p) for p, value in ((10, -0.05), (100, 0.5))]
    row = judge(dataset("one", *cells)).iloc[0]
    assert row["p_every_size"] == 1 and row["num_below"] == 1


def test_one_training_run_decides_nothing():
    row = judge(dataset("one", cell("video_vs_scratch", 0.3, num_runs=1))).iloc[0]
    assert row["verdict"] == "not_decidable" and row["difference"] == pytest.approx(0.3)
    assert np.isnan(row["ci_low"]) and np.isnan(row["p_holm"])
    assert row["patients_low"] < 0.3 < row["patients_high"]


def test_a_difference_surely_within_the_margin_is_not_relevant():
    near = dataset("one", cell("video_vs_ct", 0.001, noise=0.003))
    assert judge(near)["verdict"][3] == "no_relevant_difference"
    assert judge(near, margin=0.001)["verdict"][3] == "undecided"


def test_arms_without_an_error_on_the_test_scans_are_not_shown_to_be_alike():
    """An AUROC of 1 on every resample: a difference of 0 without any variance is no evidence of 0."""
    perfect = replace(cell("video_vs_ct", 0.0), values=np.zeros((4, 3, 201)))
    row = judge(dataset("one", perfect)).iloc[3]
    assert (row["ci_low"], row["ci_high"], row["verdict"]) == (0, 0, "undecided")


@pytest.mark.parametrize("difference", [0.5, -0.5])
def test_a_perfect_arm_against_a_constant_one_shows_nothing(difference):
    """All resamples give the same difference: how far chance moves it is not known."""
    constant = replace(cell("video_vs_ct", difference), values=np.full((4, 3, 201), difference))
    row = judge(dataset("one", constant)).iloc[3]
    assert row["verdict"] == "undecided" and row["p_value"] == row["p_every_size"] == 1
    assert (row["num_above"], row["num_below"]) == (0, 0)


def test_adjustment_counts_the_statements_that_can_be_tested():
    table = judge(dataset("one", cell("video_vs_scratch", 0.05)))
    assert table["verdict"].tolist() == ["supported_at_every_size", *["not_tested"] * 3]
    assert table["p_holm"][0] == pytest.approx(2 * table["p_value"][0])  # on average, and at every size
    assert table["num_cells"].tolist() == [1, 0, 0, 0]


def test_the_adjustment_counts_the_first_claim_twice_where_scratch_trains_longer():
    names = ("video_vs_scratch", "video_vs_scratch_long")
    table = judge(
        dataset("one", *(cell(name, value) for name, value in zip(names, (0.05, 0.02), strict=True)))
    )
    p_values = table.loc[:1, ["p_value", "p_every_size"]].to_numpy()
    assert table.loc[:1, ["p_holm", "p_every_size_holm"]].to_numpy().min() == pytest.approx(
        4 * p_values.min()
    )


def test_a_claim_that_the_adjustment_undoes_is_undecided():
    names = tuple(CLAIMS)
    table = judge(dataset("one", *(cell(name, 0.011, noise=0.004) for name in names)), margin=0.001)
    scale = table["standard_error"] * 2.3
    cells = [cell(name, float(value)) for name, value in zip(names, scale, strict=True)]
    table = judge(dataset("one", *cells), margin=0.001)
    assert (table["p_value"] < 0.05).all() and (table["p_holm"] > 0.05).all()
    assert set(table["verdict"]) == {"undecided"}


def test_datasets_weigh_alike_however_many_percents_they_have():
    name = "video_vs_scratch"
    one = dataset("one", *(cell(name, p, percent=n) for n, p in ((10, 0.1), (50, 0.2), (100, 0.3))))
    two = dataset("two", cell(name, 0.4))
    row = judge(one, two).iloc[0]
    assert row["difference"] == pytest.approx((0.2 + 0.4) / 2)
    assert (row["num_datasets"], row["num_cells"], row["datasets"]) == (2, 4, "one;two")
    assert (row["smallest"], row["largest"]) == pytest.approx((0.1, 0.4))


def test_a_claim_is_about_the_models_that_all_cells_have():
    name = "video_vs_scratch"
    few = dataset("one", cell(name, 0.1, models=range(1, 3)))
    row = judge(few, dataset("two", cell(name, 0.1))).iloc[0]
    assert (row["models"], row["num_models"]) == ("m1;m2", 2)


def test_one_model_has_no_variance_of_models():
    table = judge(dataset("one", cell("video_vs_ct", 0.0, num_models=1)))
    assert np.isnan(table["share_models"][3]) and table["num_models"][3] == 1
    assert table["share_patients"][3] + table["share_training"][3] == pytest.approx(1)


def test_claims_of_a_study_average_its_contrasts(full_study):
    claims, comparisons = full_study.tables["claims"], full_study.tables["comparisons"]
    for claim, contrast in (("video_vs_scratch", "video - scratch"), ("video_3d_vs_2d", "video - best_2d")):
        rows = comparisons.query("model == 'mean_of_seven' and metric == 'auroc'")
        rows = rows[rows["contrast"] == contrast]
        row = one_row(claims, claim=claim)
        assert row["difference"] == pytest.approx(rows["difference"].mean(), abs=1e-12)
        assert (row["num_cells"], row["num_models"]) == (2, 7)
        assert row["smallest"] == pytest.approx(rows["difference"].min(), abs=1e-12)
        assert row["num_above"] == (rows["ci_low"] > 0).sum()
    assert one_row(claims, claim="video_vs_ct")["verdict"] == "not_tested"


def test_draws_survive_being_stored(full_study, tmp_path):
    draws = DatasetDraws.load(full_study.folder / "lidc_phantom" / "draws.npz")
    assert {cell.quantity.label for cell in draws.largest} == {"video - scratch", "video - best_2d"}
    # The seven from video and from scratch and the one rival, two seeds each.
    assert len(draws.scores) == (2 * 7 + 1) * 2
    draws.save(tmp_path / "again.npz")
    again = DatasetDraws.load(tmp_path / "again.npz")
    assert [cell.quantity for cell in again.cells] == [cell.quantity for cell in draws.cells]
    for one, other in zip(again.cells, draws.cells, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.values.shape == (7, 2, 301) and one.seeds == other.seeds == [0, 1]
    assert list(again.scores) == list(draws.scores)


def test_claims_fall_back_on_other_3d_models():
    assert claimed_models([*SEVEN, "x3d_narrow", "resnet18"]) == SEVEN
    few = ["slow_narrow", "x3d_narrow", "slow_narrow_probe", "resnet18"]
    assert claimed_models(few) == ["slow_narrow", "x3d_narrow"]


def test_study_without_the_seven_tests_its_own_3d_models(tmp_path):
    datasets = {"lidc": {"num_patients": 40}}
    files = write_study(tmp_path, datasets, ["i3d", "x3d_narrow"], ["scratch", "video"], [100])
    row = one_row(evaluate(files, tmp_path)["claims"], claim="video_vs_scratch")
    assert row["num_models"] == 2 and row["verdict"] == "not_decidable"  # with one seed


def test_claims_of_every_dataset_alone_stand_beside_the_verdicts(tmp_path):
    datasets = {name: {"num_patients": 40} for name in ("one", "two")}
    files = write_study(tmp_path, datasets, ["i3d", "x3d_narrow"], ["scratch", "video"], [100], seeds=(0, 1))
    evaluate(files, tmp_path / "both")
    alone = read_table(tmp_path / "both" / "claims_by_dataset.csv", "claims")
    assert alone["datasets"].tolist() == ["one", "two"]
    assert set(alone["claim"]) == {"video_vs_scratch"}
    first = write_study(
        tmp_path / "first",
        {"one": {"num_patients": 40}},
        ["i3d", "x3d_narrow"],
        ["scratch", "video"],
        [100],
        (0, 1),
    )
    claim = one_row(evaluate(first, tmp_path / "out")["claims"], claim="video_vs_scratch")
    assert alone.loc[0, ["difference", "p_holm"]].tolist() == claim[["difference", "p_holm"]].tolist()


def test_monotone_is_isotonic_regression():
    columns = np.random.default_rng(0).normal(size=(5, 40))
    ours = monotone(columns)
    expected = [IsotonicRegression().fit_transform(np.arange(5), column) for column in columns.T]
    np.testing.assert_allclose(ours.T, expected, rtol=0, atol=1e-12)


def test_patients_needed_are_read_on_a_log_axis():
    patients, curve = np.array([10.0, 100.0, 1000.0]), np.array([[0.6], [0.7], [0.9]])
    levels = np.array([0.65, 0.7, 0.8, 0.9, 0.6, 0.95, 0.5])
    needed = patients_needed(levels, patients, np.repeat(curve, 7, axis=1))
    assert needed == pytest.approx([10**1.5, 100, 10**2.5, 1000, 0, np.inf, 0])


def test_level_within_a_flat_part_takes_its_first_patients():
    curve = np.array([[0.6], [0.7], [0.7], [0.8]])
    assert patients_needed(np.array([0.7]), np.array([10.0, 20.0, 40.0, 80.0]), curve) == pytest.approx([20])


def test_multipliers_of_a_study(full_study):
    table, means = full_study.tables["multipliers"], full_study.tables["means"].query("metric == 'auroc'")
    assert set(zip(table["init"], table["reference"], strict=True)) == {("video", "scratch")}
    assert {"mean_of_seven", "csn_narrow", "x3d_narrow"} <= set(table["model"])
    at_most = table[table["percent"] == 100]
    # With all its patients, an init can only tie or be beyond the reference's reach upwards of 1.
    assert (at_most["multiplier"] <= 1).all()
    row = one_row(table, model="mean_of_seven", percent=10)
    level = one_row(means, model="mean_of_seven", init="video", percent=10)["value"]
    low, high = (
        one_row(means, model="mean_of_seven", init="scratch", percent=percent)["value"]
        for percent in (10, 100)
    )
    assert low < level < high
    expected = np.exp((level - low) / (high - low) * np.log(18 / 2))
    assert row["bound"] == "exact" and row["multiplier"] == pytest.approx(expected)
    assert row["patients_low"] <= row["multiplier"] <= row["patients_high"] <= 9 + 1e-9
    wider = table["ci_high"] - table["ci_low"] >= table["patients_high"] - table["patients_low"] - 0.05
    assert wider.mean() > 0.8  # training varies too


def test_multipliers_of_a_model_are_the_same_beside_others():
    """Docs/statistics.md, Resamples: a model that is added changes no number of another."""
    draws = draw_resamples(np.arange(20), np.arange(20) % 2, 200, np.random.default_rng(0))

    def arm(model: str, init: str, percent: int) -> dict[int, np.ndarray]:
        rng = named_rng(0, model, init, str(percent))
        values = 0.6 + percent / 500 + 0.05 * (init == "video") + 0.02 * rng.normal(size=(2, 1, 1))
        return dict(enumerate(values + 0.02 * rng.normal(size=(2, 1, len(draws.counts)))))

    tables = []
    for models in (["i3d"], ["slow_narrow", "i3d"]):
        arms = {ArmKey(*key): arm(*key) for key in product(models, ("scratch", "video"), (10, 50, 100))}
        means = list_means(arms)
        patients = {mean: float(mean.percent) for mean in means}
        rng_of = partial(named_rng, 0, "noise")
        table = pd.DataFrame(multiplier_rows(means, arms, patients, draws, 0.95, rng_of))
        tables.append(table[table["model"] == "i3d"].reset_index(drop=True))
    assert tables[0]["ci_low"].nunique() == 3
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("num_runs", [2, 3, 8])
def test_noise_of_training_is_as_uncertain_as_its_variance(num_runs):
    """With patients that vary by nothing, values with the noise have the spread of the t test over runs."""
    values = np.repeat(np.random.default_rng(0).normal(size=(1, num_runs, 1)), 4, axis=2)
    noise = training_noise(infer([values], 0.95), np.zeros(40_000), np.random.default_rng(1))
    low, high = stats.ttest_1samp(values[0, :, 0], 0).confidence_interval(0.95)
    assert np.quantile(noise, [0.025, 0.975]) == pytest.approx([(low - high) / 2, (high - low) / 2], rel=0.06)


def test_one_run_has_no_noise_of_training():
    noise = training_noise(Inference(value=0.7), np.zeros(5), np.random.default_rng(0))
    assert np.isnan(noise).all()


def test_curves_are_scikit_learns_steps():
    rng = np.random.default_rng(0)
    labels = (rng.random(90) < 0.4).astype(int)
    scores = np.round(rng.normal(labels, 1), 1)
    counts = bootstrap_counts(np.arange(90), labels, 20, rng)
    curves = run_curves(labels, scores, counts)
    for number, row in enumerate(counts):
        drawn = np.repeat(labels, row), np.repeat(scores, row)
        false_rate, found_rate, _ = roc_curve(*drawn, drop_intermediate=False)
        expected = [found_rate[false_rate <= x + 1e-9].max() for x in GRID]
        np.testing.assert_allclose(curves["roc"][:, number], expected, atol=1e-12)
        precision, recall, _ = precision_recall_curve(*drawn)
        precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # from the highest threshold down
        wanted = np.maximum(GRID - 1e-9, 1e-9)
        expected = [precision[np.flatnonzero(recall >= x)[0]] for x in wanted]
        np.testing.assert_allclose(curves["precision_recall"][:, number], expected, atol=1e-12)


def test_curves_of_a_study_are_of_the_largest_percent(full_study):
    table = full_study.tables["curves"]
    assert set(table["percent"]) == {100}
    assert (table["low"] <= table["y"] + 0.15).all() and (table["high"] >= table["y"] - 0.15).all()
    arms = table.groupby(["model", "init", "curve"]).size()
    assert (arms == len(GRID)).all() and len(arms) == 2 * (9 * 2 + 2 * 2 + 2)
    seven = table[table["model"].isin(SEVEN) & (table["init"] == "video") & (table["curve"] == "roc")]
    mean = table.query("model == 'mean_of_seven' and init == 'video' and curve == 'roc'")
    np.testing.assert_allclose(seven.groupby("x")["y"].mean(), mean["y"], atol=1e-12)


def test_calibration_pools_seeds_and_models(full_study):
    table = full_study.tables["calibration"]
    held = table.groupby(["model", "init"])["num_scans"].sum()
    assert held["csn_narrow", "video"] == 30 * 2 and held["mean_of_seven", "video"] == 30 * 2 * 7
    assert ((table["low"] <= table["share_positive"]) & (table["share_positive"] <= table["high"])).all()
    files = full_study.files.predictions["lidc_phantom"]
    path = next(path for path in files if path.parent.name == "csn_narrow")
    rows = pd.read_csv(path).query("split == 'test' and percent == 100 and init == 'video'")
    inside = rows[(rows["score"] >= 0.3) & (rows["score"] < 0.4)]
    row = one_row(table, model="csn_narrow", init="video", bin=3)
    assert row["num_scans"] == len(inside)
    assert row["mean_score"] == pytest.approx(inside["score"].mean())
    assert row["share_positive"] == pytest.approx(inside["label"].mean())
