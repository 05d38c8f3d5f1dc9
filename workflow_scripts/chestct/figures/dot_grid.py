"""Grid of dot plots: one row per model, one column per percentage, points with horizontal intervals."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestct.figures import hover_words, panels, style
from chestct.figures.hover import note_points
from chestct.figures.intervals import draw_intervals, has_verdict, shown_ends, value_limits
from chestct.figures.patient_shares import other_shares
from chestct.figures.study_tables import StudyTables

_ENTRY_HEIGHT = 0.165  # inches per model
_SPREAD = 0.66  # part of a model's row over which its points are spread

Panel = tuple[Axes, str, int]


class DotGrid:
    """Panels, one row per dataset and one column per percentage; models are listed on the left.

    Args:
        study: tables of the study.
        rows: what is shown, of the table means or comparisons.
        column: of the values, "value" or "difference".
        arms_per_model: number of points of a model in a panel.
        rank: order of the models.
    """

    def __init__(
        self,
        study: StudyTables,
        rows: pd.DataFrame,
        *,
        column: str = "value",
        arms_per_model: int = 1,
        rank: Callable[[str], tuple] = style.model_rank,
    ) -> None:
        self.datasets = panels.present(study.datasets, rows)
        self.percents = panels.shown_percents(sorted(rows["percent"].astype(int).unique()))
        self.models = {
            name: sorted(rows.loc[rows["dataset"] == name, "model"].unique(), key=rank)
            for name in self.datasets
        }
        # Two points of a model fit a row; more make it higher.
        entry = _ENTRY_HEIGHT * (1 + 0.22 * max(arms_per_model - 2, 0))
        heights = [0.42 + entry * max(len(models), 3) for models in self.models.values()]
        self.width = style.SINGLE_COLUMN if len(self.percents) == 1 else style.DOUBLE_COLUMN
        self.figure: Figure
        self.figure, axes = panels.new_panels(
            len(self.datasets),
            len(self.percents),
            width=self.width,
            height=0.95 + sum(heights),
            height_ratios=heights,
        )
        self._few = other_shares(study.means)
        self._axes = dict(zip(product(self.datasets, self.percents), axes.flat, strict=True))
        self._dress(value_limits(rows, column))

    def _dress(self, limits: tuple[float, float]) -> None:
        long = "of training patients" if len(self.percents) <= 2 else "of patients"
        num_ticks = 6 if self.width / len(self.percents) > 3.5 else 4
        for axis, dataset, percent in self.panels():
            few = self._few.get((dataset, percent))
            axis.set_title(f"n={few.taken} of {few.total}" if few else f"{percent} % {long}")
            axis.set_xlim(limits)
            axis.grid(axis="y", visible=False)
            axis.xaxis.set_major_locator(MaxNLocator(num_ticks, steps=[1, 2, 5, 10]))
            axis.tick_params(labelbottom=True)
            self._list_models(axis, self.models[dataset], labels=percent == self.percents[0])
            if percent == self.percents[0]:
                height = len(self.models[dataset]) * _ENTRY_HEIGHT
                name = style.wrap_name(dataset, max(14, int(height * 0.9 * style.LETTERS_PER_INCH)))
                axis.set_ylabel(name, weight="bold")

    @staticmethod
    def _list_models(axis: Axes, models: Sequence[str], *, labels: bool) -> None:
        """Put models on the y axis, the first on top; shade the means."""
        positions = [float(len(models) - 1 - rank) for rank in range(len(models))]
        titles = [style.model_title(model) if labels else "" for model in models]
        texts = axis.set_yticks(positions, titles)
        for tick, model in zip(texts, models, strict=True):
            if style.is_mean(model):
                tick.label1.set_fontweight("bold")
        axis.set_ylim(-0.7, len(models) - 0.3)
        axis.tick_params(axis="y", length=0)
        for model, y in zip(models, positions, strict=True):
            if style.is_mean(model):
                axis.axhspan(y - 0.5, y + 0.5, color=style.SHADE_COLOUR, linewidth=0, zorder=0)

    def panels(self) -> Iterator[Panel]:
        """Yield (axes, dataset, percent)."""
        for (dataset, percent), axis in self._axes.items():
            yield axis, dataset, percent

    def of_panel(self, rows: pd.DataFrame, dataset: str, percent: int) -> pd.DataFrame:
        """Rows of a panel."""
        return rows[(rows["dataset"] == dataset) & (rows["percent"] == percent)]

    def heights(self, rows: pd.DataFrame, dataset: str) -> np.ndarray:
        """Where rows of a panel lie along y, shape (len(rows),)."""
        place = {
            model: len(self.models[dataset]) - 1.0 - rank for rank, model in enumerate(self.models[dataset])
        }
        return rows["model"].map(place).to_numpy(dtype=float)

    def separate_models(self) -> None:
        """Draw thin lines between models."""
        for axis, dataset, _ in self.panels():
            for y in range(len(self.models[dataset]) - 1):
                axis.axhline(y + 0.5, color=style.RULE_COLOUR, linewidth=0.4, zorder=0)

    def label(self, words: str) -> None:
        """Set the title of the x axes: below the middle or each of two columns."""
        middle = self.percents[len(self.percents) // 2]
        for axis, dataset, percent in self.panels():
            if dataset == self.datasets[-1] and (len(self.percents) <= 2 or percent == middle):
                axis.set_xlabel(words)


def draw_points(
    axis: Axes,
    rows: pd.DataFrame,
    heights: np.ndarray,
    init: str,
    *,
    column: str = "value",
    filled: np.ndarray | bool = True,
    faint: np.ndarray | bool = False,
    thickness: float = 0.9,
) -> None:
    """Draw points with horizontal intervals, all of one init.

    Args:
        axis: panel, whose limits are set.
        rows: of the table means or comparisons.
        heights: y, shape (len(rows),).
        init: determines colour and marker.
        column: column of the value.
        filled, faint: whether markers are filled, and lighter; shape (len(rows),) or one for all.
        thickness: of the intervals that decide, in points.
    """
    draw_intervals(axis, heights, rows, style.INIT_MARKS[init].colour, thickness=thickness)
    (value,) = panels.floats(rows, column)
    words = hover_words.of_differences if column == "difference" else hover_words.of_means
    note_points(axis, value, heights, rows, words)
    are_filled, are_faint = (np.broadcast_to(given, value.shape) for given in (filled, faint))
    for fill, light in product((True, False), repeat=2):
        chosen = (are_filled == fill) & (are_faint == light)
        if chosen.any():
            axis.plot(
                value[chosen],
                heights[chosen],
                linestyle="none",
                zorder=3,
                **panels.marker_look(init, filled=fill, faint=light),
            )


def compare_arms(
    study: StudyTables, rows: pd.DataFrame, arms: Sequence[tuple[str, bool, str | None]]
) -> Figure:
    """A grid in which the points of a model's arms lie below one another within its row.

    Args:
        study: tables of the study.
        rows: AUROC rows of the table "means" with a column filled.
        arms: init, whether its markers are filled, and its name in the legend (None: that of the init).
    """
    grid = DotGrid(study, rows, arms_per_model=len(arms))
    for axis, dataset, percent in grid.panels():
        panel = grid.of_panel(rows, dataset, percent)
        for position, (init, filled, _) in enumerate(arms):
            arm = panel[(panel["init"] == init) & (panel["filled"] == filled)]
            shift = ((len(arms) - 1) / 2 - position) * _SPREAD / max(len(arms), 3)
            draw_points(axis, arm, grid.heights(arm, dataset) + shift, init, filled=filled)
    grid.separate_models()
    grid.label("AUROC")
    handles = [panels.init_handle(init, label, line=False, filled=filled) for init, filled, label in arms]
    return panels.finish(
        grid.figure,
        study,
        datasets=grid.datasets,
        arms=panels.arms_of(rows),
        handles=handles,
        rows=rows,
    )


def write_numbers(axis: Axes, rows: pd.DataFrame, heights: np.ndarray, column: str) -> None:
    """Write values and intervals to the right of the panel: means in bold, without a verdict in grey."""
    transform = axis.get_yaxis_transform()
    values, models = panels.floats(rows, column)[0], rows["model"].tolist()
    for number, (low, high) in enumerate(zip(*shown_ends(rows), strict=True)):
        axis.text(
            1.02,
            heights[number],
            f"{style.signed(values[number])} ({style.signed(low)}, {style.signed(high)})",
            transform=transform,
            va="center",
            fontsize=style.FOOTER_SIZE,
            weight="bold" if style.is_mean(models[number]) else "normal",
            color="black" if has_verdict(rows)[number] else style.REFERENCE_COLOUR,
        )
