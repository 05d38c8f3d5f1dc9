"""Sources of variance, and the control A against A."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from chestct.figures.captions import CAPTIONS
from chestct.figures.panels import NothingToPlotError
from chestct.figures.render import FIGURES, project_style
from chestct.figures.report_uncertainty import variance_of
from chestct.figures.report_validity import validity_of
from chestct.figures.same_arm import WAYS, differing
from chestct.figures.variance_shares import ALL_CELLS, SOURCES, share_rows, what_helps
from chestct.wilson import wilson_interval

_SHARES = [f"share_{source}" for source in SOURCES]


def plot(study, name: str) -> Figure:
    with project_style():
        return FIGURES[name](study)


def note_of(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def test_bars_are_the_shares_of_the_tables(tables, plots):
    study = tables("seeds")
    figure = plots("seeds", "variance_shares")
    rows = share_rows(study)
    assert len(figure.axes) == 3
    for axis, contrast in zip(figure.axes, rows["contrast"].unique(), strict=True):
        own = rows[rows["contrast"] == contrast]
        assert own["dataset"].iloc[0] == ALL_CELLS
        widths = np.array([[bar.get_width() for bar in bars] for bars in axis.containers]).T
        assert widths == pytest.approx(100 * own[_SHARES].to_numpy(dtype=float))
        assert widths.sum(axis=1) == pytest.approx(np.full(len(own), 100.0))
        errors = [text.get_text() for text in axis.texts]
        assert errors == [f"{error:.3f}" for error in own["standard_error"]]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["All cells", "rspect_phantom", "10 %", "100 %", "lidc_phantom", "10 %", "100 %"]
    hatches = {bar.get_hatch() for bars in figure.axes[0].containers for bar in bars}
    assert len(hatches) == 3  # told apart in grey
    for row in rows[rows["dataset"] == ALL_CELLS].to_dict("records"):
        assert what_helps(row) in note_of(figure)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.5, 0.3, 0.2), "patients make up 50 %, so more test patients would help most"),
        ((0.2, 0.7, 0.1), "training runs make up 70 %, so more training runs (seeds) would help most"),
        ((0.2, 0.1, 0.7), "models make up 70 %, so more models would help most"),
        ((0.2, 0.8, None), "training runs make up 80 %, so more training runs (seeds) would help most"),
        ((None, None, None), ""),
    ],
)
def test_the_largest_share_says_what_helps(shares, words):
    assert what_helps(dict(zip(_SHARES, shares, strict=True))) == words


def test_shares_of_a_study_of_one_model_are_of_patients_and_training(tables):
    study = tables("own_data")
    shares = {"share_patients": 0.6, "share_training": 0.4, "share_models": np.nan, "standard_error": 0.05}
    study = dataclasses.replace(
        study, claims=study.claims.assign(**shares), comparisons=study.comparisons.assign(**shares)
    )
    figure = plot(study, "variance_shares")
    assert [[bar.get_width() for bar in bars] for bars in figure.axes[0].containers] == [
        [60] * 2,
        [40] * 2,
        [0] * 2,
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "All cells",
        "real_nodules",
        "100 %",
    ]


def test_with_one_seed_the_figures_say_what_they_need(tables):
    for name in ("variance_shares", "same_arm"):
        with pytest.raises(NothingToPlotError, match="needs two seeds"):
            plot(tables("default"), name)
    assert variance_of(tables("default")) is None
    with pytest.raises(NothingToPlotError, match="none of the paper's claims"):
        plot(tables("bare"), "variance_shares")


def test_report_has_the_shares_as_a_table(tables):
    study = tables("seeds")
    found = variance_of(study)
    rows = share_rows(study)
    assert len(found["table"]) == len(rows)
    place = found["table"].columns.index("Share of training")
    shown = [row[place] for row in found["table"].rows]
    assert shown == [f"{100 * share:.1f} %" for share in rows["share_training"]]
    assert found["table"].rows[0][1] == "all cells"
    assert found["sentence"].count("would help most") == 3


def made_up(study, p_values, patients_p, model="mean_of_seven", dataset="lidc_phantom"):
    """Contrasts of seeds of one arm with these p values."""
    rows = pd.DataFrame({"p_value": p_values, "patients_p": patients_p}, dtype="float64")
    rows = rows.assign(
        dataset=dataset, model=model, init="scratch", percent=100, seeds="0 - 1", num_models=7, difference=0.0
    )
    ends = ("ci_low", "ci_high", "patients_low", "patients_high")
    return dataclasses.replace(study, same_arm=rows.assign(**dict.fromkeys(ends, 0.0)))


def test_contrasts_that_differ_are_counted_by_way_and_group(tables):
    study = made_up(tables("seeds"), [0.2, 0.04, 0.9, 0.5], [0.01, 0.02, 0.03, 0.5])
    decides, alone = differing(study)
    assert (decides.way, decides.num_differ, decides.num_contrasts) == (WAYS[0], 1, 4)
    assert (alone.way, alone.num_differ, alone.share) == (WAYS[1], 3, 0.75)
    assert (alone.low, alone.high) == wilson_interval(3, 4, 0.95)
    # Two runs of a single model do not tell how much training varies: they have one way only.
    (alone,) = differing(made_up(study, [None] * 2, [0.01, 0.5], model="i3d"))
    assert (alone.way, alone.group) == (WAYS[1], "single models")


def test_same_arm_figure_shows_shares_and_p_values(tables):
    study = made_up(tables("seeds"), [0.2, 0.04, 0.9, 0.5], [0.01, 0.02, 0.03, 0.5])
    left, right = plot(study, "same_arm").axes
    shares = [line.get_xdata()[0] for line in left.get_lines() if len(line.get_xdata()) == 1]
    assert shares == [25, 75]
    assert [text.get_text() for text in left.texts] == ["1 of 4", "3 of 4"]
    level = next(line for line in left.get_lines() if line.get_linestyle() == "--")
    assert level.get_xdata()[0] == pytest.approx(5)
    diagonal, decides, alone = right.get_lines()
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert decides.get_xdata().tolist() == [0, 0.04, 0.2, 0.5, 0.9, 1]
    assert decides.get_ydata().tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
    assert decides.get_linestyle() != alone.get_linestyle()  # told apart in grey


def test_same_arm_of_a_real_evaluation(tables, plots):
    study = tables("seeds")
    figure = plots("seeds", "same_arm")
    assert f"{len(study.same_arm):,} contrasts" in note_of(figure)
    found = validity_of(study)["same_arm"]
    assert len(found["table"]) == len(study.same_arm)
    means = next(share for share in differing(study) if share.way is WAYS[0])
    assert f"{means.num_differ} of {means.num_contrasts}" in found["sentence"]
    assert validity_of(tables("default"))["same_arm"] is None


def test_captions_say_what_the_controls_mean():
    assert "other hospitals" in CAPTIONS["variance_shares"] and "more seeds" in CAPTIONS["variance_shares"]
    assert "takes the chance of training for an effect" in CAPTIONS["same_arm"]
