"""3D models after video pretraining compared with 2D models after ImageNet pretraining."""

import pandas as pd
from matplotlib.figure import Figure

from chestct.catalogue import MODELS
from chestct.figures import panels, style
from chestct.figures.dot_grid import DotGrid, draw_points
from chestct.figures.study_tables import StudyTables


def _family(model: str) -> str:
    return "3d" if style.is_mean(model) else MODELS[model].family


def video_3d_vs_2d(study: StudyTables) -> Figure:
    """3D models after video pretraining above 2D models after ImageNet pretraining.

    Raises:
        NothingToPlotError: the study lacks one of the two.
    """
    rows = panels.models_and_means(panels.auroc_rows(study))
    family = rows["model"].map(_family)
    videos = rows[(family == "3d") & (rows["init"] == "video")]
    rivals = rows[(family == "2d") & (rows["init"] == "imagenet")]
    if videos.empty or rivals.empty:
        lacking = "3D model after video" if videos.empty else "2D model after ImageNet"
        raise panels.NothingToPlotError(f"the study has no {lacking} pretraining.")
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
    grid.label("AUROC")
    return panels.finish(
        grid.figure,
        study,
        datasets=grid.datasets,
        arms=panels.arms_of(rows),
        handles=[
            panels.init_handle("video", "3D, video pretraining", line=False),
            panels.init_handle("imagenet", "2D, ImageNet pretraining", line=False),
            panels.reference_handle("Best 2D model on validation", style.INIT_MARKS["imagenet"].colour),
        ],
        rows=rows,
    )


def _best_2d(study: StudyTables) -> dict[tuple[str, int], str]:
    """The 2D model that 3D models are compared with, by dataset and percentage."""
    rows = study.comparisons[study.comparisons["contrast"] == "video - best_2d"].dropna(subset="rival")
    rows = rows[rows["metric"] == "auroc"].drop_duplicates(["dataset", "percent"])
    return {
        (dataset, int(percent)): rival
        for dataset, percent, rival in rows[["dataset", "percent", "rival"]].to_numpy()
    }
