"""Figures about the claims: paired differences of all, and what stands beside the main figure's means."""

import dataclasses

import numpy as np
import pytest

from chestct.figures.render import FIGURES, project_style
from chestct.figures.rivals import chosen_rivals, rival_rows


def plot(study, name):
    with project_style():
        return FIGURES[name](study)


@pytest.mark.parametrize("kind", ["default", "seeds", "own_data", "longer"])
def test_paired_differences_show_all_claims_with_their_averages(tables, plots, kind):
    study = tables(kind)
    figure = plots(kind, "paired_differences")
    tested = study.claims[study.claims["verdict"] != "not_tested"]
    assert len(figure.axes) == len(tested) > 0
    for axis, claim in zip(figure.axes, tested.to_dict("records"), strict=True):
        labels = [label.get_text() for label in axis.get_yticklabels()]
        datasets, percents = claim["datasets"].split(";"), claim["percents"].split(";")
        assert labels[-1] == "All cells" and labels.count(f"{percents[0]} %") == len(datasets)
        rows = study.comparisons
        rows = rows[(rows["contrast"] == claim["contrast"]) & (rows["metric"] == "auroc")]
        rows = rows[rows["dataset"].isin(datasets)]
        means = rows[rows["model"].str.startswith("mean_of").astype(bool)]
        cells = list((means if len(means) else rows)["difference"])
        points = {float(x) for line in axis.get_lines() for x in line.get_xdata()}
        assert {claim["difference"], *cells} <= points and len(cells) == claim["num_cells"]
        assert axis.get_xlim() == figure.axes[0].get_xlim()


def test_paired_differences_without_a_verdict_are_dotted_and_say_so(plots):
    figure = plots("default", "paired_differences")
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "no verdict" in words and not any("vary" in word for word in words)
    decided = plots("seeds", "paired_differences")
    assert any("vary" in text.get_text() for text in decided.legends[0].get_texts())


def test_the_main_figure_has_chance_and_the_best_2d_model(tables, plots):
    study = tables("default")
    figure = plots("default", "auroc_by_percent")
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"Chance", "Best 2D model on validation"} <= words
    for axis, dataset in zip(figure.axes, study.datasets, strict=True):
        drawn = [line.get_ydata() for line in axis.get_lines()]
        chosen = [rival.value for rival in chosen_rivals(study, [dataset])]
        assert any(np.array_equal(y, chosen) for y in drawn)
        assert any(np.array_equal(y, [0.5, 0.5]) for y in drawn)
        low, high = axis.get_ylim()
        assert low < 0.5 < high


def test_a_choice_that_changes_with_the_percentage_is_one_line(tables):
    study = tables("default")
    comparisons = study.comparisons.copy()
    rows = comparisons["rival"].notna() & comparisons["percent"].eq(10)
    comparisons.loc[rows, "rival"] = "lrcn_efficientnet_lite0"
    comparisons.loc[comparisons["rival"].notna() & ~rows, "rival"] = "efficientnet_lite0"
    study = dataclasses.replace(study, comparisons=comparisons)
    assert set(rival_rows(study)["model"]) == {"lrcn_efficientnet_lite0", "efficientnet_lite0"}
    axis = plot(study, "auroc_by_percent").axes[0]
    chosen = [rival.value for rival in chosen_rivals(study, ["rspect_phantom"])]
    assert any(np.array_equal(line.get_ydata(), chosen) for line in axis.get_lines())


def test_without_a_2d_model_the_main_figure_names_none(tables, plots):
    study = tables("own_data")
    assert rival_rows(study).empty
    words = {text.get_text() for text in plots("own_data", "auroc_by_percent").legends[0].get_texts()}
    assert "Chance" in words and "Best 2D model on validation" not in words


@pytest.mark.parametrize("name", ["auroc_by_percent", "auroc_by_percent_per_model"])
def test_every_panel_counts_the_patients_of_its_own_data_set(tables, name):
    """Subsets of a percentage are of other sizes in other data sets, and only some have few of a class."""
    study = tables("default")
    first = study.datasets[0]
    means = study.means.astype({"num_patients": float, "least_class": float})
    is_first = means["dataset"] == first
    means.loc[is_first, "num_patients"] *= 10
    means.loc[:, "least_class"] = np.where(is_first, 100, 2)
    figure = plot(dataclasses.replace(study, means=means), name)
    figure.draw_without_rendering()
    labels = [[label.get_text() for label in axis.get_xticklabels()] for axis in figure.axes]
    few = [any("*" in text for text in panel) for panel in labels]
    assert few == sorted(few) and set(few) == {False, True}
    if name == "auroc_by_percent":
        most = [means[means["dataset"] == dataset]["num_patients"].max() for dataset in study.datasets]
        assert most[0] > most[1]
        assert [panel[-1].split("\n")[1] for panel in labels] == [f"({number:.0f})" for number in most]
