"""Figures of whole studies: they render, fit their page, say what is a stand-in, and repeat."""

import dataclasses
import json

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from chestct.catalogue import INIT_TITLES
from chestct.errors import InputError
from chestct.figures import render, style
from chestct.figures.captions import CAPTIONS
from chestct.figures.claim_sentences import read_claims
from chestct.figures.panels import NothingToPlotError, legend_columns, shown_percents
from chestct.figures.render import FIGURES, plot_figures
from chestct.figures.study_tables import origin_of_weights, read_manifest, read_study, stand_in_note
from chestct.records import write_recorded

PROBES = {"probe_vs_finetuned"}
ONE_SEED = {"variance_shares", "same_arm"}
ABSENT = {
    "own_data": PROBES | {"label_efficiency", "video_3d_vs_2d", "video_vs_ct", "same_arm"},
    "bare": PROBES
    | ONE_SEED
    | {"auroc_by_percent", "label_efficiency", "forest", "video_3d_vs_2d", "video_vs_ct", "subgroups"}
    | {"paired_differences"},
    "extras": PROBES | ONE_SEED | {"label_efficiency", "video_3d_vs_2d", "video_vs_ct"},
}


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text)).replace("\n", " ")


@pytest.mark.parametrize("kind", ABSENT)
def test_every_figure_is_written_for_every_study(tables, tmp_path, kind):
    reasons = plot_figures(tables(kind), folder=tmp_path, formats=["png"], dpi=60)
    assert {name for name, reason in reasons.items() if reason} == ABSENT[kind]
    if kind == "extras":
        assert "it needs two seeds" in reasons["variance_shares"] and "two seeds" in reasons["same_arm"]
    assert json.loads((tmp_path / "figures.json").read_text()) == reasons
    for name in CAPTIONS:
        image = imread(tmp_path / f"{name}.png")
        assert image[..., :3].std() > 0.01  # not an empty page
        # A margin of white all round: nothing is cut by the edge of the page.
        edges = [image[0], image[-1], image[:, 0], image[:, -1]]
        assert min(edge[..., :3].min() for edge in edges) > 0.99, name


def test_same_tables_give_the_same_bytes(tables, tmp_path, monkeypatch):
    """Whatever the order of the formats, the user's own matplotlibrc and the number of processes."""
    names = ("auroc_by_percent", "forest", "video_vs_ct")  # two that are drawn, one notice
    monkeypatch.setattr(render, "FIGURES", {name: FIGURES[name] for name in names})

    def drawn(folder: str, *formats: str, processes: int = 1) -> dict[str, bytes]:
        place = tmp_path / folder
        plot_figures(tables("own_data"), folder=place, formats=formats, dpi=60, processes=processes)
        return {path.name: path.read_bytes() for path in place.glob("[!.]*")}

    expected = drawn("a", "pdf", "png", "svg")
    assert len(expected) == 3 * len(names) + 1
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 5}):
        assert drawn("b", "svg", "png", "pdf") == expected
        assert matplotlib.rcParams["font.size"] == 20
    assert drawn("c", "pdf", "png", "svg", processes=2) == expected


def test_main_figure_shows_the_mean_of_the_seven(tables, plots):
    study = tables("default")
    figure = plots("default", "auroc_by_percent")
    assert [axis.get_title().split("\n")[0] for axis in figure.axes] == ["rspect_phantom", "lidc_phantom"]
    rows = study.means.query(
        "model == 'mean_of_seven' and metric == 'auroc' and dataset == 'lidc_phantom' and init == 'ct'"
    )
    drawn = [line.get_ydata() for line in figure.axes[1].get_lines()]
    assert any(np.array_equal(y, rows.sort_values("percent")["value"]) for y in drawn)
    # CT pretraining on the second; the metadata, the best 2D model and chance on both.
    assert len(figure.axes[0].get_lines()) == 5 and len(figure.axes[1].get_lines()) == 6
    metadata = study.means.query("model == 'metadata' and metric == 'auroc' and dataset == 'lidc_phantom'")
    assert any(np.array_equal(y, metadata.sort_values("percent")["value"]) for y in drawn)
    assert "Stand-in data: phantom scans; video pretraining on generated clips" in words(figure)


def test_forest_plot_states_its_numbers(tables, plots):
    study = tables("own_data")
    row = study.comparisons.query("contrast == 'video - scratch' and metric == 'auroc'").iloc[0]
    assert style.signed(row["difference"]) in words(plots("own_data", "forest"))


def test_forest_marks_what_is_significant_after_adjustment(tables):
    study = tables("smoke")
    changed = study.comparisons[study.comparisons["model"].isin(["slow_narrow", "i3d"])].copy()
    rows = changed["contrast"].eq("video - scratch") & changed["metric"].eq("auroc")
    rows &= changed["percent"].eq(100)
    changed.loc[rows, "p_value"] = 0.001
    changed.loc[rows, ["ci_low", "ci_high"]] = [-0.05, 0.25]
    changed.loc[rows & changed["model"].eq("slow_narrow"), "p_holm"] = 0.04
    changed.loc[rows & changed["model"].eq("i3d"), "p_holm"] = 0.06
    changed.loc[rows, "difference"] = [0.1, 0.2]
    axis = FIGURES["forest"](dataclasses.replace(study, comparisons=changed)).axes[1]
    faces = {
        line.get_xdata()[0]: line.get_markerfacecolor()
        for line in axis.get_lines()
        if len(line.get_xdata()) == 1
    }
    assert faces == {0.1: style.INIT_MARKS["video"].colour, 0.2: "white"}


def test_the_2d_model_best_on_validation_is_marked(tables):
    study = tables("default")
    rivals = study.comparisons.query("contrast == 'video - best_2d'").copy()
    rows = study.means.query("dataset == 'lidc_phantom' and init == 'imagenet' and metric == 'auroc'")
    for rival in ("efficientnet_lite0", "lrcn_efficientnet_lite0"):
        # Whichever comparisons name, however the models did on the test set.
        changed = dataclasses.replace(study, comparisons=rivals.assign(rival=rival))
        axes = FIGURES["video_3d_vs_2d"](changed).axes[2:]
        dashed = [line for axis in axes for line in axis.get_lines() if line.get_linestyle() == "--"]
        assert [line.get_xdata()[0] for line in dashed] == rows.query("model == @rival").sort_values(
            "percent"
        )["value"].tolist()


def test_multipliers_at_a_bound_are_open_and_have_arrows(tables, plots):
    study = tables("default")
    multipliers = study.multipliers.query("dataset == 'rspect_phantom' and model == 'mean_of_seven'")
    axis = plots("default", "label_efficiency").axes[2]
    bounds = multipliers["bound"].tolist()
    assert "at_least" in bounds
    arrows = [text for text in axis.texts if isinstance(text, matplotlib.text.Annotation)]
    assert [arrow.xy[1] for arrow in arrows] == multipliers.query("bound != 'exact'")["multiplier"].tolist()
    assert all(arrow.get_position()[1] > 0 for arrow in arrows)  # up: the multiplier is larger still


def test_power_is_marked_at_the_studys_own_size(tables, plots):
    study = tables("own_data")
    axis = next(axis for axis in plots("own_data", "validity").axes if axis.get_xlabel() == "Test scans")
    marks = [line.get_xydata()[0] for line in axis.get_lines() if line.get_marker() == "D"]
    power = study.power.query("num_scans == 93")["power"].iloc[0]
    assert len(marks) == 1 and marks[0].tolist() == pytest.approx([93, power])


def test_learning_curves_show_every_run_and_their_median(tables, plots):
    study = tables("own_data")
    axis = plots("own_data", "learning_curves").axes[0]
    rows = study.histories.query("init == 'video'")
    # Those of single points are the intervals of test scores.
    bundles = [bundle.get_segments() for bundle in axis.collections if len(bundle.get_segments()) > 1]
    assert [len(segments) for segments in bundles] == [5, 5]  # folds, from scratch and after video
    number = rows.groupby("fold").cumcount()
    expected = (
        rows.groupby(number)["validation_auroc"].median()[rows.groupby(number).size() >= 2.5].to_numpy()
    )
    assert any(np.allclose(line.get_ydata(), expected) for line in axis.get_lines())
    first = rows.query("fold == 0")["validation_auroc"].to_numpy()
    assert any(np.allclose(segment[:, 1], first) for segment in bundles[1])


def test_test_scores_stand_at_the_windows_of_the_best_validation(tables, plots):
    study = tables("longer")
    figure = plots("longer", "learning_curves")
    axis = next(axis for axis in figure.axes if axis.get_title() == "Slow (narrow)")
    means = study.means.query("metric == 'auroc' and percent == 100 and model == 'slow_narrow'")
    runs = study.runs.query("percent == 100 and model == 'slow_narrow'")
    marks = [line for line in axis.get_lines() if line.get_linestyle() == "None"]
    points = [point for line in marks for point in line.get_xydata()]
    for init in ("scratch", "scratch_long", "video"):
        windows = runs.loc[runs["init"] == init, "best_windows_seen"].median()
        value = means.loc[means["init"] == init, "value"].item()
        # Arms stand a little to the left and to the right of their place.
        assert any(np.isclose(y, value) and abs(np.log(x / windows)) < 0.1 for x, y in points)
    low, high = axis.get_xlim()
    windows = study.histories.query("percent == 100")["windows_seen"]
    assert low < windows.min() and windows.max() < high
    assert axis.get_xscale() == "log" and axis.get_ylim()[0] < means["value"].min()


@pytest.mark.parametrize(
    ("kind", "name", "text", "shown"),
    [
        ("paper", "probe_vs_finetuned", "frozen probe", True),
        ("paper", "roc_curves", "frozen probe", False),
        ("smoke", "auroc_by_percent", "AUROC, mean of two 3D models", True),  # one of them of the seven
        ("extras", "auroc_by_percent", "AUROC, mean of two 3D models", True),
        ("own_data", "auroc_by_percent", "Size, slices and spacing", True),
        ("own_data", "auroc_by_percent", "Trivial baseline", True),
        ("own_data", "auroc_by_percent", "Stand-in", False),
    ],
)
def test_figures_say_what_they_show(plots, kind, name, text, shown):
    assert (text in words(plots(kind, name))) == shown


def test_stand_in_note_names_the_exceptions(studies):
    study = read_study(**studies("default").inputs)
    arms = {("mean_of_seven", "video"), ("i3d", "video")}
    assert stand_in_note(study, study.datasets, arms) == (
        "Stand-in data: phantom scans; video pretraining on generated clips, except I3D: Kinetics-400."
    )
    study.manifests["lidc_phantom"]["stand_in"] = False
    assert "phantom scans in rspect_phantom" in stand_in_note(study, study.datasets, arms)
    study.manifests["rspect_phantom"]["stand_in"] = False
    assert stand_in_note(study, study.datasets, {("i3d", "video"), ("slow_narrow", "scratch")}) == ""


def test_origins_of_weights(tables):
    origins = origin_of_weights(tables("smoke"))
    assert [(o["init"], o["models"], o["stand_in"]) for o in origins] == [
        ("Video pretraining", ["Slow (narrow)"], True),
        ("Video pretraining", ["I3D"], False),
        ("ImageNet pretraining", ["EfficientNet-Lite0"], False),
    ]


def test_study_without_auroc_says_so(tables):
    study = tables("smoke")
    study = dataclasses.replace(study, means=study.means[study.means["metric"] != "auroc"])
    with pytest.raises(NothingToPlotError, match="AUROC"):
        FIGURES["auroc_by_percent"](study)


def test_every_init_has_its_own_look():
    marks = [style.INIT_MARKS[init] for init in INIT_TITLES]
    for part in ("colour", "marker", "line"):
        assert len({str(getattr(mark, part)) for mark in marks}) == len(marks)
    grey = sorted(np.dot(matplotlib.colors.to_rgb(mark.colour), (0.299, 0.587, 0.114)) for mark in marks)
    assert max(grey) < 0.6  # dark enough on white paper


@pytest.mark.parametrize(
    ("percents", "shown"),
    [([100], [100]), ([10, 100], [10, 100]), ([1, 2, 5, 10, 20, 50, 100], [1, 5, 10, 20, 100])],
)
def test_shown_percents(percents, shown):
    assert shown_percents(percents) == shown


@pytest.mark.parametrize(
    ("name", "letters", "lines"),
    [
        ("lidc", 10, ["lidc"]),
        ("LRCN (ResNeXt)", 10, ["LRCN", "(ResNeXt)"]),
        ("lidc_idri_nodules", 10, ["lidc_idri_", "nodules"]),
        ("withoutanybreak", 5, ["withoutanybreak"]),
    ],
)
def test_wrapped_names(name, letters, lines):
    assert style.wrap_name(name, letters).split("\n") == lines


def test_legends_are_rows_of_equal_length_that_fit():
    assert legend_columns(["From scratch", "Video"], 7.2) == 2
    assert legend_columns(["x" * 30] * 4, 7.2) == 2
    assert legend_columns(["x" * 90] * 2, 3.5) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stand_in"'])
def test_broken_manifest_is_refused(tmp_path, text):
    write_recorded(tmp_path / "manifest.json", text)
    with pytest.raises(InputError, match="manifest"):
        read_manifest(tmp_path / "manifest.json")


def test_an_outside_test_set_counts_for_the_dataset_that_was_trained_on(tables):
    whole = tables("default")
    name = "lidc_phantom_on_clinic"
    study = dataclasses.replace(
        whole,
        datasets=(*whole.datasets, "clinic", name),
        manifests=whole.manifests | {"clinic": {"stand_in": False}, name: {"stand_in": False}},
        outside={name: ("lidc_phantom", "clinic")},
    )
    assert study.scanned == ["rspect_phantom", "lidc_phantom", "clinic"]
    assert (study.trained_on(name), study.scans_from(name)) == ("lidc_phantom", "clinic")
    assert study.trained_on("clinic") == study.scans_from("clinic") == "clinic"
    # Its scans are real, what its models started from is not.
    assert stand_in_note(study, [name], {("slow_narrow", "video")}) == (
        "Stand-in data: video pretraining on generated clips."
    )


def test_claims_show_the_cells_they_were_tested_on(tables):
    whole = tables("default")
    both = {}
    for name in ("comparisons", "means"):
        rows = getattr(whole, name)
        elsewhere = rows[rows["dataset"] == "lidc_phantom"].assign(dataset="elsewhere")
        both[name] = pd.concat([rows, elsewhere], ignore_index=True)
    study = dataclasses.replace(whole, datasets=(*whole.datasets, "elsewhere"), **both)
    for claim, before in zip(read_claims(study), read_claims(whole), strict=True):
        assert claim.cells.equals(before.cells) and "elsewhere" not in set(claim.cells["Dataset"])
        assert claim.sentence == before.sentence
