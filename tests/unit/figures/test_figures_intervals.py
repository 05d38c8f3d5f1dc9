"""Which interval is shown: the one that decides first, that over patients alone lighter and named."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from chestct.figures import style
from chestct.figures.captions import CAPTIONS
from chestct.figures.intervals import (
    ONE_RUN,
    are_cut,
    draw_intervals,
    interval_note,
    shown_ends,
    value_limits,
)
from chestct.figures.render import FIGURES, project_style
from chestct.figures.report_tables import calibration_table, means_table
from chestct.figures.report_uncertainty import few_runs_notes, no_interval_notes

#: Figures whose intervals are those of arms or contrasts.
SHOWN = [
    "auroc_by_percent", "label_efficiency", "auroc_by_percent_per_model", "forest", "video_3d_vs_2d",
    "video_vs_ct", "probe_vs_finetuned",
]  # fmt: skip


def rows_of(*rows: tuple) -> pd.DataFrame:
    """Rows with value, both ends of the interval that decides, and both of that over patients alone."""
    columns = ["value", "ci_low", "ci_high", "patients_low", "patients_high"]
    table = pd.DataFrame(list(rows), columns=columns, dtype="float64")
    return table.assign(model="i3d", num_models=1, num_runs=2)


DECIDED, ONE = (0.7, 0.5, 0.9, 0.65, 0.75), (0.6, None, None, 0.52, 0.68)


def note_of(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def segments(axis, *, dotted: bool) -> list[list[float]]:
    """Ends along x of the axis's horizontal intervals of one kind."""
    found = []
    for lines in axis.collections:
        if isinstance(lines, LineCollection):
            is_dotted = lines.get_linestyles()[0][1] is not None
            if is_dotted == dotted:
                found += [[float(x) for x, _ in segment] for segment in lines.get_segments()]
    return found


def test_the_interval_that_decides_comes_first():
    rows = rows_of(DECIDED, ONE, (np.nan, None, None, None, None))
    low, high = shown_ends(rows)
    assert low[:2].tolist() == [0.5, 0.52] and high[:2].tolist() == [0.9, 0.68]
    assert np.isnan(low[2]) and np.isnan(high[2])


def test_intervals_over_patients_alone_are_dotted_and_lighter():
    axis = Figure().subplots()
    axis.set_xlim(0, 1)
    draw_intervals(axis, np.arange(2.0), rows_of(DECIDED, ONE), "#0173b2")
    assert segments(axis, dotted=False) == [[0.5, 0.9]] and segments(axis, dotted=True) == [[0.52, 0.68]]
    solid, dotted = axis.collections
    grey = [np.dot(lines.get_colors()[0][:3], (0.299, 0.587, 0.114)) for lines in (solid, dotted)]
    assert grey[1] > grey[0] + 0.2
    assert not are_cut([axis])


def test_an_interval_beyond_the_axis_is_marked_where_it_is_cut():
    axis = Figure().subplots()
    axis.set_ylim(0.4, 0.8)
    draw_intervals(axis, np.arange(2.0), rows_of(DECIDED, ONE), "#0173b2", vertical=True)
    (mark,) = axis.get_lines()
    assert mark.get_xydata().tolist() == [[0.0, 0.8]] and mark.get_marker() == "^"
    assert are_cut([axis])


def test_one_wide_interval_does_not_press_the_others_together():
    """Two runs of one model can give an interval from below 0 to above 1."""
    usual = [(0.7 + i / 100, 0.6, 0.8, 0.65, 0.76) for i in range(5)]
    assert value_limits(rows_of(*usual)) == pytest.approx((0.59, 0.81), abs=0.005)
    low, high = value_limits(rows_of(*usual, (0.7, -1.5, 2.9, 0.65, 0.76)))
    assert 0.4 < low < 0.6 and 0.8 < high < 0.9
    differences = rows_of((0.1, 0.05, 0.2, 0.07, 0.13)).rename(columns={"value": "difference"})
    assert value_limits(differences, "difference")[0] < 0  # zero is always in view


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([DECIDED], "95 % intervals: patients and training runs vary."),
        ([DECIDED, ONE], f"95 % intervals: patients and training runs vary. Dotted and lighter: {ONE_RUN}."),
        ([ONE], f"95 % intervals, dotted and lighter. {ONE_RUN.capitalize()}."),
    ],
)
def test_the_note_says_what_varies(rows, note):
    table = rows_of(*rows)
    assert interval_note(table, 0.95) == note
    baseline = table.head(1).assign(model="baseline")
    assert interval_note(pd.concat([table, baseline]), 0.95) == note
    means = table.assign(num_models=7)
    assert interval_note(means, 0.95) == note.replace(
        "patients and training runs", "patients, training runs and models"
    )


@pytest.mark.parametrize("name", SHOWN)
def test_figures_say_where_there_is_no_verdict(plots, name):
    """With one seed in the note; with three there is nothing to say. The captions say it in any case."""
    probes = name == "probe_vs_finetuned"
    assert ONE_RUN in note_of(plots("paper" if probes else "default", name)).replace(
        "One training", "one training"
    )
    if not probes:
        note = note_of(plots("seeds", name))
        assert "training run an arm" not in note and "training runs" in note and "Mean over 3 seeds" in note
    assert ONE_RUN in CAPTIONS[name]


def test_forest_has_the_interval_over_patients_alone_beneath_the_one_that_decides(tables, plots):
    study = tables("seeds")
    rows = study.comparisons.query("contrast == 'video - scratch' and metric == 'auroc' and percent == 100")
    figure = plots("seeds", "forest")
    axis = figure.axes[1]
    mean = rows.query("dataset == 'rspect_phantom' and model == 'mean_of_seven'").iloc[0]
    assert [mean["ci_low"], mean["ci_high"]] in segments(axis, dotted=False)
    assert [mean["patients_low"], mean["patients_high"]] in segments(axis, dotted=True)
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "patients, training and models vary" in legend and "over patients alone" in legend
    assert "no verdict" not in legend
    alone = plots("default", "forest")
    assert segments(alone.axes[1], dotted=False) == []
    legend = " ".join(text.get_text() for text in alone.legends[0].get_texts())
    assert "no verdict" in legend and "models vary" not in legend
    lighter = style.lighter(style.INIT_MARKS["video"].colour)
    points = [line for line in alone.axes[1].get_lines() if line.get_marker() == "s"]
    assert {line.get_markerfacecolor() for line in points} == {lighter}


def with_metrics(study, **values: float):
    """The study with further metrics in the table means, without intervals unless they are calibration's."""
    auroc = study.means[study.means["metric"] == "auroc"]
    ends = ["ci_low", "ci_high", "patients_low", "patients_high", "bca_low", "bca_high"]
    parts = [study.means[~study.means["metric"].isin([*values, "calibration_error"])]]
    for name, value in values.items():
        part = auroc.assign(metric=name, value=value)
        parts.append(part.assign(**dict.fromkeys(ends, np.nan)) if name == "calibration_error" else part)
    return dataclasses.replace(study, means=pd.concat(parts, ignore_index=True))


def test_a_metric_without_interval_has_a_dash_and_its_reason_once(tables):
    study = with_metrics(tables("seeds"), calibration_error=0.123)
    shown = means_table(study)
    place = {name: shown.columns.index(name) for name in ("Metric", "Value", "Interval", "Patients alone")}
    rows = [row for row in shown.rows if row[place["Metric"]] == "Calibration error"]
    assert rows and {row[place["Value"]] for row in rows} == {"0.123"}
    assert {row[place[name]] for row in rows for name in ("Interval", "Patients alone")} == {"\N{EN DASH}"}
    (note,) = no_interval_notes(study)
    assert note.startswith("Calibration error has no interval: resampling adds")
    assert no_interval_notes(with_metrics(tables("seeds"), brier=0.2)) == []


def test_arms_with_one_or_two_runs_are_named(tables):
    assert few_runs_notes(tables("default")) == [f"{ONE_RUN.capitalize()}."]
    assert few_runs_notes(tables("seeds")) == []
    study = tables("seeds")
    runs = study.means["num_runs"].where(study.means["model"] != "i3d", 1)
    runs = runs.where(study.means["model"] != "slow_narrow", 2)
    one, two = few_runs_notes(dataclasses.replace(study, means=study.means.assign(num_runs=runs)))
    trained = study.means[~study.means["model"].isin(["metadata", "slice_count"])]
    number = len(trained.drop_duplicates(["dataset", "model", "init", "percent"]))
    assert one.endswith(f"no verdict (10 of {number} arms).")
    assert two.startswith("Two training runs an arm") and two.endswith(f"(10 of {number} arms).")


def test_means_over_two_models_are_named_where_they_are_decided(tables):
    study = tables("seeds")
    two = study.means.assign(num_models=study.means["num_models"].clip(upper=2))
    (note,) = few_runs_notes(dataclasses.replace(study, means=two))
    assert note.startswith("Means over two models")
    one_run = dataclasses.replace(study, means=two.assign(num_runs=1))
    assert few_runs_notes(one_run) == [f"{ONE_RUN.capitalize()}."]


def test_captions_say_what_intervals_a_figure_shows():
    assert not [name for name, words in CAPTIONS.items() if not re.search("[Ii]nterval|[Bb]ands", words)]


def test_calibration_shows_slope_and_intercept(tables):
    study = with_metrics(tables("seeds"), calibration_slope=0.63, calibration_intercept=-0.8, brier=0.2)
    with project_style():
        figure = FIGURES["calibration"](study)
        bare = FIGURES["calibration"](
            dataclasses.replace(study, means=study.means.query("metric == 'auroc'"))
        )
    legend = figure.axes[0].get_legend()
    assert legend.get_title().get_text() == "Slope, intercept (medians)"
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [f"0.63, {style.MINUS}0.80"] * 2  # scratch and video
    assert bare.axes[0].get_legend() is None
    table = calibration_table(study)
    assert table.columns == ("Dataset", "Model", "Start", "Slope", "Intercept", "Brier score")
    assert all(row[3].startswith("0.630 (") for row in table.rows)
