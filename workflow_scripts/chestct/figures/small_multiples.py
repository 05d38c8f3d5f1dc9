"""Small panels, one per model, in one block of rows per dataset."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.figures import style

_TITLE_SIZE, _TITLE_LETTERS_PER_INCH = 6.5, 20


def balanced_columns(number: int, most: int) -> int:
    """Number of columns, at most ``most``, for which the last row of panels is as full as possible."""
    return math.ceil(number / math.ceil(number / most)) if number else 1


def large_and_small_panels(
    counts: Sequence[int], columns: int, *, large: float, small: float, large_first: bool, **options: Any
) -> tuple[Figure, list[Axes], list[list[Axes]]]:
    """A figure with one row of large panels and, above or below it, blocks of small panels.

    Args:
        counts: number of small panels of every block.
        columns: number of columns of every block.
        large: height of the large panels in inches; 0 for none.
        small: height of a row of small panels in inches.
        large_first: whether the large panels are above the small ones.
        options: of the large panels.

    Returns:
        The figure, the large panels (one per block), and the small panels by block. Only small panels in the
        first column label their y ticks, and only those with none below them label their x ticks.
    """
    num_rows = [math.ceil(count / columns) for count in counts]
    heights = {"large": large, "small": small * sum(num_rows)}
    order = [part for part in ("large", "small")[:: 1 if large_first else -1] if heights[part]]
    ratios = [heights[part] for part in order]
    width = style.DOUBLE_COLUMN if len(counts) > 1 or columns > 2 else style.SINGLE_COLUMN
    figure = Figure(figsize=(width, min(0.8 + sum(ratios), style.PAGE_HEIGHT)), layout="constrained")
    large_panels, blocks = [], []
    outer = figure.add_gridspec(len(order), 1, height_ratios=ratios)
    for row, part in enumerate(order):
        place = outer[row]
        if part == "large":
            grid = place.subgridspec(1, len(counts))
            large_panels = [figure.add_subplot(grid[0, column], **options) for column in range(len(counts))]
            continue
        grid = place.subgridspec(sum(num_rows), columns)
        for block, count in enumerate(counts):
            top = sum(num_rows[:block])
            panels = [
                figure.add_subplot(grid[top + number // columns, number % columns]) for number in range(count)
            ]
            for number, axis in enumerate(panels):
                axis.tick_params(labelleft=number % columns == 0, labelbottom=number + columns >= count)
            blocks.append(panels)
    return figure, large_panels, blocks


def name_block(block: Sequence[Axes], columns: int, *, x: str = "", y: str) -> None:
    """Set the axis titles of a block: y at its first panel, x in the middle of its last row."""
    block[0].set_ylabel(y)
    start = (len(block) - 1) // columns * columns
    if x:
        block[(start + len(block) - 1) // 2].set_xlabel(x)


def name_panel(axis: Axes, model: str, width: float) -> None:
    """Set a model's name as the title of its panel, which is this wide in inches."""
    # Neighbours' names leave a gap of a letter.
    axis.set_title(
        style.wrap_name(style.model_title(model), int(width * _TITLE_LETTERS_PER_INCH) - 1),
        fontsize=_TITLE_SIZE,
    )
