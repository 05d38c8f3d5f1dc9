"""3D models after video pretraining compared with 2D models that start from images."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.catalogue import MODELS
from chestct.figures import panels, style
from chestct.figures.dot_grid import DotGrid, draw_points
from chestct.figures.rivals import Rival, by_fold_note, candidates, chosen_rivals
from chestct.figures.study_tables import StudyTables

#: Below a figure in which a number stands above a point.
_BADLY_CHOSEN = (
    "Numbers above points: on the test patients this 2D model is better than {} that validation chose, "
    "by so much AUROC."
)


def _family(model: str) -> str:
    return "3d" if style.is_mean(model) else MODELS[model].family


def video_3d_vs_2d(study: StudyTables) -> Figure:
    """3D models after video pretraining above 2D models that start from images.

    A dashed line marks the 2D model that validation chose. Where another is better on the test patients, its
    lead over the chosen one stands above its point.

    Raises:
        NothingToPlotError: the study lacks one of the two.
    """
    rows = panels.models_and_means(panels.auroc_rows(study))
    family = rows["model"].map(_family)
    videos = rows[(family == "3d") & (rows["init"] == "video")]
    rivals = candidates(rows)
    if videos.empty or rivals.empty:
        lacking = "3D model after video" if videos.empty else "2D model after ImageNet"
        raise panels.NothingToPlotError(f"the study has no {lacking} pretraining.")
    both = set(videos["dataset"]) & set(rivals["dataset"])
    rows = pd.concat([videos, rivals])
    rows = rows[rows["dataset"].isin(both)]
    grid = DotGrid(study, rows, rank=lambda model: (_family(model) == "2d", style.model_rank(model)))
    chosen = {(rival.dataset, rival.percent): rival for rival in chosen_rivals(study)}
    by_fold = by_fold_note(chosen.values())
    colour, badly_chosen = style.INIT_MARKS["imagenet"].colour, ""
    for axis, dataset, percent in grid.panels():
        panel = grid.of_panel(rows, dataset, percent)
        rival = chosen.get((dataset, percent))
        if rival is not None:
            axis.axvline(rival.value, color=colour, linestyle=(0, (3, 2)), linewidth=0.9)
        for init in ("video", "imagenet"):
            arm = panel[panel["init"] == init]
            draw_points(axis, arm, grid.heights(arm, dataset), init)
        if rival is not None and rival.better:
            better = panel[panel["model"] == rival.better]
            _annotate_lead(axis, better, float(grid.heights(better, dataset)[0]), rival)
            badly_chosen = _BADLY_CHOSEN.format("those" if by_fold else "the one")
    grid.label("AUROC")
    return panels.finish(
        grid.figure,
        study,
        datasets=grid.datasets,
        arms=panels.arms_of(rows),
        handles=[
            panels.init_handle("video", "3D, video pretraining", line=False),
            panels.init_handle("imagenet", "2D, image pretraining", line=False),
            panels.reference_handle("Best 2D model on validation", colour),
        ],
        note=f"{by_fold} {badly_chosen}".strip(),
        rows=rows,
    )


def _annotate_lead(axis: Axes, row: pd.DataFrame, height: float, rival: Rival) -> None:
    """Write above a point by how much it lies to the right of the chosen 2D model."""
    axis.annotate(
        style.signed(rival.lead),
        (float(row["value"].iloc[0]), height),
        xytext=(0, 2.5),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=style.FOOTER_SIZE,
        color="black",
        # The dashed line of the chosen model may pass here.
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.4},
        zorder=4,
    )
