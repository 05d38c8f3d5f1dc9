"""Where the points of a figure lie, for a report whose figures tell the values of their points.

A figure notes its points while it is drawn. That draws nothing, and what is said of them is worked out only
for a report that asks for it (``figures.interactive``). The picture stays the one that matplotlib drew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.figures.study_tables import StudyTables

#: Of every row of a table: what several points share (which arm), and what is said of this one.
Words = Callable[[StudyTables, pd.DataFrame], Sequence[tuple[str, str]]]
#: What several points share; for each its place from the left and from the top, as parts of the figure's
#: width and height, and what is said of it. JSON holds it so.
Group = tuple[str, list[tuple[float, float, str]]]


@dataclass(frozen=True, kw_only=True)
class _Noted:
    x: np.ndarray
    y: np.ndarray
    rows: pd.DataFrame
    words: Words


_NOTED: WeakKeyDictionary[Axes, list[_Noted]] = WeakKeyDictionary()
#: Points beyond their panel are not seen; those on its edge are.
_EDGE = 0.5  # pixels


def note_points(axis: Axes, x: np.ndarray, y: np.ndarray, rows: pd.DataFrame, words: Words) -> None:
    """Remember points that a panel shows.

    Args:
        axis: panel.
        x, y: where they lie, in data coordinates, shape (len(rows),) each.
        rows: of the table that they come from.
        words: what is said of the rows.
    """
    _NOTED.setdefault(axis, []).append(_Noted(x=np.asarray(x), y=np.asarray(y), rows=rows, words=words))


def points_of(figure: Figure, study: StudyTables) -> list[Group]:
    """The points that a figure noted, by what they share.

    Args:
        figure: as it was drawn: only then its panels lie where they stay.
        study: the study that it shows.
    """
    groups: dict[str, list[tuple[float, float, str]]] = {}
    to_figure = figure.transFigure.inverted()
    for axis in figure.axes:
        panel = axis.get_window_extent().padded(_EDGE)
        for noted in _NOTED.get(axis, []):
            places = axis.transData.transform(np.column_stack([noted.x, noted.y]).astype(float))
            inside = [bool(panel.contains(*place)) for place in places]
            if not any(inside):
                continue
            parts = to_figure.transform(places[inside])
            words = noted.words(study, noted.rows[inside])
            for (left, bottom), (shared, own) in zip(parts.tolist(), words, strict=True):
                groups.setdefault(shared, []).append((round(left, 4), round(1 - bottom, 4), own))
    return list(groups.items())
