"""Models side by side: 3D after video against 2D, video against CT pretraining, differences."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.lines import auroc_rows
from chestct.figures.panels import (
    NothingToPlotError,
    finish,
    init_handle,
    interval_lengths,
    new_panels,
    reference_handle,
    shown_percents,
    value_limits,
)
from chestct.figures.study_tables import StudyTables

_ENTRY_HEIGHT = 0.165  # inches a model


def _grid(study: StudyTables, rows: pd.DataFrame, *, extra: float = 0.0) -> tuple[Figure, dict, list[str]]:
    """Panels, a row a dataset and a column a percent; models run down the left side."""
    datasets = [name for name in study.datasets if name in set(rows["dataset"])]
    percents = shown_percents(sorted(rows["percent"].astype(int).unique()))
    entries = {name: rows.loc[rows["dataset"] == name, "model"].nunique() for name in datasets}
    height = 0.95 + sum(0.42 + _ENTRY_HEIGHT * max(count, 3) for count in entries.values()) + extra
    width = style.SINGLE_COLUMN if len(percents) == 1 else style.DOUBLE_COLUMN
    figure, axes = new_panels(len(datasets), len(percents), width=width, height=height)
    panels = dict(zip(product(datasets, percents), axes.flat, strict=True))
    num_ticks = 6 if width / len(percents) > 3.5 else 4
    for (dataset, percent), axis in panels.items():
        axis.set_title(f"{dataset}, {percent} % of training patients")
        if len(percents) > 2 or (len(percents) == 1 and len(dataset) > 20):
            axis.set_title(f"{dataset}, {percent} %")
        axis.grid(axis="y", visible=False)
        axis.xaxis.set_major_locator(MaxNLocator(num_ticks, steps=[1, 2, 5, 10]))
    return figure, panels, datasets


def _list_models(axis: Axes, models: list[str], *, labels: bool) -> dict[str, float]:
    """Put models on the y axis, the first on top; return their positions."""
    positions = {model: float(len(models) - 1 - rank) for rank, model in enumerate(models)}
    titles = [style.model_title(model) if labels else "" for model in models]
    axis.set_yticks(list(positions.values()), titles)
    axis.set_ylim(-0.7, len(models) - 0.3)
    axis.tick_params(axis="y", length=0)
    for model, y in positions.items():
        if style.is_mean(model):
            axis.axhspan(y - 0.5, y + 0.5, color="#f2f2f2", linewidth=0, zorder=0)
    return positions


def _draw_point(axis: Axes, row: pd.Series, y: float, init: str, *, column: str = "value") -> None:
    mark = style.INIT_MARKS[init]
    value, low, high = (np.array([float(row[name])]) for name in (column, "ci_low", "ci_high"))
    axis.errorbar(
        value,
        [y],
        xerr=interval_lengths(value, low, high),
        color=mark.colour,
        marker=mark.marker,
        markersize=5 if style.is_mean(row["model"]) else 4,
        elinewidth=0.8,
        capsize=1.6,
        capthick=0.7,
        markeredgecolor=mark.colour if mark.marker == "x" else "white",
        markeredgewidth=0.9 if mark.marker == "x" else 0.4,
        linestyle="none",
    )


def _select(rows: pd.DataFrame, dataset: str, percent: int) -> pd.DataFrame:
    return rows[(rows["dataset"] == dataset) & (rows["percent"] == percent)]


def _models_of(rows: pd.DataFrame, dataset: str) -> list[str]:
    return sorted(rows.loc[rows["dataset"] == dataset, "model"].unique(), key=style.model_rank)


def _family(model: str) -> str:
    return "3d" if style.is_mean(model) else MODELS[model].family


def video_3d_vs_2d(study: StudyTables) -> Figure:
    """3D models after video pretraining over 2D models after ImageNet pretraining."""
    rows = auroc_rows(study)
    rows = rows[rows["model"] != "baseline"]
    family = rows["model"].map(_family)
    videos = rows[(family == "3d") & (rows["init"] == "video")]
    rivals = rows[(family == "2d") & (rows["init"] == "imagenet")]
    if videos.empty or rivals.empty:
        lacking = "3D model after video" if videos.empty else "2D model after ImageNet"
        raise NothingToPlotError(f"the study has no {lacking} pretraining.")
    both = set(videos["dataset"]) & set(rivals["dataset"])
    rows = pd.concat([videos, rivals])
    rows = rows[rows["dataset"].isin(both)]
    figure, panels, datasets = _grid(study, rows)
    limits = value_limits(rows)
    for number, ((dataset, percent), axis) in enumerate(panels.items()):
        models = sorted(_models_of(rows, dataset), key=lambda m: (_family(m) == "2d", style.model_rank(m)))
        positions = _list_models(axis, models, labels=number % (len(panels) // len(datasets)) == 0)
        panel = _select(rows, dataset, percent)
        of_rivals = panel.loc[panel["init"] == "imagenet", "value"]
        if len(of_rivals):
            axis.axvline(
                float(of_rivals.max()),
                color=style.INIT_MARKS["imagenet"].colour,
                linestyle=(0, (3, 2)),
                linewidth=0.9,
            )
        for _, row in panel.iterrows():
            _draw_point(axis, row, positions[row["model"]], row["init"])
        axis.set_xlim(limits)
    _label_bottom(panels, datasets, "AUROC")
    return finish(
        figure,
        study,
        datasets=datasets,
        arms=set(zip(rows["model"], rows["init"], strict=True)),
        handles=[
            init_handle("video", "3D, video pretraining", line=False),
            init_handle("imagenet", "2D, ImageNet pretraining", line=False),
            reference_handle("Best 2D model", style.INIT_MARKS["imagenet"].colour),
        ],
    )


def video_vs_ct(study: StudyTables) -> Figure:
    """Video and CT pretraining of the same models, with scratch and both in turn where the study has them."""
    rows = auroc_rows(study)
    arms = rows.groupby(["dataset", "model"])["init"]
    has_both = arms.transform(lambda inits: {"video", "ct"} <= set(inits))
    rows = rows[has_both.astype(bool)]
    if rows.empty:
        raise NothingToPlotError("the study has no model with both video and CT pretraining.")
    figure, panels, datasets = _grid(study, rows, extra=0.08 * rows["model"].nunique())
    limits = value_limits(rows)
    names = sorted(rows["init"].unique(), key=style.init_rank)
    for number, ((dataset, percent), axis) in enumerate(panels.items()):
        positions = _list_models(
            axis, _models_of(rows, dataset), labels=number % (len(panels) // len(datasets)) == 0
        )
        for _, row in _select(rows, dataset, percent).iterrows():
            shift = ((len(names) - 1) / 2 - names.index(row["init"])) * 0.66 / max(len(names), 3)
            _draw_point(axis, row, positions[row["model"]] + shift, row["init"])
        for y in range(len(positions) - 1):
            axis.axhline(y + 0.5, color="#eeeeee", linewidth=0.4, zorder=0)
        axis.set_xlim(limits)
    _label_bottom(panels, datasets, "AUROC")
    return finish(
        figure,
        study,
        datasets=datasets,
        arms=set(zip(rows["model"], rows["init"], strict=True)),
        handles=[init_handle(init, line=False) for init in names],
    )


def video_minus_scratch(study: StudyTables) -> Figure:
    """Forest plot: difference of video pretraining and scratch, a model a line, the mean last."""
    rows = study.comparisons
    rows = rows[(rows["contrast"] == "video - scratch") & (rows["metric"] == "auroc")]
    if rows.empty:
        raise NothingToPlotError(
            "the study has no model trained both after video pretraining and from scratch."
        )
    figure, panels, datasets = _grid(study, rows)
    columns = len(panels) // len(datasets)
    low, high = value_limits(rows)
    limits = min(low, -0.01), max(high, 0.01)
    for number, ((dataset, percent), axis) in enumerate(panels.items()):
        positions = _list_models(axis, _models_of(rows, dataset), labels=number % columns == 0)
        axis.axvline(0, color=style.REFERENCE_COLOUR, linewidth=0.8)
        for _, row in _select(rows, dataset, percent).iterrows():
            y = positions[row["model"]]
            _draw_point(axis, row, y, "video", column="difference")
            if columns <= 2:
                value, *ends = (style.signed(row[name]) for name in ("difference", "ci_low", "ci_high"))
                words = f"{value} ({', '.join(ends)})"
                weight = "bold" if style.is_mean(row["model"]) else "normal"
                right = axis.get_yaxis_transform()
                axis.text(1.02, y, words, transform=right, va="center", fontsize=5.5, weight=weight)
        axis.set_xlim(limits)
    _label_bottom(panels, datasets, f"Difference in AUROC, video {style.MINUS} scratch")
    arms = {(model, init) for model in rows["model"].unique() for init in ("video", "scratch")}
    return finish(figure, study, datasets=datasets, arms=arms, handles=[])


def _label_bottom(panels: dict, datasets: list[str], label: str) -> None:
    for (dataset, _), axis in panels.items():
        if dataset == datasets[-1]:
            axis.set_xlabel(label)
        axis.tick_params(labelbottom=True)
