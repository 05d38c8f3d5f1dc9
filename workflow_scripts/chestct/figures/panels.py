"""What the figures share: panels, axes, points with intervals, legends, the stand-in footer."""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from chestct.figures import style
from chestct.figures.study_tables import StudyTables, stand_in_note


class NothingToPlotError(Exception):
    """The study lacks what a figure shows; the message says what."""


def new_panels(num_rows: int, num_columns: int, *, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of at most a journal page with panels, shape (num_rows, num_columns)."""
    figure = Figure(figsize=(width, min(height, style.PAGE_HEIGHT)), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True)
    return figure, axes


def shown_percents(percents: Sequence[int], limit: int = 3) -> list[int]:
    """At most ``limit`` of the percents, the smallest, the largest and those evenly between."""
    if len(percents) <= limit:
        return list(percents)
    picks = np.round(np.linspace(0, len(percents) - 1, limit)).astype(int)
    return [percents[pick] for pick in picks]


def percent_axis(axis: Axes, percents: Sequence[int]) -> None:
    """Logarithmic axis of shares of the training patients, a tick a share."""
    axis.set_xscale("log")
    axis.set_xlim(min(percents) / 1.5, max(percents) * 1.5)
    axis.xaxis.set_major_locator(FixedLocator(list(percents)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(percent) for percent in percents])


def value_limits(rows: pd.DataFrame, *, upper: float = 1.0) -> tuple[float, float]:
    """Limits that hold all intervals, with a margin."""
    low, high = float(rows["ci_low"].min()), float(rows["ci_high"].max())
    margin = max(0.04 * (high - low), 0.01)
    return low - margin, min(high + margin, upper + 0.01)


def draw_arm(axis: Axes, rows: pd.DataFrame, init: str, *, dodge: float = 0.0) -> None:
    """Line with intervals against percent, and a band where there is more than one percent.

    Args:
        axis: panel with a logarithmic x axis.
        rows: of the table "means", one a percent.
        init: decides colour, marker and line.
        dodge: shift along x in decades, so that intervals of several arms do not cover each other.
    """
    mark = style.INIT_MARKS[init]
    rows = rows.sort_values("percent")
    x = rows["percent"].to_numpy(dtype=float) * 10**dodge
    value, low, high = (rows[column].to_numpy(dtype=float) for column in ("value", "ci_low", "ci_high"))
    if len(rows) > 1:
        axis.fill_between(x, low, high, color=mark.colour, alpha=0.12, linewidth=0)
    axis.errorbar(
        x,
        value,
        yerr=interval_lengths(value, low, high),
        color=mark.colour,
        marker=mark.marker,
        linestyle=mark.line,
        elinewidth=0.7,
        capsize=1.8,
        capthick=0.7,
        markeredgecolor="white",
        markeredgewidth=0.4,
    )


def interval_lengths(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Lengths of the two halves of intervals; a percentile interval need not hold the value itself."""
    return np.clip(np.stack([value - low, high - value]), 0, None)


def init_handle(init: str, label: str | None = None, *, line: bool = True) -> Line2D:
    """Legend entry of an init."""
    mark = style.INIT_MARKS[init]
    return Line2D(
        [],
        [],
        color=mark.colour,
        marker=mark.marker,
        linestyle=mark.line if line else "none",
        label=label or style.init_title(init) or "Trivial baseline",
        markeredgecolor=mark.colour if mark.marker == "x" else "white",
        markeredgewidth=0.9 if mark.marker == "x" else 0.4,
    )


def reference_handle(label: str, colour: str = style.REFERENCE_COLOUR, line: object = (0, (3, 2))) -> Line2D:
    """Legend entry of a reference line."""
    return Line2D([], [], color=colour, linestyle=line, linewidth=0.9, label=label)  # type: ignore[arg-type]


def finish(
    figure: Figure,
    study: StudyTables,
    *,
    datasets: Iterable[str],
    arms: Iterable[tuple[str, str]],
    handles: Sequence[Line2D],
    note: str = "",
) -> Figure:
    """Add the legend above the panels and, below them, the note on intervals and stand-in data."""
    width = figure.get_figwidth()
    if handles:
        columns = len(handles) if width > 5 else min(len(handles), 2)
        figure.legend(handles=list(handles), loc="outside upper center", ncols=columns)
    seeds = int(study.means["num_seeds"].max())
    note += f" Mean over {seeds} seeds." if seeds > 1 else ""
    words = f"{note} Intervals: {100 * study.confidence:g} %, bootstrap over patients.".strip()
    letters = int(width * style.FOOTER_LETTERS_AN_INCH)
    stand_in = stand_in_note(study, datasets, arms)
    lines = textwrap.wrap(words, letters) + textwrap.wrap(stand_in, letters)
    colour = style.FOOTER_COLOUR if stand_in else style.REFERENCE_COLOUR
    figure.supxlabel("\n".join(lines), fontsize=style.FOOTER_SIZE, color=colour, x=0.01, ha="left")
    return figure


def notice(name: str, reason: str) -> Figure:
    """A small figure that says why there is nothing to see."""
    figure = Figure(figsize=(style.SINGLE_COLUMN, 1.1))
    text = "\n".join(textwrap.wrap(f"Not drawn: {reason}", 58))
    figure.text(0.5, 0.62, name, ha="center", va="center", weight="bold")
    figure.text(0.5, 0.34, text, ha="center", va="center", color=style.REFERENCE_COLOUR)
    return figure
