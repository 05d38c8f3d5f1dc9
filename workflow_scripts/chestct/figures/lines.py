"""AUROC against the share of training patients: the mean of the seven, and a panel a model."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.panels import (
    NothingToPlotError,
    draw_arm,
    finish,
    init_handle,
    new_panels,
    percent_axis,
    reference_handle,
    value_limits,
)
from chestct.figures.study_tables import StudyTables

_DODGE = 0.018  # decades between the arms of a panel


def auroc_rows(study: StudyTables) -> pd.DataFrame:
    """Rows of the table "means" that are AUROC.

    Raises:
        NothingToPlotError: the study does not measure it.
    """
    rows = study.means[study.means["metric"] == "auroc"]
    if rows.empty:
        raise NothingToPlotError("AUROC is not among the study's metrics.")
    return rows


def _draw_panel(axis: Axes, rows: pd.DataFrame, baseline: pd.DataFrame, study: StudyTables) -> None:
    percent_axis(axis, study.percents)
    inits = sorted(rows["init"].unique(), key=style.init_rank)
    for position, init in enumerate(inits):
        for _, arm in rows[rows["init"] == init].groupby("model", sort=False):
            draw_arm(axis, arm, init, dodge=(position - (len(inits) - 1) / 2) * _DODGE)
    if len(baseline):
        mark = style.INIT_MARKS["none"]
        axis.axhline(float(baseline["value"].iloc[0]), color=mark.colour, linestyle=mark.line, linewidth=0.9)


def _handles(rows: pd.DataFrame, baseline: pd.DataFrame) -> list:
    handles = []
    for init in sorted(rows["init"].unique(), key=style.init_rank):
        handles.append(init_handle(init))
    if len(baseline):
        mark = style.INIT_MARKS["none"]
        handles.append(reference_handle("Trivial baseline", mark.colour, mark.line))
    return handles


def auroc_by_percent(study: StudyTables) -> Figure:
    """Mean over the study's models of the seven, a panel a dataset; a lone model stands for itself.

    Raises:
        NothingToPlotError: the study has several 3D models but none of the seven, or no 3D model.
    """
    rows = auroc_rows(study)
    baseline = rows[rows["model"] == "baseline"]
    means = rows[rows["model"].map(style.is_mean)]
    subject = means if len(means) else _lone_model(rows)
    datasets = [name for name in study.datasets if name in set(subject["dataset"])]

    columns = min(len(datasets), 3)
    num_rows = math.ceil(len(datasets) / columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    figure, axes = new_panels(num_rows, columns, width=width, height=0.75 + 2.35 * num_rows)
    limits = value_limits(pd.concat([subject, baseline]))
    for axis, dataset in zip(axes.flat, datasets, strict=False):
        of_panel = subject[subject["dataset"] == dataset]
        _draw_panel(axis, of_panel, baseline[baseline["dataset"] == dataset], study)
        axis.set_ylim(limits)
        first = of_panel.iloc[0]
        axis.set_title(f"{dataset} ({first['num_scans']} test scans, {first['num_positive']} positive)")
        axis.set_xlabel("Training patients (%)")
    for axis in axes.flat[len(datasets) :]:
        axis.remove()
    most = subject["num_models"] == subject["num_models"].max()
    title = style.model_title(subject.loc[most, "model"].iloc[0])
    for row in axes:
        row[0].set_ylabel(f"AUROC, {title[0].lower() + title[1:] if len(means) else title}")
    return finish(
        figure,
        study,
        datasets=datasets,
        arms=set(zip(subject["model"], subject["init"], strict=True)),
        handles=_handles(subject, baseline),
        note=_fewer_models(subject),
    )


def _lone_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the only model of the seven, or of the only 3D model."""
    three_d = [m for m in rows["model"].unique() if m in MODELS and MODELS[m].family == "3d"]
    candidates = [model for model in three_d if MODELS[model].seven] or three_d
    if len(candidates) != 1:
        count = f"{len(candidates)} 3D models, but none" if candidates else "no 3D model, so none"
        raise NothingToPlotError(f"the study has {count} of the seven whose mean this figure shows.")
    return rows[rows["model"] == candidates[0]]


def _fewer_models(means: pd.DataFrame) -> str:
    """Which arms are means over fewer models than the others, if any."""
    fewer = means[means["num_models"] < means["num_models"].max()].drop_duplicates(["dataset", "init"])
    words = [
        f"{style.init_title(init)} in {dataset}: {style.model_title(model).lower()}"
        for dataset, init, model in fewer[["dataset", "init", "model"]].to_numpy()
    ]
    return f"{'; '.join(words)}." if words else ""


def auroc_by_percent_per_model(study: StudyTables) -> Figure:
    """A panel a model and dataset; panels of a dataset share their axis."""
    rows = auroc_rows(study)
    baseline = rows[rows["model"] == "baseline"]
    rows = rows[~rows["model"].map(style.is_mean) & (rows["model"] != "baseline")]
    by_dataset = {name: rows[rows["dataset"] == name] for name in study.datasets}
    by_dataset = {name: part for name, part in by_dataset.items() if len(part)}
    num_models = max(part["model"].nunique() for part in by_dataset.values())
    columns = min(num_models, 4 if num_models <= 12 else 5)
    rows_a_dataset = {name: math.ceil(part["model"].nunique() / columns) for name, part in by_dataset.items()}
    num_rows = sum(rows_a_dataset.values())

    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    row_height = 1.45 if num_rows > 1 else 2.2
    figure, axes = new_panels(num_rows, columns, width=width, height=0.8 + row_height * num_rows)
    top = 0
    for dataset, part in by_dataset.items():
        of_baseline = baseline[baseline["dataset"] == dataset]
        block = axes[top : top + rows_a_dataset[dataset]]
        top += rows_a_dataset[dataset]
        limits = value_limits(pd.concat([part, of_baseline]))
        models = list(part["model"].unique())
        for axis, model in zip(block.flat, models, strict=False):
            _draw_panel(axis, part[part["model"] == model], of_baseline, study)
            axis.set_ylim(limits)
            axis.set_title(style.model_title(model))
        for axis in block.flat[len(models) :]:
            axis.remove()
        for row in block:
            row[0].set_ylabel(f"{dataset}\nAUROC")
            for axis in row[1:]:
                axis.tick_params(labelleft=False)
    for axis in axes.flat:
        axis.tick_params(labelbottom=True)
    for axis in axes[-1]:
        axis.set_xlabel("Training patients (%)")
    return finish(
        figure,
        study,
        datasets=by_dataset,
        arms=set(zip(rows["model"], rows["init"], strict=True)),
        handles=_handles(rows, baseline),
    )
