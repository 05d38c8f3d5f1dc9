"""Which interval a row shows, how it is drawn, and what the note below a figure says of it.

The interval that decides has patients, training runs and models as sources of variance (``ci_low``,
``ci_high``). An arm with one training run has none. The interval over patients alone then stands in its
place: dotted and lighter, and without a verdict, because it is about these trained networks only.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from chestct.figures import style
from chestct.simple_rivals import is_simple

#: What is said wherever the interval over patients alone stands in for the one that decides.
ONE_RUN = "one training run an arm: interval over patients alone, no verdict"
#: How far an interval may reach beyond all values and intervals over patients, as a part of their span.
_ROOM = 0.6
#: Label of the marks at intervals that an axis cuts.
_BEYOND = "_beyond"


def has_verdict(rows: pd.DataFrame) -> np.ndarray:
    """Whether each row has the interval that decides, shape (len(rows),)."""
    low, high = (rows[name].to_numpy(dtype=float) for name in ("ci_low", "ci_high"))
    return ~(np.isnan(low) | np.isnan(high))


def shown_ends(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval that a row shows: the one that decides, else the one over patients alone.

    Args:
        rows: of the tables means, comparisons, multipliers or same_arm.

    Returns:
        Low and high, shape (len(rows),) each; NaN for a row without any interval.
    """
    decides = has_verdict(rows)
    low, high = (
        np.where(decides, *(rows[f"{kind}_{end}"].to_numpy(dtype=float) for kind in ("ci", "patients")))
        for end in ("low", "high")
    )
    return low, high


def value_limits(rows: pd.DataFrame, column: str = "value") -> tuple[float, float]:
    """Axis limits around all values and intervals, with a margin.

    Two or three training runs can make a single interval many times as wide as the others. It is cut where it
    would leave less than about half of the axis to all values and intervals over patients.

    Args:
        rows: of the table means or comparisons.
        column: of the values; of a "difference", zero is shown too.
    """
    inner = rows[[column, "patients_low", "patients_high"]].to_numpy(dtype=float)
    least, most = float(np.nanmin(inner)), float(np.nanmax(inner))
    smallest = 0.0
    if column == "difference":
        least, most, smallest = min(least, 0.0), max(most, 0.0), -1.0
    room = _ROOM * max(most - least, 0.02)
    low, high = shown_ends(rows)
    low_end = max(min(float(np.nanmin(low)), least), least - room)
    high_end = min(max(float(np.nanmax(high)), most), most + room)
    margin = max(0.04 * (high_end - low_end), 0.01)
    return max(low_end - margin, smallest - 0.01), min(high_end + margin, 1.01)


def draw_intervals(
    axis: Axes,
    places: np.ndarray,
    rows: pd.DataFrame,
    colour: str,
    *,
    vertical: bool = False,
    thickness: float = 0.9,
) -> None:
    """Draw the interval that every row shows; an arrowhead where it goes on beyond the axis.

    Args:
        axis: panel, whose limits along the intervals are set.
        places: where the rows lie across the intervals, shape (len(rows),).
        rows: as of ``shown_ends``.
        colour: of the intervals that decide; the others are lighter.
        vertical: whether intervals run along y.
        thickness: of the intervals that decide, in points.
    """
    low, high = shown_ends(rows)
    decides = has_verdict(rows)
    _lines(axis, places[decides], low[decides], high[decides], vertical, color=colour, linewidth=thickness)
    draw_over_patients(axis, places[~decides], rows[~decides], colour, vertical=vertical)
    start, end = axis.get_ylim() if vertical else axis.get_xlim()
    for cut, edge, marker in (
        (low < start, start, "v" if vertical else "<"),
        (high > end, end, "^" if vertical else ">"),
    ):
        if cut.any():
            x, y = (
                (places[cut], np.full(cut.sum(), edge))
                if vertical
                else (np.full(cut.sum(), edge), places[cut])
            )
            look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 2.2, "linestyle": "none"}
            axis.plot(x, y, label=_BEYOND, clip_on=False, scalex=False, scaley=False, **look)


def draw_over_patients(
    axis: Axes, places: np.ndarray, rows: pd.DataFrame, colour: str, *, vertical: bool = False
) -> None:
    """Draw intervals over patients alone, dotted and lighter; arguments as of ``draw_intervals``."""
    low, high = (rows[name].to_numpy(dtype=float) for name in ("patients_low", "patients_high"))
    _lines(axis, places, low, high, vertical, **patients_look(colour))


def patients_look(colour: str) -> dict[str, Any]:
    """Keyword arguments of the lines of intervals over patients alone."""
    return {"color": style.lighter(colour), "linewidth": 0.9, "linestyles": [(0, (1.2, 1.2))]}


def _lines(
    axis: Axes, places: np.ndarray, low: np.ndarray, high: np.ndarray, vertical: bool, **look: Any
) -> None:
    if len(places):
        (axis.vlines if vertical else axis.hlines)(places, low, high, **look)


def are_cut(axes: list[Axes]) -> bool:
    """Whether ``draw_intervals`` marked an interval that goes on beyond its axis."""
    return any(line.get_label() == _BEYOND for axis in axes for line in axis.get_lines())


def interval_note(rows: pd.DataFrame, confidence: float) -> str:
    """What the intervals of some rows are, in sentences for the note below a figure.

    Args:
        rows: of the tables means or comparisons; those of scores without a network do not count.
        confidence: of the intervals.
    """
    rows = rows[~rows["model"].map(is_simple).to_numpy(dtype=bool)]
    decides = has_verdict(rows)
    percent = f"{100 * confidence:g} % intervals"
    if not decides.any():
        return f"{percent}, dotted and lighter. {ONE_RUN[0].upper()}{ONE_RUN[1:]}."
    over_models = (rows["num_models"] > 1).to_numpy(dtype=bool)[decides]
    sources = "patients and training runs"
    if over_models.all():
        sources = "patients, training runs and models"
    elif over_models.any():
        sources = "patients and training runs (in means, models too)"
    note = f"{percent}: {sources} vary."
    return note if decides.all() else f"{note} Dotted and lighter: {ONE_RUN}."
