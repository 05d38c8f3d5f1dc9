"""Scores without a network beside the arms of a figure: their rows, their lines, and the legend of both."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from chestct import simple_rivals
from chestct.figures import hover_words, panels, style
from chestct.figures.hover import note_points
from chestct.figures.study_tables import StudyTables


def references_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the scores without a network that these figures show (``style.SIMPLE_MARKS``).

    Their intervals are not drawn; so that axes leave no room for them, the ends are those of the values.
    """
    references = rows[rows["model"].isin(list(style.SIMPLE_MARKS))]
    ends = dict.fromkeys(("ci_low", "ci_high", "patients_low", "patients_high"), references["value"])
    return references.assign(**ends)


def draw_references(axis: Axes, references: pd.DataFrame, column: str = "percent") -> None:
    """Draw a dataset's own score, which is not trained, as a horizontal line, the fitted ones as curves.

    Args:
        axis: panel.
        references: rows of the dataset, of ``references_of``.
        column: what the x axis shows.
    """
    for model, rows in references.groupby("model", sort=False):
        mark = style.SIMPLE_MARKS[str(model)]
        look = {"color": mark.colour, "linestyle": mark.line, "linewidth": 1.1}
        if model == simple_rivals.BASELINE:
            axis.axhline(float(rows["value"].iloc[0]), **look)
        else:
            rows = rows.sort_values(column)
            marker = mark.marker if len(rows) == 1 else ""
            x, y = panels.floats(rows, column, "value")
            axis.plot(x, y, marker=marker, zorder=1.5, **look)
            note_points(axis, x, y, rows, hover_words.of_scores_without_image)


def line_handles(study: StudyTables, rows: pd.DataFrame, references: pd.DataFrame) -> list[Line2D]:
    """Legend entries of the inits, and of the scores without a network."""
    handles = [panels.init_handle(init) for init in panels.inits_of(rows)]
    for model in (name for name in style.SIMPLE_MARKS if name in set(references["model"])):
        mark = style.SIMPLE_MARKS[model]
        datasets = references.loc[references["model"] == model, "dataset"].unique()
        title = study.model_title(model, datasets)
        handles.append(panels.reference_handle(title, mark.colour, mark.line))
    return handles
