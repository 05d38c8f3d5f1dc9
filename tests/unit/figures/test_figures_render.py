"""Figures of whole studies: they render, fit their page, say what is a stand-in, and repeat."""

import dataclasses
import json

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from chestct.catalogue import INIT_TITLES
from chestct.errors import InputError
from chestct.figures import render, style
from chestct.figures.names import CAPTIONS
from chestct.figures.panels import NothingToPlotError, shown_percents
from chestct.figures.render import FIGURES, plot_figures
from chestct.figures.study_tables import origin_of_weights, read_manifest, read_study, stand_in_note

ABSENT = {
    "own_data": {"video_3d_vs_2d", "video_vs_ct"},
    "smoke": {"video_vs_ct"},
    "bare": set(CAPTIONS) - {"auroc_by_percent_per_model"},
    "extras": {"auroc_by_percent", "video_3d_vs_2d", "video_vs_ct"},
}


def plot(studies, kind: str, name: str) -> Figure:
    with matplotlib.rc_context(style.RC_PARAMS):
        figure = FIGURES[name](read_study(**studies(kind).inputs))
        FigureCanvasAgg(figure).draw()
    return figure


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text)).replace("\n", " ")


@pytest.mark.parametrize("kind", ["own_data", "smoke", "bare", "extras"])
def test_every_figure_is_written_for_every_study(studies, tmp_path, kind):
    reasons = plot_figures(read_study(**studies(kind).inputs), folder=tmp_path, formats=["png"], dpi=60)
    assert {name for name, reason in reasons.items() if reason} == ABSENT[kind]
    assert json.loads((tmp_path / "figures.json").read_text()) == reasons
    for name in CAPTIONS:
        image = imread(tmp_path / f"{name}.png")
        assert image[..., :3].std() > 0.01  # not an empty page
        # A margin of white all round: nothing is cut by the edge of the page.
        edges = [image[0], image[-1], image[:, 0], image[:, -1]]
        assert min(edge[..., :3].min() for edge in edges) > 0.99, name


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_the_default_study(studies, name):
    figure = plot(studies, "default", name)
    width, height = figure.get_size_inches()
    assert width <= style.DOUBLE_COLUMN and height <= style.PAGE_HEIGHT
    page = figure.bbox
    for axis in figure.axes:
        box = axis.get_tightbbox()
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.width + 1 and box.y1 <= page.height + 1
    boxes = [axis.get_window_extent() for axis in figure.axes]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    assert "Stand-in data: phantom scans; video pretraining on generated clips" in words(figure)


def test_same_tables_give_the_same_bytes(studies, tmp_path, monkeypatch):
    study = read_study(**studies("own_data").inputs)
    names = ("video_minus_scratch", "video_vs_ct")  # one that is drawn, one notice
    monkeypatch.setattr(render, "FIGURES", {name: FIGURES[name] for name in names})
    for folder, formats in {"a": ["pdf", "png", "svg"], "b": ["svg", "png", "pdf"]}.items():
        plot_figures(study, folder=tmp_path / folder, formats=formats, dpi=60)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert len(list((tmp_path / "a").iterdir())) == 3 * len(names) + 1


def test_a_users_matplotlibrc_changes_nothing(studies, tmp_path):
    study = read_study(**studies("own_data").inputs)
    plot_figures(study, folder=tmp_path / "a", formats=["png"], dpi=60)
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 5}):
        plot_figures(study, folder=tmp_path / "b", formats=["png"], dpi=60)
        assert matplotlib.rcParams["font.size"] == 20
    name = "auroc_by_percent.png"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_main_figure_shows_the_mean_of_the_seven(studies):
    study = read_study(**studies("default").inputs)
    figure = plot(studies, "default", "auroc_by_percent")
    assert [axis.get_title().split(" ")[0] for axis in figure.axes] == ["rspect_phantom", "lidc_phantom"]
    rows = study.means.query(
        "model == 'mean_of_seven' and metric == 'auroc' and dataset == 'lidc_phantom' and init == 'ct'"
    )
    drawn = [line.get_ydata() for line in figure.axes[1].get_lines()]
    assert any(np.array_equal(y, rows.sort_values("percent")["value"]) for y in drawn)
    assert len([axis for axis in figure.axes if "CT" in axis.get_title()]) == 0
    assert len(figure.axes[0].collections) < len(figure.axes[1].collections)  # no CT arm on the first


def test_forest_plot_states_its_numbers(studies):
    study = read_study(**studies("own_data").inputs)
    row = study.comparisons.query("contrast == 'video - scratch' and metric == 'auroc'").iloc[0]
    assert style.signed(row["difference"]) in words(plot(studies, "own_data", "video_minus_scratch"))


def test_best_2d_model_is_marked(studies):
    study = read_study(**studies("smoke").inputs)
    axis = plot(studies, "smoke", "video_3d_vs_2d").axes[0]
    best = study.means.query(
        "model == 'efficientnet_lite0' and init == 'imagenet' and percent == 50 and metric == 'auroc'"
    )["value"].max()
    assert any(list(line.get_xdata()) == [best, best] for line in axis.get_lines())


def test_lone_model_of_the_seven_stands_for_the_mean(studies):
    assert "AUROC, Slow (narrow)" in words(plot(studies, "smoke", "auroc_by_percent"))


def test_baseline_is_drawn(studies):
    assert "Trivial baseline" in words(plot(studies, "own_data", "auroc_by_percent"))


def test_real_data_carry_no_stand_in_note(studies):
    assert "Stand-in" not in words(plot(studies, "own_data", "auroc_by_percent"))


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


def test_origins_of_weights(studies):
    origins = origin_of_weights(read_study(**studies("smoke").inputs))
    assert [(o["init"], o["models"], o["stand_in"]) for o in origins] == [
        ("Video pretraining", ["Slow (narrow)"], True),
        ("Video pretraining", ["I3D"], False),
        ("ImageNet pretraining", ["EfficientNet-Lite0"], False),
    ]


def test_study_without_auroc_says_so(studies):
    study = read_study(**studies("smoke").inputs)
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
    [([100], [100]), ([10, 100], [10, 100]), ([1, 5, 10, 50, 100], [1, 10, 100])],
)
def test_shown_percents(percents, shown):
    assert shown_percents(percents) == shown


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stand_in"'])
def test_broken_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="manifest"):
        read_manifest(tmp_path / "manifest.json")
