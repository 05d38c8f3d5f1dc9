"""The cohort flow as a figure: boxes of what was kept, beside them what was lost and why."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chestct.figures import style
from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.names import FLOW
from chestct.figures.render import project_style, save_figure
from chestct.figures.study_tables import phantoms_of

#: Inches: height of a line of text, room around it within a box, and between boxes.
_LINE, _PAD, _GAP = 0.125, 0.06, 0.17
_TITLE = 0.28  # inches above the boxes of a dataset
_FOOTER = 0.3
#: Widths of the boxes of what was kept and of what was lost, as parts of a dataset's panel.
_KEPT, _LOST = 0.54, 0.38
#: Reasons that a box names; rarer ones are counted together.
_MAX_REASONS = 5
_INDENT = "   "

Box = list[str]


def plot_flow(
    datasets: Sequence[str],
    *,
    cohorts: Sequence[str | Path],
    splits: Sequence[str | Path],
    ledgers: Sequence[str | Path],
    manifests: Sequence[str | Path],
    folder: str | Path,
    formats: Sequence[str],
    dpi: int,
) -> None:
    """Write ``folder/cohort_flow.FORMAT``: the flow of every dataset (``cohort_flow``).

    Args:
        datasets: names.
        cohorts, splits, ledgers, manifests: of the datasets, in their order.
        folder: where to write.
        formats: some of png, pdf, svg.
        dpi: of png.

    Raises:
        InputError: a table or manifest is missing or broken.
    """
    flows = [cohort_flow(*files) for files in zip(datasets, cohorts, splits, ledgers, strict=True)]
    stand_ins = phantoms_of(datasets, manifests)
    with project_style():
        save_figure(flow_figure(flows, stand_ins), folder, FLOW, formats=formats, dpi=dpi)


def flow_figure(flows: Sequence[Mapping[str, Any]], stand_ins: Sequence[str] = ()) -> Figure:
    """The flows of datasets, two beside each other.

    Args:
        flows: as of ``cohort_flow``.
        stand_ins: datasets whose scans are phantoms, which the figure says.
    """
    columns = min(len(flows), 2)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    panel = width / columns
    drawn = [_boxes(flow, panel) for flow in flows]
    heights = [
        max(_height(boxes) for boxes in drawn[first : first + columns]) + _TITLE
        for first in range(0, len(drawn), columns)
    ]
    height = sum(heights) + _FOOTER
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    for number, (flow, boxes) in enumerate(zip(flows, drawn, strict=True)):
        row, column = divmod(number, columns)
        bottom = height - sum(heights[: row + 1])
        axis = figure.add_axes((column / columns, bottom / height, 1 / columns, heights[row] / height))
        axis.set_axis_off()
        axis.set_xlim(0, panel)
        axis.set_ylim(heights[row], 0)  # inches, downwards
        axis.text(_PAD, _TITLE / 2, str(flow["dataset"]), weight="bold", va="center")
        _draw(axis, boxes, panel)
    if stand_ins:
        words = f"Stand-in data: phantom scans in {', '.join(stand_ins)}."
        lines = textwrap.wrap(words, int(width * style.FOOTER_LETTERS_PER_INCH))
        figure.text(
            0.01,
            0.04 / height,
            "\n".join(lines),
            fontsize=style.FOOTER_SIZE,
            color=style.FOOTER_COLOUR,
            va="bottom",
        )
    return figure


def _boxes(flow: Mapping[str, Any], panel: float) -> list[tuple[Box, ...]]:
    """Lines of text of every box: a row a step (kept, and lost if there is any), then a row of splits."""
    rows: list[tuple[Box, ...]] = []
    for step in flow["steps"]:
        row = [_lines(f"{step['count']:,} {step['words']}", step["notes"], _KEPT * panel)]
        if step["num_lost"]:
            row.append(_lines(f"{step['num_lost']:,} {step['lost_words']}", step["lost"], _LOST * panel))
        rows.append(tuple(row))
    splits = flow["first_splits"]
    if splits:
        width = panel * (_KEPT + _LOST) / len(splits)
        words = [
            (
                "{scans:,} {name}".format(**split),
                "{patients:,} patients, {positive:,} positive".format(**split),
            )
            for split in splits
        ]
        rows.append(tuple([line for text in pair for line in _wrap(text, width)] for pair in words))
    return rows


def _lines(head: str, reasons: Sequence[tuple[str, int]], width: float) -> Box:
    shown, rest = list(reasons[:_MAX_REASONS]), reasons[_MAX_REASONS:]
    if rest:
        shown.append((f"{len(rest)} rarer reasons", sum(number for _, number in rest)))
    lines = _wrap(head, width)
    for reason, number in shown:
        lines += _wrap(f"{reason}: {number:,}", width, indent=_INDENT)
    return lines


def _wrap(words: str, width: float, indent: str = "") -> Box:
    letters = max(int((width - 2 * _PAD) * style.LETTERS_PER_INCH), 8)
    return textwrap.wrap(words, letters, initial_indent=indent, subsequent_indent=indent)


def _box_height(lines: Box) -> float:
    return len(lines) * _LINE + 2 * _PAD


def _height(rows: list[tuple[Box, ...]]) -> float:
    return sum(max(map(_box_height, row)) + _GAP for row in rows)


def _draw(axis: Axes, rows: list[tuple[Box, ...]], panel: float) -> None:
    top, kept_end = _TITLE, 0.0
    left, lost_left = _PAD, panel * (1 - _LOST) - _PAD
    middle = left + _KEPT * panel / 2
    for number, row in enumerate(rows):
        height = max(map(_box_height, row))
        if number:
            _arrow(axis, (middle, kept_end), (middle, top))
        if number == len(rows) - 1 and len(row) > 1:  # the splits
            width = (panel - 2 * _PAD) / len(row)
            for place, lines in enumerate(row):
                _box(axis, left + place * width, top, width - _PAD, height, lines)
        else:
            _box(axis, left, top, _KEPT * panel, _box_height(row[0]), row[0])
            for lines in row[1:]:
                _box(axis, lost_left, top, _LOST * panel, _box_height(lines), lines, dashed=True)
                level = top + min(_box_height(row[0]), _box_height(lines)) / 2
                _arrow(axis, (left + _KEPT * panel, level), (lost_left, level))
        kept_end = top + _box_height(row[0])
        top += height + _GAP


def _box(
    axis: Axes, x: float, y: float, width: float, height: float, lines: Box, *, dashed: bool = False
) -> None:
    colour = style.REFERENCE_COLOUR if dashed else "black"
    axis.add_patch(
        Rectangle(
            (x, y),
            width,
            height,
            fill=False,
            linewidth=0.7,
            linestyle="--" if dashed else "-",
            edgecolor=colour,
        )
    )
    for place, line in enumerate(lines):
        axis.text(
            x + _PAD,
            y + _PAD + (place + 0.5) * _LINE,
            line,
            va="center",
            fontsize=style.RC_PARAMS["font.size"] - 0.5,
            color=colour,
        )


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "linewidth": 0.7, "color": style.REFERENCE_COLOUR}
    axis.annotate("", end, start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 6})
