"""Forest plot of the difference between video pretraining and training from scratch, by model and dataset."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chestct.figures import panels, style
from chestct.figures.dot_grid import DotGrid, draw_points, write_numbers
from chestct.figures.study_tables import StudyTables

_CONTRAST = "video - scratch"


def forest(study: StudyTables) -> Figure:
    """Differences in AUROC, video - scratch; for means, a thin line is the interval over patients and models.

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
    grid = DotGrid(study, rows)
    alpha = 1 - study.confidence
    wide = rows["models_low"].notna().any()
    for axis, dataset, percent in grid.panels():
        axis.axvline(0, color=style.REFERENCE_COLOUR, linewidth=0.8)
        panel = grid.of_panel(rows, dataset, percent)
        heights = grid.heights(panel, dataset)
        colour = style.INIT_MARKS["video"].colour
        axis.hlines(heights, panel["models_low"], panel["models_high"], color=colour, linewidth=0.6)
        significant = (panel["p_holm"] < alpha).to_numpy(dtype=bool)
        draw_points(
            axis,
            panel,
            heights,
            "video",
            column="difference",
            filled=significant,
            thickness=1.6 if wide else 1.2,
        )
        if len(grid.percents) <= 2:
            write_numbers(axis, panel, heights, "difference")
    grid.label(f"Difference in AUROC, video {style.MINUS} scratch", _limits(rows))
    arms = {(model, init) for model in rows["model"].unique() for init in ("video", "scratch")}
    return panels.finish(
        grid.figure, study, datasets=grid.datasets, arms=arms, handles=_handles(alpha, wide=bool(wide))
    )


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    wider = rows.assign(ci_low=rows["models_low"], ci_high=rows["models_high"])
    low, high = panels.value_limits(pd.concat([rows, wider]))
    return min(low, -0.01), max(high, 0.01)


def _handles(alpha: float, *, wide: bool) -> list[Line2D]:
    colour = style.INIT_MARKS["video"].colour
    handles = [
        Line2D([], [], linestyle="none", label=words, **panels.marker_look("video", filled=filled))
        for filled, words in (
            (True, f"p < {alpha:.2g} (Holm)"),
            (False, f"p \N{GREATER-THAN OR EQUAL TO} {alpha:.2g}"),
        )
    ]
    if wide:
        handles += [
            Line2D([], [], color=colour, linewidth=1.6, label=f"{100 * (1 - alpha):g} % over patients"),
            Line2D([], [], color=colour, linewidth=0.6, label="over patients and models"),
        ]
    return handles
