"""ROC and precision-recall curves with pointwise bands: the mean of the seven, and a panel per model."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.figures import hover_words, panels, small_multiples, style
from chestct.figures.hover import note_points
from chestct.figures.study_tables import StudyTables

_AXES = {
    "roc": ("False positive rate", "Sensitivity"),
    "precision_recall": ("Recall", "Precision"),
}
_SMALL_COLUMNS = 7
_NUM_MARKERS = 6
#: Of the points of small panels, every second tells its values.
_TOLD = 2


def roc_curves(study: StudyTables) -> Figure:
    """ROC curves at the largest percentage."""
    return _curves(study, "roc")


def precision_recall_curves(study: StudyTables) -> Figure:
    """Precision-recall curves at the largest percentage; a dotted line at the prevalence."""
    return _curves(study, "precision_recall")


def _curves(study: StudyTables, curve: str) -> Figure:
    rows = study.curves[study.curves["curve"] == curve]
    if rows.empty:
        raise panels.NothingToPlotError("the study has no curves.")
    sizes = study.means.groupby("dataset")[["num_scans", "num_positive"]].first()
    rows = rows.join(sizes, on="dataset")
    try:
        subject = panels.subject_of(rows)
    except panels.NothingToPlotError:
        subject = rows.iloc[:0]
    models = panels.own_models(rows)
    models = models[~models["model"].isin(subject["model"].unique())]
    datasets = panels.present(study.datasets, rows)
    counts = [models.loc[models["dataset"] == name, "model"].nunique() for name in datasets]
    columns = small_multiples.balanced_columns(max(counts), _SMALL_COLUMNS)
    figure, large, small = small_multiples.large_and_small_panels(
        counts,
        columns,
        large=2.9 if len(subject) else 0,
        small=1.38 if columns > 4 else 1.9,
        large_first=True,
        box_aspect=1,
    )
    width = figure.get_figwidth()
    for axis, dataset in zip(large, datasets, strict=False):
        part = subject[subject["dataset"] == dataset]
        _draw(axis, part, curve, large=True)
        axis.set_title(
            f"{panels.dataset_title(part, width / len(datasets) - 0.6)}\n{panels.subject_title(part)}"
        )
        axis.set_xlabel(_AXES[curve][0])
        axis.set_ylabel(_AXES[curve][1])
    for block, dataset in zip(small, datasets, strict=False):
        groups = models[models["dataset"] == dataset].groupby("model", sort=False)
        for axis, (model, part) in zip(block, groups, strict=True):
            _draw(axis, part, curve, large=False)
            small_multiples.name_panel(axis, str(model), (width - 0.6) / columns)
        if block:
            name = "" if len(datasets) == 1 else f"{style.wrap_name(dataset, 18)}\n"
            small_multiples.name_block(block, columns, x=_AXES[curve][0], y=f"{name}{_AXES[curve][1]}")
    shown = pd.concat([subject, models])
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=panels.arms_of(shown),
        note=f"{int(rows['percent'].max())} % of training patients.",
        intervals="over patients alone, pointwise, about these trained networks",
    )


def _draw(axis: Axes, rows: pd.DataFrame, curve: str, *, large: bool) -> None:
    if curve == "roc":
        axis.plot([0, 1], [0, 1], color=style.REFERENCE_COLOUR, linewidth=0.6, linestyle=(0, (1, 2)))
    else:
        axis.axhline(
            float(rows["prevalence"].iloc[0]),
            color=style.REFERENCE_COLOUR,
            linewidth=0.6,
            linestyle=(0, (1, 2)),
        )
    for number, init in enumerate(panels.inits_of(rows)):
        arm = rows[rows["init"] == init].sort_values("x", kind="stable")
        mark = style.INIT_MARKS[init]
        x, y, low, high = panels.floats(arm, "x", "y", "low", "high")
        axis.fill_between(x, low, high, color=mark.colour, alpha=0.12, linewidth=0)
        look: dict = {"linestyle": mark.line, "linewidth": 1.1 if large else 0.8}
        if large:
            # Markers distinguish the lines in grey; those of different inits lie at different places.
            places = np.linspace(0.08, 0.8, _NUM_MARKERS) + 0.025 * number
            look |= {
                "marker": mark.marker,
                "markersize": 3.2,
                "markeredgewidth": 0,
                "markevery": sorted(set(np.searchsorted(x, places).clip(max=len(x) - 1).tolist())),
            }
        axis.plot(x, y, color=mark.colour, **look)
        told = slice(None, None, 1 if large else _TOLD)
        note_points(axis, x[told], y[told], arm[told], hover_words.of_curve(*_AXES[curve]))
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    ticks = [0, 0.25, 0.5, 0.75, 1] if large else [0, 0.5, 1]
    names = ["0", "0.25", "0.5", "0.75", "1"] if large else ["0", "0.5", "1"]
    axis.set_xticks(ticks, names)
    axis.set_yticks(ticks, names)
