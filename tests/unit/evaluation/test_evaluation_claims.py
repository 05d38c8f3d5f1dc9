"""The paper's claims, label efficiency, curves and calibration."""

import numpy as np
import pandas as pd
import pytest
from evaluated import SEVEN, evaluate, one_row
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import precision_recall_curve, roc_curve
from synthetic_predictions import write_study

from chestct.evaluation.claims import Cell, DatasetDraws, claims_table
from chestct.evaluation.contrasts import ArmKey, Quantity, claim_models
from chestct.evaluation.curves import GRID, run_curves
from chestct.evaluation.label_efficiency import monotone, patients_needed
from chestct.evaluation.resampling import bootstrap_counts


def cell(claim: str, draws: np.ndarray, *, value: float, percent: int = 100, num_models: int = 2) -> Cell:
    """A cell whose draws are given."""
    parts = tuple(
        (ArmKey(f"m{i}", "video", percent), ArmKey(f"m{i}", "scratch", percent)) for i in range(num_models)
    )
    quantity = Quantity(model="mean", label="x", percent=percent, parts=parts, is_mean=num_models > 1)
    return Cell(
        claim=claim, quantity=quantity, values=np.concatenate([[value], draws]), widened=2 * draws - value
    )


def dataset(name: str, *cells: Cell) -> DatasetDraws:
    nothing = np.zeros(0, dtype=int)
    return DatasetDraws(
        dataset=name, patients=nothing, labels=nothing, folds=nothing, cells=list(cells), scores={}
    )


NOISE = np.linspace(-0.02, 0.02, 999)


def test_verdicts_follow_sign_and_adjusted_p():
    cells = [
        cell("video_vs_scratch", 0.1 + NOISE, value=0.1),
        cell("video_3d_vs_2d", -0.1 + NOISE, value=-0.1),
        cell("video_vs_ct", 0.001 + NOISE, value=0.001),
    ]
    table = claims_table([dataset("one", *cells)], 0.95)
    assert table["claim"].tolist() == ["video_vs_scratch", "video_3d_vs_2d", "video_vs_ct"]
    assert table["verdict"].tolist() == ["supported", "not_supported", "undecided"]
    assert table["p_holm"].tolist()[:2] == pytest.approx([3 * 0.002, 3 * 0.002])
    assert table["num_above"].tolist() == [1, 0, 0] and table["num_below"].tolist() == [0, 1, 0]
    assert table["models_high"][0] - table["models_low"][0] == pytest.approx(
        2 * (table["ci_high"][0] - table["ci_low"][0])
    )


def test_adjustment_counts_the_tested_claims_only():
    table = claims_table([dataset("one", cell("video_vs_scratch", 0.02 + NOISE, value=0.02))], 0.95)
    assert table["verdict"].tolist() == ["supported", "not_tested", "not_tested"]
    assert table["p_holm"][0] == table["p_value"][0]
    assert table["num_cells"].tolist() == [1, 0, 0]


def test_a_claim_that_the_adjustment_undoes_is_undecided():
    edge = 0.0193  # p between 0.05 / 3 and 0.05
    cells = [
        cell(name, edge + NOISE, value=edge) for name in ("video_vs_scratch", "video_3d_vs_2d", "video_vs_ct")
    ]
    table = claims_table([dataset("one", *cells)], 0.95)
    assert (table["p_value"] < 0.05).all() and (table["p_holm"] > 0.05).all()
    assert set(table["verdict"]) == {"undecided"}


def test_datasets_weigh_alike_however_many_percents_they_have():
    name = "video_vs_scratch"
    one = dataset(
        "one", *(cell(name, p + NOISE, value=p, percent=n) for n, p in ((10, 0.1), (50, 0.2), (100, 0.3)))
    )
    two = dataset("two", cell(name, 0.4 + NOISE, value=0.4))
    row = claims_table([one, two], 0.95).iloc[0]
    assert row["difference"] == pytest.approx((0.2 + 0.4) / 2)
    assert (row["num_datasets"], row["num_cells"]) == (2, 4)
    assert (row["smallest"], row["largest"]) == pytest.approx((0.1, 0.4))


def test_one_model_has_no_wider_interval():
    table = claims_table([dataset("one", cell("video_vs_ct", NOISE, value=0, num_models=1))], 0.95)
    assert np.isnan(table["models_low"][2]) and table["num_models"][2] == 1


def test_claims_of_a_study_average_its_contrasts(full_study):
    claims, comparisons = full_study.tables["claims"], full_study.tables["comparisons"]
    for claim, contrast in (("video_vs_scratch", "video - scratch"), ("video_3d_vs_2d", "video - best_2d")):
        rows = comparisons.query("model == 'mean_of_seven' and metric == 'auroc'")
        rows = rows[rows["contrast"] == contrast]
        row = one_row(claims, claim=claim)
        assert row["difference"] == pytest.approx(rows["difference"].mean(), abs=1e-12)
        assert (row["num_cells"], row["num_models"]) == (2, 7)
        assert row["smallest"] == pytest.approx(rows["difference"].min(), abs=1e-12)
        assert row["ci_low"] > rows["ci_low"].min()  # two percents together tell more than either
    assert one_row(claims, claim="video_vs_ct")["verdict"] == "not_tested"


def test_draws_survive_being_stored(full_study, tmp_path):
    draws = DatasetDraws.load(full_study.folder / "lidc_phantom" / "draws.npz")
    assert {cell.quantity.label for cell in draws.largest} == {"video - scratch", "video - best_2d"}
    # The seven from video and from scratch and the one rival, two seeds each.
    assert len(draws.scores) == (2 * 7 + 1) * 2
    draws.save(tmp_path / "again.npz")
    again = DatasetDraws.load(tmp_path / "again.npz")
    assert [cell.quantity for cell in again.cells] == [cell.quantity for cell in draws.cells]
    assert list(again.scores) == list(draws.scores)


def test_claims_fall_back_on_other_3d_models():
    assert claim_models([*SEVEN, "x3d_narrow", "resnet18"]) == SEVEN
    few = ["slow_narrow", "x3d_narrow", "slow_narrow_probe", "resnet18"]
    assert claim_models(few) == ["slow_narrow", "x3d_narrow"]


def test_study_without_the_seven_tests_its_own_3d_models(tmp_path):
    datasets = {"lidc": {"num_patients": 40}}
    files = write_study(tmp_path, datasets, ["i3d", "x3d_narrow"], ["scratch", "video"], [100])
    row = one_row(evaluate(files, tmp_path)["claims"], claim="video_vs_scratch")
    assert row["num_models"] == 2 and row["verdict"] != "not_tested"


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
    assert row["ci_low"] <= row["multiplier"] <= row["ci_high"] <= 9 + 1e-9


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
