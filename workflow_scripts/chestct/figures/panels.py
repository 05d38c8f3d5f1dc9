"""Parts that the figures share: panels, axes, lines with intervals, legends and the note below the panels."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chestct.catalogue import MODELS
from chestct.claimed_models import mean_size
from chestct.figures import hover_words, style
from chestct.figures.hover import note_points
from chestct.figures.intervals import are_cut, draw_intervals, has_verdict, interval_note, shown_ends
from chestct.figures.study_tables import StudyTables, are_means, stand_in_note

#: Fewer training scans of a class than this are marked: such a subset says little.
FEW_SCANS = 10
FEW_MARK = "*"
_DODGE = 0.014  # of an axis, between the arms of a panel


class NothingToPlotError(Exception):
    """The study lacks the data of a figure; the message says which."""


def new_panels(
    num_rows: int, num_columns: int, *, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure, at most as high as a journal page, with panels of shape (num_rows, num_columns)."""
    figure = Figure(figsize=(width, min(height, style.PAGE_HEIGHT)), layout="constrained")
    return figure, figure.subplots(num_rows, num_columns, squeeze=False, **{"sharex": True} | options)


def auroc_rows(study: StudyTables) -> pd.DataFrame:
    """The AUROC rows of the table "means".

    Raises:
        NothingToPlotError: the study does not measure it.
    """
    rows = study.means[study.means["metric"] == "auroc"]
    if rows.empty:
        raise NothingToPlotError("AUROC is not among the study's metrics.")
    return rows


def subject_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that represent the study's 3D models.

    These are the means over the claimed models, else its only model of the seven, else its only 3D model.

    Args:
        rows: of a table with a column "model".

    Raises:
        NothingToPlotError: the study has several 3D models without a mean, or no 3D model.
    """
    means = rows[are_means(rows)]
    if len(means):
        return means
    three_d = [m for m in rows["model"].unique() if m in MODELS and MODELS[m].family == "3d"]
    three_d = [model for model in three_d if not style.is_probe(model)]
    candidates = [model for model in three_d if MODELS[model].seven] or three_d
    if len(candidates) != 1:
        count = f"{len(candidates)} 3D models, but no" if candidates else "no 3D model, and so no"
        raise NothingToPlotError(f"the study has {count} mean over them, which this figure shows.")
    return rows[rows["model"] == candidates[0]]


def subject_title(rows: pd.DataFrame) -> str:
    """Title of the rows that ``subject_of`` returned; for several means, the one over the most models."""
    models = sorted(rows["model"].unique(), key=style.model_rank)
    return style.model_title(max(models, key=mean_size) if style.is_mean(models[0]) else models[0])


def subject_label(subject: pd.DataFrame) -> str:
    """Title of the y axis of a figure about the mean."""
    title = subject_title(subject)
    is_mean = are_means(subject).any()
    return f"AUROC, {style.in_sentence(title) if is_mean else title}"


def fewer_models(means: pd.DataFrame) -> str:
    """Note on arms that are means over fewer models than the others; empty if there are none."""
    fewer = means[means["num_models"] < means["num_models"].max()].drop_duplicates(["dataset", "init"])
    words = [
        f"{style.init_title(init)} in {dataset}: {style.in_sentence(style.model_title(model))}"
        for dataset, init, model in fewer[["dataset", "init", "model"]].to_numpy()
    ]
    return f"{'; '.join(words)}." if words else ""


def own_models(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of single models, without means, the baseline and frozen probes (which have their own figure)."""
    single = rows["model"].isin(list(MODELS)) & ~rows["model"].map(style.is_probe).astype(bool)
    return rows[single]


def models_and_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of single models, then rows of means over models."""
    return pd.concat([own_models(rows), rows[are_means(rows)]])


def dataset_title(rows: pd.DataFrame, width: float) -> str:
    """Name of the dataset and size of its test set, for a panel of this width in inches."""
    first = rows.iloc[0]
    name = style.wrap_name(str(first["dataset"]), int(width * style.LETTERS_PER_INCH))
    return f"{name}\n{first['num_scans']} test scans, {first['num_positive']} positive"


def present(names: Iterable[str], rows: pd.DataFrame, column: str = "dataset") -> list[str]:
    """The names that occur in the rows, in the order of ``names``."""
    found = set(rows[column])
    return [name for name in names if name in found]


def floats(rows: pd.DataFrame, *columns: str) -> list[np.ndarray]:
    """Columns as arrays of floats."""
    return [rows[column].to_numpy(dtype=float) for column in columns]


def inits_of(rows: pd.DataFrame) -> list[str]:
    """Inits in the catalogue's order."""
    return sorted(rows["init"].unique(), key=style.init_rank)


def shown_percents(percents: Sequence[int], limit: int = 5) -> list[int]:
    """At most ``limit`` of the percentages: the smallest, the largest and evenly spaced ones between."""
    if len(percents) <= limit:
        return list(percents)
    picks = np.round(np.linspace(0, len(percents) - 1, limit)).astype(int)
    return [percents[pick] for pick in picks]


def has_few_scans(rows: pd.DataFrame) -> pd.Series:
    """Whether the training subset of each row of "means" has fewer than FEW_SCANS scans of a class."""
    return rows["least_class"].astype(float) < FEW_SCANS


def few_scans_note(rows: pd.DataFrame) -> str:
    """Note on marked percentages; empty if none is."""
    words = f"{FEW_MARK} A training subset with fewer than {FEW_SCANS} scans of a class."
    return words if has_few_scans(rows).any() else ""


def counted_patients(rows: pd.DataFrame) -> str:
    """The patients that a percentage counts: training patients, or all whose labels a run sees."""
    both = (rows["labels_counted"] == "training_and_validation").any()
    return "Labelled patients" if both else "Training patients"


def draw_arms(axis: Axes, rows: pd.DataFrame, *, bands: bool, column: str = "percent") -> None:
    """One line with intervals for each init, along a logarithmic x axis.

    Args:
        axis: panel, whose limits are set.
        rows: of the table "means", one per init and point.
        bands: whether to shade the intervals that decide, which is unreadable for more than two inits.
        column: column of the x values.
    """
    inits = inits_of(rows)
    low_x, high_x = axis.get_xlim()
    for position, init in enumerate(inits):
        mark = style.INIT_MARKS[init]
        # Shifted sideways, the intervals of several arms do not cover each other.
        dodge = (high_x / low_x) ** ((position - (len(inits) - 1) / 2) * _DODGE)
        for _, arm in rows[rows["init"] == init].sort_values(column).groupby("model", sort=False):
            x = arm[column].to_numpy(dtype=float) * dodge
            (y,) = floats(arm, "value")
            if bands and len(arm) > 1 and has_verdict(arm).all():
                axis.fill_between(x, *shown_ends(arm), color=mark.colour, alpha=0.12, linewidth=0)
            draw_intervals(axis, x, arm, mark.colour, vertical=True, thickness=0.8)
            axis.plot(x, y, color=mark.colour, linestyle=mark.line, **marker_look(init))
            note_points(axis, x, y, arm, hover_words.of_means)


def marker_look(init: str, *, filled: bool = True, faint: bool = False) -> dict[str, Any]:
    """Keyword arguments of a line's markers; open ones have a coloured edge, faint ones a lighter face."""
    mark = style.INIT_MARKS[init]
    edged = mark.marker == "x" or not filled
    colour = style.lighter(mark.colour) if faint else mark.colour
    return {
        "marker": mark.marker,
        "markerfacecolor": colour if filled else "white",
        "markeredgecolor": colour if edged else "white",
        "markeredgewidth": 0.9 if edged else 0.4,
    }


def init_handle(
    init: str, label: str | None = None, *, line: bool = True, marker: bool = True, filled: bool = True
) -> Line2D:
    """Legend entry of an init."""
    mark = style.INIT_MARKS[init]
    look = marker_look(init, filled=filled) if marker else {}
    words = label or style.init_title(init) or "Trivial baseline"
    return Line2D([], [], color=mark.colour, linestyle=mark.line if line else "none", label=words, **look)


def reference_handle(label: str, colour: str = style.REFERENCE_COLOUR, line: object = (0, (3, 2))) -> Line2D:
    """Legend entry of a reference line."""
    return Line2D([], [], color=colour, linestyle=line, linewidth=0.9, label=label)  # type: ignore[arg-type]


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Number of legend entries per row that fit a figure of this width in inches, in rows of equal length."""
    for num_rows in range(1, len(labels)):
        columns = math.ceil(len(labels) / num_rows)
        # Matplotlib fills a legend column by column.
        widest = [max(map(len, labels[i * num_rows : (i + 1) * num_rows] or [""])) for i in range(columns)]
        if sum(letters / style.LETTERS_PER_INCH + 0.47 for letters in widest) < width:
            return columns
    return 1


def arms_of(rows: pd.DataFrame) -> set[tuple[str, str]]:
    """(model, init) of the rows."""
    return set(zip(rows["model"], rows["init"], strict=True))


def finish(
    figure: Figure,
    study: StudyTables,
    *,
    datasets: Iterable[str],
    arms: Iterable[tuple[str, str]],
    handles: Sequence[Artist] | None = None,
    note: str = "",
    rows: pd.DataFrame | None = None,
    intervals: str = "",
) -> Figure:
    """Add the legend above the panels and, below them, the note on intervals and stand-in data.

    Args:
        figure: with all panels drawn.
        study: tables of the study.
        datasets: that the figure shows.
        arms: (model, init) that the figure shows.
        handles: entries of the legend; one per init of the arms unless given.
        note: first sentences below the panels.
        rows: of the table means or comparisons, whose intervals the figure shows.
        intervals: kind of the intervals, in a figure that shows others.
    """
    width, arms = figure.get_figwidth(), list(arms)
    if handles is None:
        handles = [init_handle(init) for init in sorted({init for _, init in arms}, key=style.init_rank)]
    if handles:
        columns = legend_columns([str(handle.get_label()) for handle in handles], width)
        figure.legend(handles=list(handles), loc="outside upper center", ncols=columns)
    seeds = int(study.means["num_seeds"].max())
    words = [note]
    if rows is not None or intervals:
        words.append(f"Mean over {seeds} seeds." if seeds > 1 else "")
    if rows is not None:
        words.append(interval_note(rows, study.confidence))
    if intervals:
        words.append(f"{100 * study.confidence:g} % intervals: {intervals}.")
    if are_cut(figure.axes):
        words.append("Arrowheads: the interval goes on beyond the axis.")
    letters = int(width * style.FOOTER_LETTERS_PER_INCH)
    stand_in = stand_in_note(study, datasets, arms)
    lines = textwrap.wrap(" ".join(filter(None, words)), letters) + textwrap.wrap(stand_in, letters)
    colour = style.FOOTER_COLOUR if stand_in else style.REFERENCE_COLOUR
    figure.supxlabel("\n".join(lines), fontsize=style.FOOTER_SIZE, color=colour, x=0.01, ha="left")
    return figure


def notice(name: str, reason: str) -> Figure:
    """A small figure that states why the study has no such figure."""
    figure = Figure(figsize=(style.SINGLE_COLUMN, 1.1))
    figure.set_layout_engine("none")
    text = "\n".join(textwrap.wrap(f"Not drawn: {reason}", 58))
    figure.text(0.5, 0.62, name, ha="center", va="center", weight="bold")
    figure.text(0.5, 0.34, text, ha="center", va="center", color=style.REFERENCE_COLOUR)
    return figure
