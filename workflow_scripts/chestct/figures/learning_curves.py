"""Learning curves: validation AUROC by model, and validation loss, against training progress."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestct.figures import panels, small_multiples, style
from chestct.figures.study_tables import StudyTables

_RUN = ["model", "init", "seed", "fold"]
#: The median over runs is taken at this many points of training progress.
_GRID = 200
_COLUMNS = 7
_MANY = 1000


def learning_curves(study: StudyTables) -> Figure:
    """A panel per model and dataset with the AUROC; below, a panel per dataset with the loss of all models.

    Raises:
        NothingToPlotError: no run was validated.
    """
    rows = panels.own_models(study.histories).dropna(subset="validation_auroc")
    if rows.empty:
        raise panels.NothingToPlotError("no run of the study was validated while it trained.")
    percent = int(rows["percent"].max())
    rows = rows[rows["percent"] == percent]
    longest = rows.groupby(["dataset", "model"])["step"].transform("max")
    rows = rows.assign(share=100 * rows["step"].astype(float) / longest.astype(float))
    datasets = panels.present(study.datasets, rows)
    counts = [rows.loc[rows["dataset"] == name, "model"].nunique() for name in datasets]
    columns = small_multiples.balanced_columns(max(counts), _COLUMNS)
    figure, losses, blocks = small_multiples.large_and_small_panels(
        counts, columns, large=1.8, small=1.3, large_first=False
    )
    for dataset, block, below in zip(datasets, blocks, losses, strict=True):
        part = rows[rows["dataset"] == dataset]
        limits = _limits(part["validation_auroc"])
        for axis, model in zip(block, sorted(part["model"].unique(), key=style.model_rank), strict=True):
            _draw(axis, part[part["model"] == model], "validation_auroc")
            axis.set_ylim(limits)
            small_multiples.name_panel(axis, model, (figure.get_figwidth() - 0.6) / columns)
        small_multiples.name_block(block, columns, y=f"{style.wrap_name(dataset, 20)}\nvalidation AUROC")
        scored = part.dropna(subset="validation_loss")
        _draw(below, scored, "validation_loss")
        if len(scored):
            below.set_ylim(*_limits(scored["validation_loss"]))
        letters = int((figure.get_figwidth() / len(datasets) - 0.6) * style.LETTERS_PER_INCH)
        below.set_title(style.wrap_name(f"{dataset}, all models", letters))
        below.set_xlabel("Training steps (%)")
    losses[0].set_ylabel("Validation loss")
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=panels.arms_of(rows),
        note=(
            f"{percent} % of training patients. Thin: runs (seeds, folds); thick: their median, while at "
            "least half of them are training. 100 %: the end of the model's longest run."
        ),
    )


def _draw(axis: Axes, rows: pd.DataFrame, column: str) -> None:
    for init in panels.inits_of(rows):
        mark = style.INIT_MARKS[init]
        arm = rows[rows["init"] == init]
        alpha = min(0.4, 6 / arm.groupby(_RUN).ngroups)  # many runs overlap
        lines = [part[["share", column]].to_numpy(dtype=float) for _, part in arm.groupby(_RUN, sort=False)]
        axis.add_collection(LineCollection(lines, colors=mark.colour, linewidths=0.35, alpha=alpha))
        share, median = _median(arm, column)
        markers = panels.marker_look(init) if len(share) <= 6 else {}
        axis.plot(share, median, color=mark.colour, linestyle=mark.line, markersize=3, **markers)
    axis.set_xlim(0, 103)
    axis.set_xticks([0, 50, 100])
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _median(rows: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Median over runs by training progress, while at least half of the runs are training."""
    num_runs = rows.groupby(_RUN).ngroups
    places = (rows["share"] * _GRID / 100).round() * 100 / _GRID
    values = rows.groupby(places)[column].agg(["median", "size"])
    values = values[values["size"] >= num_runs / 2]
    return values.index.to_numpy(dtype=float), values["median"].to_numpy(dtype=float)


def _limits(values: pd.Series) -> tuple[float, float]:
    """Axis limits around all points; of very many points, without the most extreme ones at either end."""
    share = 0.005 if len(values) > _MANY else 0.0
    low, high = np.quantile(values.to_numpy(dtype=float), [share, 1 - share])
    margin = max(0.06 * (high - low), 0.01)
    return float(low - margin), float(high + margin)
