"""Paired differences of all claims: the cells of each (dataset and percentage), and their average."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chestct.chosen_rival import models_of
from chestct.figures import panels, style
from chestct.figures.claim_sentences import CLAIMS, margin_words, tested_rows
from chestct.figures.dot_grid import draw_points
from chestct.figures.forest import difference_handles
from chestct.figures.intervals import draw_over_patients, has_verdict, value_limits
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import contrast_title

_INIT = "video"
_THICKNESS = 1.3
_BELOW = 0.27  # of a row: how far below its point the interval over patients alone lies
_ROW_HEIGHT = 0.165  # inches
_LABEL_LETTERS, _TITLE_LETTERS = 20, 34
_BAND_COLOUR = "#e4eef5"

#: What is drawn of cells and of averages over them.
_COLUMNS = ["difference", "ci_low", "ci_high", "patients_low", "patients_high", "p_holm", "num_models"]

#: A row of the table "claims", and the rows of "comparisons" of its cells.
Claim = tuple[pd.DataFrame, pd.DataFrame]
#: Place, words, and whether they are bold.
Label = tuple[float, str, bool]


def paired_differences(study: StudyTables) -> Figure:
    """One panel a claim that the study tests, with a row a cell and the average over them below.

    Raises:
        NothingToPlotError: the study tests no claim.
    """
    rows = [study.claims.iloc[[place]] for place in range(len(study.claims))]
    claims = [(row, tested_rows(study, row.to_dict("records")[0])) for row in rows]
    claims = [(row, cells) for row, cells in claims if len(cells)]
    if not claims:
        raise panels.NothingToPlotError("the study lacks the arms that the claims compare.")
    alpha = 1 - study.confidence
    cells = pd.concat([part for _, part in claims])
    shown = pd.concat([part[_COLUMNS] for claim in claims for part in claim])
    columns = min(len(claims), 2)
    num_rows = math.ceil(len(claims) / columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    # All rows of all panels are equally high; panels beside each other end at the same height.
    depths = [_places(part)[2] for _, part in claims]
    ends = [min(depths[first : first + columns]) - 0.8 for first in range(0, len(claims), columns)]
    heights = [(0.8 - end) * _ROW_HEIGHT for end in ends]
    figure, axes = panels.new_panels(
        num_rows, columns, width=width, height=1.0 + 0.45 * num_rows + sum(heights), height_ratios=heights
    )
    limits = value_limits(shown, "difference")
    for number, (axis, claim) in enumerate(zip(axes.flat, claims, strict=False)):
        axis.set_xlim(limits)
        _draw(axis, claim, alpha)
        axis.set_ylim(ends[number // columns], 0.8)
        axis.set_xlabel("Difference in AUROC")
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(claims) :]:
        axis.remove()
    margin = margin_words(float(study.claims["margin"].max()))
    band = Line2D([], [], color=_BAND_COLOUR, linewidth=6, label=f"Within {margin}: not relevant")
    return panels.finish(
        figure,
        study,
        datasets=panels.present(study.datasets, cells),
        arms=_arms(claims),
        handles=[*difference_handles(shown, alpha), band],
        rows=cells,
    )


def _draw(axis: Axes, claim: Claim, alpha: float) -> None:
    average, cells = claim
    number, _, contrast, _ = CLAIMS[str(average["claim"].iloc[0])]
    labels, places, lowest = _places(cells)
    margin = float(average["margin"].iloc[0])
    axis.axvspan(-margin, margin, color=_BAND_COLOUR, linewidth=0, zorder=0)
    axis.axvline(0, color=style.REFERENCE_COLOUR, linewidth=0.8)
    axis.axhline(lowest + 0.5, color=style.RULE_COLOUR, linewidth=0.6, zorder=0)
    for rows, heights in ((cells, places), (average, np.array([lowest]))):
        decides = has_verdict(rows)
        draw_over_patients(axis, heights[decides] - _BELOW, rows[decides], style.INIT_MARKS[_INIT].colour)
        significant = (rows["p_holm"] < alpha).to_numpy(dtype=bool)
        draw_points(
            axis,
            rows,
            heights,
            _INIT,
            column="difference",
            filled=significant | ~decides,
            faint=~decides,
            thickness=_THICKNESS,
        )
    ticks = axis.set_yticks([place for place, _, _ in labels], [words for _, words, _ in labels])
    for tick, (_, _, bold) in zip(ticks, labels, strict=True):
        if bold:
            tick.label1.set_fontweight("bold")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.set_title(style.wrap_name(f"Claim {number}: {contrast_title(contrast)}", _TITLE_LETTERS))


def _places(cells: pd.DataFrame) -> tuple[list[Label], np.ndarray, float]:
    """Labels of a panel, where its cells lie along y, shape (len(cells),), and where their average lies."""
    labels: list[Label] = []
    places: list[float] = []
    y = 0.0
    several = cells.duplicated(["dataset", "percent"]).any()
    for dataset, part in cells.groupby("dataset", sort=False):
        name = style.wrap_name(str(dataset), _LABEL_LETTERS)
        extra = name.count("\n")
        labels.append((y - extra / 2, name, True))
        y -= 1 + extra
        for percent, model in zip(part["percent"], part["model"], strict=True):
            words = f"{percent} %" + (f", {style.model_title(model)}" if several else "")
            labels.append((y, words, False))
            places.append(y)
            y -= 1
    labels.append((y, "All cells", True))
    return labels, np.array(places), y


def _arms(claims: list[Claim]) -> set[tuple[str, str]]:
    """(model, init) of both sides of the contrasts."""
    arms: set[tuple[str, str]] = set()
    for average, cells in claims:
        minuend, _, subtrahend = CLAIMS[str(average["claim"].iloc[0])][2].partition(" - ")
        arms |= {(model, minuend) for model in cells["model"]}
        if subtrahend == "best_2d":
            arms |= {(model, "imagenet") for rival in cells["rival"].dropna() for model in models_of(rival)}
        else:
            arms |= {(model, subtrahend) for model in cells["model"]}
    return arms
