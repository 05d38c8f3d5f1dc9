"""Arms side by side: 3D after video against 2D, video against CT pretraining, fine-tuned against probes."""

import pandas as pd
from matplotlib.figure import Figure

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.dots import DotGrid, draw_points
from chestct.figures.panels import (
    NothingToPlotError,
    arms_of,
    auroc_rows,
    finish,
    init_handle,
    inits_of,
    own_models,
    reference_handle,
    value_limits,
)
from chestct.figures.study_tables import StudyTables

_SPREAD = 0.66  # share of a model's row over which its points lie


def _family(model: str) -> str:
    return "3d" if style.is_mean(model) else MODELS[model].family


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The study's models and their means."""
    means = rows[rows["model"].map(style.is_mean).astype(bool)]
    return pd.concat([own_models(rows), means])


def video_3d_vs_2d(study: StudyTables) -> Figure:
    """3D models after video pretraining over 2D models after ImageNet pretraining."""
    rows = _compared(auroc_rows(study))
    family = rows["model"].map(_family)
    videos = rows[(family == "3d") & (rows["init"] == "video")]
    rivals = rows[(family == "2d") & (rows["init"] == "imagenet")]
    if videos.empty or rivals.empty:
        lacking = "3D model after video" if videos.empty else "2D model after ImageNet"
        raise NothingToPlotError(f"the study has no {lacking} pretraining.")
    both = set(videos["dataset"]) & set(rivals["dataset"])
    rows = pd.concat([videos, rivals])
    rows = rows[rows["dataset"].isin(both)]
    grid = DotGrid(study, rows, rank=lambda model: (_family(model) == "2d", style.model_rank(model)))
    best = _best_2d(study)
    for axis, dataset, percent in grid.panels():
        panel = grid.of_panel(rows, dataset, percent)
        rival = panel.loc[panel["model"] == best.get((dataset, percent)), "value"]
        if len(rival):
            colour = style.INIT_MARKS["imagenet"].colour
            axis.axvline(float(rival.iloc[0]), color=colour, linestyle=(0, (3, 2)), linewidth=0.9)
        for init in ("video", "imagenet"):
            arm = panel[panel["init"] == init]
            draw_points(axis, arm, grid.heights(arm, dataset), init)
    grid.label("AUROC", value_limits(rows))
    return finish(
        grid.figure,
        study,
        datasets=grid.datasets,
        arms=arms_of(rows),
        handles=[
            init_handle("video", "3D, video pretraining", line=False),
            init_handle("imagenet", "2D, ImageNet pretraining", line=False),
            reference_handle("Best 2D on validation", style.INIT_MARKS["imagenet"].colour),
        ],
    )


def _best_2d(study: StudyTables) -> dict[tuple[str, int], str]:
    """The 2D model that comparisons are against, by dataset and percent."""
    rows = study.comparisons[study.comparisons["contrast"] == "video - best_2d"].dropna(subset="rival")
    rows = rows[rows["metric"] == "auroc"].drop_duplicates(["dataset", "percent"])
    return {
        (dataset, int(percent)): rival
        for dataset, percent, rival in rows[["dataset", "percent", "rival"]].to_numpy()
    }


def video_vs_ct(study: StudyTables) -> Figure:
    """Video and CT pretraining of the same models, with scratch and both in turn where the study has them."""
    rows = _compared(auroc_rows(study))
    arms = rows.groupby(["dataset", "model"])["init"]
    has_both = arms.transform(lambda inits: {"video", "ct"} <= set(inits))
    rows = rows[has_both.astype(bool)]
    if rows.empty:
        raise NothingToPlotError("the study has no model with both video and CT pretraining.")
    names = inits_of(rows)
    grid = DotGrid(study, rows, arms_a_model=len(names))
    for axis, dataset, percent in grid.panels():
        panel = grid.of_panel(rows, dataset, percent)
        for position, init in enumerate(names):
            arm = panel[panel["init"] == init]
            draw_points(axis, arm, grid.heights(arm, dataset) + _shift(position, len(names)), init)
    grid.rule_off()
    grid.label("AUROC", value_limits(rows))
    return finish(
        grid.figure,
        study,
        datasets=grid.datasets,
        arms=arms_of(rows),
        handles=[init_handle(init, line=False) for init in names],
    )


def _shift(position: int, number: int) -> float:
    """How far above its row's middle a point lies, so that the points of a model do not cover each other."""
    return ((number - 1) / 2 - position) * _SPREAD / max(number, 3)


def probe_vs_finetuned(study: StudyTables) -> Figure:
    """Fine-tuned models (filled) and frozen probes (open) of the same starting weights.

    Raises:
        NothingToPlotError: the study has no frozen probe of one of its models.
    """
    rows = auroc_rows(study)
    rows = rows[rows["model"].isin(list(MODELS))]
    probes = rows[rows["model"].map(style.is_probe).astype(bool)]
    rows = rows.assign(is_probe=rows.index.isin(probes.index))
    rows["model"] = rows["model"].map(lambda model: MODELS[model].probe_of or model)
    keys = ["dataset", "model", "init", "percent"]
    rows = rows[rows.groupby(keys)["is_probe"].transform("nunique") == 2]
    if rows.empty:
        raise NothingToPlotError("the study has no frozen probe beside a fine-tuned model of the same start.")
    arms = [(init, is_probe) for init in inits_of(rows) for is_probe in (False, True)]
    grid = DotGrid(study, rows, arms_a_model=len(arms))
    for axis, dataset, percent in grid.panels():
        panel = grid.of_panel(rows, dataset, percent)
        for position, (init, is_probe) in enumerate(arms):
            arm = panel[(panel["init"] == init) & (panel["is_probe"] == is_probe)]
            heights = grid.heights(arm, dataset) + _shift(position, len(arms))
            draw_points(axis, arm, heights, init, filled=not is_probe)
    grid.rule_off()
    grid.label("AUROC", value_limits(rows))
    handles = [
        init_handle(
            init,
            f"{style.init_title(init)}, {'frozen probe' if is_probe else 'fine-tuned'}",
            line=False,
            filled=not is_probe,
        )
        for init, is_probe in arms
    ]
    shown = arms_of(rows)
    return finish(grid.figure, study, datasets=grid.datasets, arms=shown, handles=handles)
