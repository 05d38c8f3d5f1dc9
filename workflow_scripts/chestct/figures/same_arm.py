"""Control A against A: how often runs of one arm differ from runs of the same arm with other seeds."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from chestct.figures import panels, style
from chestct.figures.study_tables import StudyTables, are_means
from chestct.wilson import wilson_interval


class Way(NamedTuple):
    """A way to decide a contrast: the column of its p value, its name, and its look."""

    column: str
    title: str
    mark: style.Mark


WAYS = (
    Way("p_value", "Patients, training and models vary", style.Mark(style.PALETTE[0], "s", "-")),
    Way("patients_p", "Patients alone", style.Mark(style.PALETTE[1], "o", (0, (1.2, 1.2)))),
)
_SPREAD = 0.34
NEEDS_TWO_SEEDS = "the control A against A needs two seeds whose runs differ."


class Share(NamedTuple):
    """How many contrasts of a group differ.

    Attributes:
        dataset, group: of the contrasts; the group is single models, or means over models.
        way: of deciding.
        num_differ, num_contrasts: with a p value below 1 - confidence, and with any.
        low, high: Wilson's interval of the share.
    """

    dataset: str
    group: str
    way: Way
    num_differ: int
    num_contrasts: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of the contrasts that differ."""
        return self.num_differ / self.num_contrasts


def differing(study: StudyTables) -> list[Share]:
    """Shares of the contrasts that differ, by dataset, group and way; only groups with p values."""
    rows, shares = study.same_arm, []
    for dataset in panels.present(study.datasets, rows):
        of_dataset = rows[rows["dataset"] == dataset]
        for is_mean, group in ((True, "means over models"), (False, "single models")):
            part = of_dataset[are_means(of_dataset) == is_mean]
            for way in WAYS:
                p_values = part[way.column].dropna()
                if len(p_values):
                    hits = int((p_values < 1 - study.confidence).sum())
                    ends = wilson_interval(hits, len(p_values), study.confidence)
                    shares.append(Share(dataset, group, way, hits, len(p_values), *ends))
    return shares


def same_arm(study: StudyTables) -> Figure:
    """Share of the contrasts that differ on the left; on the right the distribution of their p values.

    Raises:
        NothingToPlotError: the study has one seed.
    """
    rows = study.same_arm
    if rows.empty:
        raise panels.NothingToPlotError(NEEDS_TWO_SEEDS)
    shares = differing(study)
    groups = list(dict.fromkeys((share.dataset, share.group) for share in shares))
    height = max(2.9, 1.2 + 0.34 * len(groups))
    figure, axes = panels.new_panels(1, 2, width=style.DOUBLE_COLUMN, height=height, sharex=False)
    _draw_shares(axes[0, 0], shares, groups, 1 - study.confidence)
    _draw_p_values(axes[0, 1], rows)
    return panels.finish(
        figure,
        study,
        datasets=panels.present(study.datasets, rows),
        arms=panels.arms_of(rows),
        handles=[
            *(Line2D([], [], label=way.title, **_look(way.mark), linestyle=way.mark.line) for way in WAYS),
            panels.reference_handle("expected without a difference"),
        ],
        note=(
            f"{len(rows):,} contrasts. {100 * study.confidence:g} % Wilson intervals, as if contrasts were "
            "independent; they share patients and runs. Two runs of a single model do not tell how much "
            "training varies: there only the interval over patients alone exists."
        ),
    )


def _look(mark: style.Mark) -> dict:
    return {"color": mark.colour, "marker": mark.marker, "markeredgecolor": "white", "markeredgewidth": 0.4}


def _draw_shares(axis: Axes, shares: list[Share], groups: list[tuple[str, str]], level: float) -> None:
    axis.axvline(100 * level, color=style.REFERENCE_COLOUR, linewidth=0.8, linestyle=(0, (3, 2)))
    for share in shares:
        shift = _SPREAD / 2 if share.way is WAYS[0] else -_SPREAD / 2
        y = shift - groups.index((share.dataset, share.group))
        axis.hlines(y, 100 * share.low, 100 * share.high, color=share.way.mark.colour, linewidth=1.0)
        axis.plot([100 * share.share], [y], linestyle="none", **_look(share.way.mark))
        axis.text(
            1.02,
            y,
            f"{share.num_differ} of {share.num_contrasts}",
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=style.FOOTER_SIZE,
        )
    names = [f"{style.wrap_name(dataset, 22)}\n{group}" for dataset, group in groups]
    axis.set_yticks([-place for place in range(len(groups))], names)
    axis.set_ylim(-len(groups) + 0.4, 0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_xlim(left=-1)
    axis.set_xlabel(f"Contrasts with p < {level:.2g} (%)")


def _draw_p_values(axis: Axes, rows: pd.DataFrame) -> None:
    axis.plot([0, 1], [0, 1], color=style.REFERENCE_COLOUR, linewidth=0.8, linestyle=(0, (3, 2)))
    for way in WAYS:
        p_values = np.sort(rows[way.column].dropna().to_numpy(dtype=float))
        if len(p_values):
            shares = np.arange(len(p_values) + 1) / len(p_values)
            x, y = np.append(0.0, p_values), shares
            axis.step(
                np.append(x, 1.0),
                np.append(y, 1.0),
                where="post",
                color=way.mark.colour,
                linestyle=way.mark.line,
            )
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.02)
    axis.set_xlabel("p")
    axis.set_ylabel("Cumulative share of contrasts")
