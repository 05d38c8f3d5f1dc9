"""How long arms were trained, and longer training from scratch, in tables and claims."""

import dataclasses

import pytest

from chestct.figures.budget_table import budgets_table
from chestct.figures.claim_sentences import read_claims


def test_a_table_of_budgets_says_how_long_every_arm_trained(tables):
    study = tables("longer")
    table = budgets_table(study)
    arms = study.runs.groupby(["dataset", "model", "init", "percent"])
    assert len(table) == arms.ngroups == 2 * (2 * 3 + 3)
    start = {"From scratch": "scratch", "From scratch, longer": "scratch_long", "Video pretraining": "video"}
    for row in table[table["Model"] == "PENet (narrow)"].to_dict("records"):
        runs = arms.get_group(("lidc_phantom", "penet_narrow", start[row["Start"]], int(row["%"])))
        assert (row["Runs"], row["Most windows"]) == ("2", f"{runs['budget_windows'].iloc[0]:,}")
        assert row["Stopped early"] == f"{runs['stopped_early'].sum()} of 2"
        low, high = (f"{number:,}" for number in (runs["best_step"].min(), runs["best_step"].max()))
        assert row["Best step"] == low if low == high else row["Best step"].endswith(f"({low} to {high})")
        means = study.means.query("metric == 'auroc' and model == 'penet_narrow'")
        value = means[(means["init"] == runs["init"].iloc[0]) & (means["percent"] == int(row["%"]))]["value"]
        assert row["Test AUROC"].startswith(f"{value.item():.3f} (")
    # Models and starts in the order of figures; a start that trains six times as long beside the usual one.
    assert table["Start"].tolist()[:4:2] == ["From scratch", "From scratch, longer"]


def test_a_run_that_ends_at_its_best_is_told_from_one_that_stopped(tables):
    study = tables("longer")
    runs = study.runs.assign(best_step=study.runs["num_steps"])
    shown = budgets_table(dataclasses.replace(study, runs=runs.assign(stopped_early=0)))
    assert set(shown["Best at the end"]) == {"2 of 2"}
    shown = budgets_table(dataclasses.replace(study, runs=runs.assign(stopped_early=1)))
    assert set(shown["Best at the end"]) == {"0 of 2"}


def test_the_first_claim_is_tested_against_longer_training_too(tables):
    study = tables("longer")
    first, longer, *_ = read_claims(study)
    assert (first.number, longer.number) == ("1", "1, longer")
    assert longer.tested and set(longer.cells["Models"]) == {"Mean of 2 of the seven"}
    rows = study.comparisons.query("contrast == 'video - scratch_long' and model == 'mean_of_2'")
    expected = rows.loc[rows["metric"] == "auroc", "difference"].mean()
    assert study.claims["difference"][1] == pytest.approx(expected)
