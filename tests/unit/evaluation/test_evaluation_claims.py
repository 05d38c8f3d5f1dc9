"""The paper's claims: verdicts, their adjustment, and the cells that they average."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from evaluated import SEVEN, evaluate, one_row
from synthetic_predictions import write_study

from chestct.claimed_models import claimed_models
from chestct.evaluation.claims import CLAIMS, Cell, DatasetDraws, claims_table
from chestct.evaluation.contrasts import ArmKey, Quantity
from chestct.evaluation.resampling import named_rng
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
