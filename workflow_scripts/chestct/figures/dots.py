"""Models side by side, a row a model and a column a percent: the grid, and points with intervals."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestct.figures import style
from chestct.figures.panels import marker_look, new_panels, present, shown_percents
from chestct.figures.study_tables import StudyTables

_ENTRY_HEIGHT = 0.165  # inches a model

Panel = tuple[Axes, str, int]


class DotGrid:
    """Panels, a row a dataset and a column a percent; models run down the left side.

    Args:
        study: tables of the study.
        rows: what is shown; of columns dataset, model, percent.
        arms_a_model: points of a model in a panel.
        rank: order of the models.
    """

    def __init__(
        self,
        study: StudyTables,
        rows: pd.DataFrame,
        *,
        arms_a_model: int = 1,
        rank: Callable[[str], tuple] = style.model_rank,
    ) -> None:
        self.datasets = present(study.datasets, rows)
        self.percents = shown_percents(sorted(rows["percent"].astype(int).unique()))
        self.models = {
            name: sorted(rows.loc[rows["dataset"] == name, "model"].unique(), key=rank)
            for name in self.datasets
        }
        # A model's points share its row; from the third on, the row grows.
        entry = _ENTRY_HEIGHT * (1 + 0.22 * max(arms_a_model - 2, 0))
        heights = [0.42 + entry * max(len(models), 3) for models in self.models.values()]
        self.width = style.SINGLE_COLUMN if len(self.percents) == 1 else style.DOUBLE_COLUMN
        self.figure: Figure
        self.figure, axes = new_panels(
            len(self.datasets),
            len(self.percents),
            width=self.width,
            height=0.95 + sum(heights),
            height_ratios=heights,
        )
        self._axes = dict(zip(product(self.datasets, self.percents), axes.flat, strict=True))
        self._dress(rows)

    def _dress(self, rows: pd.DataFrame) -> None:
        long = "of training patients" if len(self.percents) <= 2 else "of patients"
        num_ticks = 6 if self.width / len(self.percents) > 3.5 else 4
        for axis, dataset, percent in self.panels():
            axis.set_title(f"{percent} % {long}")
            axis.grid(axis="y", visible=False)
            axis.xaxis.set_major_locator(MaxNLocator(num_ticks, steps=[1, 2, 5, 10]))
            axis.tick_params(labelbottom=True)
            self._list_models(axis, self.models[dataset], labels=percent == self.percents[0])
            if percent == self.percents[0]:
                height = len(self.models[dataset]) * _ENTRY_HEIGHT
                name = style.wrap_name(dataset, max(14, int(height * 0.9 * style.LETTERS_AN_INCH)))
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

    def rule_off(self) -> None:
        """Thin lines between models."""
        for axis, dataset, _ in self.panels():
            for y in range(len(self.models[dataset]) - 1):
                axis.axhline(y + 0.5, color=style.RULE_COLOUR, linewidth=0.4, zorder=0)

    def label(self, words: str, limits: tuple[float, float]) -> None:
        """Name and limits of the axis that all panels share."""
        for axis, dataset, percent in self.panels():
            axis.set_xlim(limits)
            if dataset == self.datasets[-1] and percent == self.percents[len(self.percents) // 2]:
                # One name in the middle of an odd number of columns, or under each of one or two.
                axis.set_xlabel(words)
            elif dataset == self.datasets[-1] and len(self.percents) <= 2:
                axis.set_xlabel(words)


def draw_points(
    axis: Axes,
    rows: pd.DataFrame,
    heights: np.ndarray,
    init: str,
    *,
    column: str = "value",
    filled: np.ndarray | bool = True,
    thickness: float = 0.9,
) -> None:
    """Points with horizontal intervals, all of one init.

    Args:
        axis: panel.
        rows: with the column of the value, ci_low and ci_high.
        heights: y, shape (len(rows),).
        init: decides colour and marker.
        column: of the value.
        filled: whether markers are filled; shape (len(rows),) or one for all.
        thickness: of the intervals, in points.
    """
    mark = style.INIT_MARKS[init]
    value, low, high = (rows[name].to_numpy(dtype=float) for name in (column, "ci_low", "ci_high"))
    axis.hlines(heights, low, high, color=mark.colour, linewidth=thickness)
    are_filled = np.broadcast_to(filled, value.shape)
    for fill in (True, False):
        chosen = are_filled == fill
        if chosen.any():
            axis.plot(
                value[chosen], heights[chosen], linestyle="none", zorder=3, **marker_look(init, filled=fill)
            )


def row_words(axis: Axes, rows: pd.DataFrame, heights: np.ndarray, column: str) -> None:
    """Write the numbers of points beside their rows, right of the panel; means in bold."""
    transform = axis.get_yaxis_transform()
    for y, (_, row) in zip(heights, rows.iterrows(), strict=True):
        value, *ends = (style.signed(row[name]) for name in (column, "ci_low", "ci_high"))
        weight = "bold" if style.is_mean(row["model"]) else "normal"
        words = f"{value} ({', '.join(ends)})"
        axis.text(1.02, y, words, transform=transform, va="center", fontsize=style.FOOTER_SIZE, weight=weight)
