"""The axis of percentages of the training patients, with their numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from chestct.figures.panels import FEW_MARK, has_few_scans
from chestct.figures.patient_shares import other_shares

_TICK_ROOM = 0.22  # inches from one labelled tick to the next
_COUNT_ROOM = 0.34  # where the number of patients stands below


def percent_axis(
    axis: Axes, percents: Sequence[int], width: float, rows: pd.DataFrame, *, numbers: bool
) -> None:
    """Logarithmic axis of percentages, with labels at ticks that have room.

    A label has the percentage, marked where the subset has few scans of a class; of a percentage that rounds
    to another share it has the patients.

    Args:
        axis: panel. It must share its x axis with none: shared axes have one set of labels, and subsets of
            a percentage are of other sizes in other datasets.
        percents: ascending.
        width: of the panel, in inches.
        rows: of the table "means" that the panel shows.
        numbers: whether the number of patients stands below each percentage.
    """
    low, high = min(percents) / 1.5, max(percents) * 1.5
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    axis.xaxis.set_major_locator(FixedLocator(list(percents)))
    axis.xaxis.set_minor_locator(NullLocator())
    places = width * np.log(np.array(percents) / low) / np.log(high / low)
    labelled: list[int] = []
    room = _COUNT_ROOM if numbers else _TICK_ROOM
    # The ends first, then from the smallest up.
    for number in dict.fromkeys([len(percents) - 1, *range(len(percents))]):
        if all(abs(places[number] - places[other]) > room for other in labelled):
            labelled.append(number)
    others = {percent for _, percent in other_shares(rows)}
    names = [
        _percent_words(rows[rows["percent"] == percent], percent, numbers, percent in others)
        for percent in percents
    ]
    words = [name if number in labelled else "" for number, name in enumerate(names)]
    axis.xaxis.set_major_formatter(FixedFormatter(words))


def _percent_words(rows: pd.DataFrame, percent: int, numbers: bool, other_share: bool) -> str:
    if rows.empty:
        return str(percent)
    mark = FEW_MARK if has_few_scans(rows).any() else ""
    if other_share:
        return f"n={rows['num_patients'].max():.0f}{mark}"
    below = f"\n({rows['num_patients'].max():.0f})" if numbers else ""
    return f"{percent}{mark}{below}"
