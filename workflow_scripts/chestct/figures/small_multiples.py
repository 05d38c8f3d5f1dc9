"""Small panels, one per model, in one block of rows per dataset."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from chestct.figures import style

_TITLE_SIZE, _TITLE_LETTERS_PER_INCH = 6.5, 20


def balanced_columns(number: int, most: int) -> int:
    """Number of columns, at most ``most``, for which the last row of panels is as full as possible."""
    return math.ceil(number / math.ceil(number / most)) if number else 1


def num_rows(counts: Sequence[int], columns: int) -> int:
    """Number of rows of panels in all blocks."""
    return sum(math.ceil(count / columns) for count in counts)


def small_panels(
    figure: Figure, place: SubplotSpec, counts: Sequence[int], columns: int, **options: Any
) -> list[list[Axes]]:
    """Add blocks of panels below one another.

    Args:
        figure: with a constrained layout.
        place: of all blocks in the figure.
        counts: number of panels of every block.
        columns: number of columns of every block.
        options: of all panels.

    Returns:
        Panels by block. Only panels in the first column label their y ticks, and only panels with none below
        them label their x ticks.
    """
    grid = place.subgridspec(num_rows(counts, columns), columns)
    blocks: list[list[Axes]] = []
    top = 0
    for count in counts:
        block = []
        for number in range(count):
            row, column = divmod(number, columns)
            axis = figure.add_subplot(grid[top + row, column], **options)
            axis.tick_params(labelleft=column == 0, labelbottom=number + columns >= count)
            block.append(axis)
        blocks.append(block)
        top += num_rows([count], columns)
    return blocks


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
