"""Calibration: the observed share of positive scans by score, and the distribution of scores."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.claimed_models import claimed_models
from chestct.figures import panels, style
from chestct.figures.study_tables import StudyTables, are_means

_DODGE = 0.008
_COLUMNS = 4
_FIT = {"calibration_slope": "Slope", "calibration_intercept": "intercept"}


def calibration(study: StudyTables) -> Figure:
    """Reliability diagrams of the mean of the seven (or of single models) above the distribution of scores.

    Raises:
        NothingToPlotError: the study has no calibration table.
    """
    rows = study.calibration
    if rows.empty:
        raise panels.NothingToPlotError("the study has no calibration table.")
    sizes = study.means.groupby("dataset")[["num_scans", "num_positive"]].first()
    rows = rows.join(sizes.add_suffix("_of_dataset"), on="dataset")
    try:
        shown = panels.subject_of(rows)
        shown = shown.assign(panel="mean" if are_means(shown).any() else shown["model"])
    except panels.NothingToPlotError:
        shown = panels.own_models(rows)
        shown = shown.assign(panel=shown["model"])
    diagrams = [
        (dataset, part)
        for dataset in study.datasets
        for _, part in shown[shown["dataset"] == dataset].groupby("panel", sort=False)
    ]
    columns = min(len(diagrams), _COLUMNS if len(diagrams) > 3 else 3)
    blocks = math.ceil(len(diagrams) / columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    height, ratios = 0.85 + 3.1 * blocks, [3, 1] * blocks
    figure, axes = panels.new_panels(2 * blocks, columns, width=width, height=height, height_ratios=ratios)
    for number, (_, part) in enumerate(diagrams):
        block, column = divmod(number, columns)
        diagram, spread = axes[2 * block, column], axes[2 * block + 1, column]
        _draw(diagram, spread, part)
        words = ", ".join(_FIT.values()) + (" (medians)" if style.is_mean(part["model"].iloc[0]) else "")
        _write_slopes(diagram, _recalibration(study, part), words)
        title = panels.dataset_title(
            part.assign(num_scans=part["num_scans_of_dataset"], num_positive=part["num_positive_of_dataset"]),
            width / columns - 0.6,
        )
        model = part["model"].iloc[0]
        if not style.is_mean(model):
            title += f"\n{style.model_title(model)}"
        diagram.set_title(title)
        spread.set_xlabel("Score")
        spread.tick_params(labelbottom=True)
        if column == 0:
            diagram.set_ylabel("Share of positive scans")
            spread.set_ylabel("Scans (%)")
    for number in range(len(diagrams), blocks * columns):
        block, column = divmod(number, columns)
        axes[2 * block, column].remove()
        axes[2 * block + 1, column].remove()
    percents = sorted(rows["percent"].astype(int).unique())
    return panels.finish(
        figure,
        study,
        datasets=[dataset for dataset, _ in diagrams],
        arms=panels.arms_of(shown),
        note=(
            f"{percents[-1]} % of training patients. Class-balanced training and the maximum over windows "
            "raise scores above the prevalence: points below the diagonal are expected."
        ),
        intervals="Wilson's, for the share in each bin",
    )


def _recalibration(study: StudyTables, rows: pd.DataFrame) -> pd.DataFrame:
    """Calibration slope and intercept of the arms of a diagram, by init; no rows if not measured.

    For a mean over models they are the medians over these: one model whose scores hardly vary has a slope of
    any size, which would be all that a mean shows.
    """
    keys = ["dataset", "model", "init", "percent"]
    if style.is_mean(str(rows["model"].iloc[0])):
        singles = study.means[study.means["model"].isin(claimed_models(study.means["model"]))]
        arms = singles.merge(rows[[key for key in keys if key != "model"]].drop_duplicates())
    else:
        arms = study.means.merge(rows[keys].drop_duplicates())
    return (
        arms.pivot_table(index="init", columns="metric", values="value", aggfunc="median")
        .reindex(columns=list(_FIT))
        .dropna(how="all")
    )


def _write_slopes(diagram: Axes, fits: pd.DataFrame, title: str) -> None:
    """List slope and intercept above the diagonal, where points are rare, with the marker of their init."""
    handles = [
        panels.init_handle(init, ", ".join(map(_number, fits.loc[init, list(_FIT)])), line=False)
        for init in sorted(fits.index, key=style.init_rank)
    ]
    if handles:
        diagram.legend(
            handles=handles,
            title=title,
            loc="upper left",
            fontsize=style.FOOTER_SIZE,
            title_fontsize=style.FOOTER_SIZE,
            handlelength=1.0,
            borderaxespad=0.1,
            labelspacing=0.2,
            alignment="left",
        )


def _number(value: float) -> str:
    return style.NONE if pd.isna(value) else f"{value:.2f}".replace("-", style.MINUS)


def _draw(diagram: Axes, spread: Axes, rows: pd.DataFrame) -> None:
    diagram.plot([0, 1], [0, 1], color=style.REFERENCE_COLOUR, linewidth=0.6, linestyle=(0, (1, 2)))
    inits = panels.inits_of(rows)
    for number, init in enumerate(inits):
        mark = style.INIT_MARKS[init]
        arm = rows[rows["init"] == init].sort_values("mean_score")
        x, y, low, high, counts = panels.floats(
            arm, "mean_score", "share_positive", "low", "high", "num_scans"
        )
        look = {"color": mark.colour, "linestyle": mark.line, "linewidth": 0.9} | panels.marker_look(init)
        shifted = x + (number - (len(inits) - 1) / 2) * _DODGE
        diagram.vlines(shifted, low, high, color=mark.colour, linewidth=0.8)
        diagram.plot(shifted, y, **look)
        spread.plot(x, 100 * counts / counts.sum(), **look)
    diagram.set_xlim(-0.03, 1.03)
    diagram.set_ylim(-0.03, 1.03)
    diagram.tick_params(labelbottom=False)
    spread.set_ylim(bottom=0)
