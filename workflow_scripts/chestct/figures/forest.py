"""Forest plot of the difference between video pretraining and training from scratch, by model and dataset."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chestct.figures import panels, style
from chestct.figures.dot_grid import DotGrid, draw_points, write_numbers
from chestct.figures.intervals import draw_over_patients, has_verdict, patients_look
from chestct.figures.study_tables import StudyTables

_CONTRAST = "video - scratch"
_THICKNESS = 1.3
_BELOW = 0.27  # of a row: how far below its point the interval over patients alone lies


def forest(study: StudyTables) -> Figure:
    """Differences in AUROC, video - scratch; below each interval that decides, the one over patients alone.

    Raises:
        NothingToPlotError: the study has no such comparison.
    """
    rows = study.comparisons
    rows = rows[(rows["contrast"] == _CONTRAST) & (rows["metric"] == "auroc")]
    rows = rows[~rows["model"].map(style.is_probe).astype(bool)]
    if rows.empty:
        raise panels.NothingToPlotError(
            "the study has no model trained both after video pretraining and from scratch."
        )
    grid = DotGrid(study, rows, column="difference")
    alpha = 1 - study.confidence
    colour = style.INIT_MARKS["video"].colour
    for axis, dataset, percent in grid.panels():
        axis.axvline(0, color=style.REFERENCE_COLOUR, linewidth=0.8)
        panel = grid.of_panel(rows, dataset, percent)
        heights, decides = grid.heights(panel, dataset), has_verdict(panel)
        draw_over_patients(axis, heights[decides] - _BELOW, panel[decides], colour)
        significant = (panel["p_holm"] < alpha).to_numpy(dtype=bool)
        draw_points(
            axis,
            panel,
            heights,
            "video",
            column="difference",
            filled=significant | ~decides,
            faint=~decides,
            thickness=_THICKNESS,
        )
        if len(grid.percents) <= 2:
            write_numbers(axis, panel, heights, "difference")
    grid.label(f"Difference in AUROC, video {style.MINUS} scratch")
    arms = {(model, init) for model in rows["model"].unique() for init in ("video", "scratch")}
    return panels.finish(
        grid.figure,
        study,
        datasets=grid.datasets,
        arms=arms,
        handles=difference_handles(rows, alpha),
        rows=rows,
    )


def difference_handles(rows: pd.DataFrame, alpha: float) -> list[Line2D]:
    """Legend entries of what the rows have: points by verdict, lines by kind of interval.

    Args:
        rows: of the table comparisons.
        alpha: p values below are significant.
    """
    decides, significant = has_verdict(rows), (rows["p_holm"] < alpha).to_numpy(dtype=bool)
    looks: list[tuple[str, np.ndarray, dict]] = [
        (f"p < {alpha:.2g} (Holm)", decides & significant, {}),
        (f"p \N{GREATER-THAN OR EQUAL TO} {alpha:.2g}", decides & ~significant, {"filled": False}),
        ("no verdict", ~decides, {"faint": True}),
    ]
    handles = [
        Line2D([], [], linestyle="none", label=words, **panels.marker_look("video", **look))
        for words, found, look in looks
        if found.any()
    ]
    colour, percent = style.INIT_MARKS["video"].colour, f"{100 * (1 - alpha):g} %"
    if decides.any():
        sources = (
            "patients, training and models" if (rows["num_models"] > 1).any() else "patients and training"
        )
        words = f"{percent}: {sources} vary"
        handles.append(Line2D([], [], color=colour, linewidth=_THICKNESS, label=words))
    look = patients_look(colour)
    (dots,) = look.pop("linestyles")
    handles.append(Line2D([], [], linestyle=dots, label=f"{percent} over patients alone", **look))
    return handles
