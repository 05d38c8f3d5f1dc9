"""Figures of single test scans: windows by label and outcome, and window scores along z."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from chestct.figures import style
from chestct.figures.example_scans import NUM_SLICES, OUTCOMES, Example, Files, read_examples
from chestct.figures.names import ALONG_Z, EXAMPLES_INDEX, WINDOWS
from chestct.figures.panels import NothingToPlotError, notice
from chestct.figures.render import project_style, save_figure
from chestct.figures.study_tables import StudyTables, stand_in_note
from chestct.figures.wording import listed
from chestct.records import write_recorded

#: Test sets on a page, at most: those that come first.
_MOST_WINDOWS, _MOST_ALONG_Z = 4, 5
#: Height of a strip of slices with its title, and of a panel of scores, in inches.
_STRIP_HEIGHT, _PANEL_HEIGHT = 1.03, 1.5
_TITLE_LETTERS = 50  # that fit above a strip
_GAP = 0.06  # between the slices of a strip, as a part of a slice
_NOT_SHOWN = "no picture may be shown,\nor the volume is not there"
_MARK_COLOUR = "#f3d9b1"
_THRESHOLD: dict[str, Any] = {"color": style.REFERENCE_COLOUR, "linewidth": 0.9, "linestyle": (0, (3, 2))}
NO_THRESHOLD = "no run of this study has a threshold from validation scans."
NO_PICTURE = (
    "no scan may be shown (nobody knows whether text is burned into the pixels: burned_in_annotation), or no "
    "volume is there."
)


def plot_examples(
    study: StudyTables,
    files: Mapping[str, Files],
    window_scores: Mapping[tuple[str, str], str | Path],
    crop_px: Mapping[str, int],
    *,
    folder: str | Path,
    formats: Sequence[str],
    dpi: int,
) -> dict[str, str | None]:
    """Write both figures, and in ``folder/examples.json`` why one is missing; such a one becomes a notice.

    Args:
        study: tables of the study.
        files, window_scores, crop_px: as of ``read_examples``.
        folder: where to write.
        formats: some of png, pdf, svg.
        dpi: of png.

    Returns:
        By figure, the reason why it is missing, or None.

    Raises:
        InputError: a table is missing or broken.
    """
    examples = read_examples(study, files, window_scores, crop_px)
    note = note_of(study)
    reasons: dict[str, str | None] = {}
    for name, draw in ((WINDOWS, windows_by_outcome), (ALONG_Z, scores_along_z)):
        with project_style():
            try:
                figure, reasons[name] = draw(examples, note), None
            except NothingToPlotError as error:
                figure, reasons[name] = notice(name, str(error)), str(error)
            save_figure(figure, folder, name, formats=formats, dpi=dpi)
    write_recorded(Path(folder) / EXAMPLES_INDEX, json.dumps(reasons, indent=2) + "\n")
    return reasons


def note_of(study: StudyTables) -> tuple[str, str]:
    """Which runs are shown at which threshold, and what of it is generated; both may be empty."""
    rows = study.examples.drop_duplicates("dataset")
    if rows.empty:
        return "", ""
    runs = [f"{row['dataset']}: {style.run_title(row)}" for row in rows.to_dict("records")]
    words = (
        f"{'; '.join(runs)} (best AUROC on validation). Threshold: specificity of "
        f"{rows['specificity'].iloc[0]:g} on validation scans. Scans have the median score of their outcome, "
        "or are next to it; line: of the ledger."
    )
    arms = list(rows[["model", "init"]].itertuples(index=False, name=None))
    return words, stand_in_note(study, rows["dataset"], arms)


def windows_by_outcome(examples: Sequence[Example], note: tuple[str, str] = ("", "")) -> Figure:
    """The highest-scoring windows of scans, a table of decisions a test set: label by row, call by column.

    Args:
        examples: of all test sets.
        note: what stands below the panels, and what of it in brown.

    Raises:
        NothingToPlotError: there is no example, or no picture of one may be shown.
    """
    datasets = _datasets(examples)
    if all(one.planes is None for one in examples):
        raise NothingToPlotError(NO_PICTURE)
    shown = datasets[:_MOST_WINDOWS]
    most = 2 if len(shown) <= 2 else 1
    columns = [["true_positive", "false_positive"], ["false_negative", "true_negative"]]
    # Each cell as high as its row's fuller one.
    cells = {
        (dataset, outcome): [one for one in examples if (one.dataset, one.outcome) == (dataset, outcome)][
            :most
        ]
        for dataset in shown
        for outcome in OUTCOMES
    }
    rows = [
        (dataset, row, number)
        for dataset in shown
        for row in range(2)
        for number in range(max(1, *(len(cells[dataset, column[row]]) for column in columns)))
    ]
    height = min(_STRIP_HEIGHT * len(rows) + 0.5, style.PAGE_HEIGHT)
    figure = Figure(figsize=(style.DOUBLE_COLUMN, height), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False)
    for (dataset, row, number), pair in zip(rows, axes, strict=True):
        for axis, column in zip(pair, columns, strict=True):
            own = cells[dataset, column[row]]
            _draw_strip(axis, own[number] if number < len(own) else None, column[row], number)
        if row == number == 0:
            head = style.wrap_name(f"{dataset}{_threshold_words(examples, dataset)}", _TITLE_LETTERS)
            pair[0].set_title(f"{head}\n{pair[0].get_title('left')}", loc="left")
    return _with_note(figure, note, datasets[_MOST_WINDOWS:])


def _threshold_words(examples: Sequence[Example], dataset: str) -> str:
    """The threshold, if all folds have one."""
    values = {f"{one.threshold:.4f}" for one in examples if one.dataset == dataset}
    return f", threshold {values.pop()}" if len(values) == 1 else ""


def _draw_strip(axis: Axes, example: Example | None, outcome: str, number: int) -> None:
    axis.set_axis_off()
    if example is None:
        if number == 0:
            axis.set_title(f"{OUTCOMES[outcome]}: no scan", loc="left")
        return
    low, high = example.top
    words = f"{OUTCOMES[outcome]}, line {example.line}: score {example.score:.4f}, slices {low + 1} to {high}"
    inside = ((example.marked >= low) & (example.marked < high)).any()
    axis.set_title(words + (", marked" if inside else ""), loc="left")
    if example.planes is None:
        axis.text(0.5, 0.5, _NOT_SHOWN, ha="center", va="center", color=style.REFERENCE_COLOUR)
        return
    side = example.planes.shape[-1]
    gap = max(1, round(_GAP * side))
    strip = np.ones((example.planes.shape[1], NUM_SLICES * (side + gap) - gap))
    for place, plane in enumerate(example.planes):
        strip[:, place * (side + gap) : place * (side + gap) + side] = plane
    axis.imshow(strip, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_anchor("W")  # below its title, however narrow


def scores_along_z(examples: Sequence[Example], note: tuple[str, str] = ("", "")) -> Figure:
    """The scores of a scan's windows by their place, a row a test set and a column an outcome.

    Args:
        examples: of all test sets; the first of each outcome is shown.
        note: what stands below the panels, and what of it in brown.

    Raises:
        NothingToPlotError: there is no example.
    """
    datasets = _datasets(examples)
    shown = datasets[:_MOST_ALONG_Z]
    height = min(_PANEL_HEIGHT * len(shown) + 0.8, style.PAGE_HEIGHT)
    figure = Figure(figsize=(style.DOUBLE_COLUMN, height), layout="constrained")
    axes = figure.subplots(len(shown), len(OUTCOMES), squeeze=False, sharey="row")
    for dataset, row in zip(shown, axes, strict=True):
        for axis, outcome in zip(row, OUTCOMES, strict=True):
            own = _of(examples, dataset, outcome)
            if own:
                axis.set_title(f"{OUTCOMES[outcome]}, line {own[0].line}")
                _draw_scores(axis, own[0])
            else:
                axis.set_title(f"{OUTCOMES[outcome]}: no scan")
                axis.set_xticks([])
        row[0].set_ylabel(f"{style.wrap_name(dataset, 20)}\nwindow score")
    for axis in axes[-1]:
        axis.set_xlabel("Slice, from the feet")
    handles: list[Artist] = [
        Line2D([], [], color=style.PALETTE[0], marker="o", markersize=3, linewidth=1.6, label="window"),
        Line2D([], [], **_THRESHOLD, label="threshold"),
    ]
    if any(len(one.marked) for one in examples):
        handles.append(Patch(color=_MARK_COLOUR, label="slices that readers marked"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return _with_note(figure, note, datasets[_MOST_ALONG_Z:])


def _draw_scores(axis: Axes, example: Example) -> None:
    # Slices are counted from 1 as in the pictures' titles; a window covers its first to its last one.
    for first, last in _stretches(example.marked):
        axis.axvspan(first + 0.5, last + 1.5, color=_MARK_COLOUR, linewidth=0, zorder=0)
    windows = example.windows.sort_values("start")
    start, score = windows["start"].to_numpy(dtype=float), windows["score"].to_numpy(dtype=float)
    stop = np.minimum(windows["stop"].to_numpy(dtype=float), example.num_slices)
    axis.axhline(example.threshold, **_THRESHOLD)
    axis.hlines(score, start + 0.5, stop + 0.5, color=style.lighter(style.PALETTE[0]), linewidth=1.6)
    middle = (start + stop) / 2 + 0.5
    axis.plot(middle, score, color=style.PALETTE[0], marker="o", markersize=2.4, linewidth=0.8)
    axis.set_xlim(0.5, example.num_slices + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(4))


def _stretches(slices: np.ndarray) -> list[tuple[int, int]]:
    """First and last of every run of consecutive numbers."""
    if not len(slices):
        return []
    parts = np.split(slices, np.flatnonzero(np.diff(slices) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]


def _datasets(examples: Sequence[Example]) -> list[str]:
    if not examples:
        raise NothingToPlotError(NO_THRESHOLD)
    return list(dict.fromkeys(one.dataset for one in examples))


def _of(examples: Sequence[Example], dataset: str, outcome: str) -> list[Example]:
    return [one for one in examples if (one.dataset, one.outcome) == (dataset, outcome)]


def _with_note(figure: Figure, note: tuple[str, str], left_out: Sequence[str]) -> Figure:
    words, stand_in = note
    if left_out:
        words = f"{words} Not on this page: {listed(list(left_out))}.".strip()
    letters = int(figure.get_figwidth() * style.FOOTER_LETTERS_PER_INCH)
    lines = textwrap.wrap(words, letters) + textwrap.wrap(stand_in, letters)
    colour = style.FOOTER_COLOUR if stand_in else style.REFERENCE_COLOUR
    figure.supxlabel("\n".join(lines), fontsize=style.FOOTER_SIZE, color=colour, x=0.01, ha="left")
    return figure
