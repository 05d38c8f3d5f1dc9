"""Video pretraining compared with CT pretraining of the same models."""

from matplotlib.figure import Figure

from chestct.figures import panels
from chestct.figures.dot_grid import compare_arms
from chestct.figures.study_tables import StudyTables


def video_vs_ct(study: StudyTables) -> Figure:
    """Video and CT pretraining of the same models, with scratch and both in sequence if available.

    Raises:
        NothingToPlotError: no model of the study has both.
    """
    rows = panels.models_and_means(panels.auroc_rows(study))
    inits = rows.groupby(["dataset", "model"])["init"]
    has_both = inits.transform(lambda names: {"video", "ct"} <= set(names))
    rows = rows[has_both.astype(bool)].assign(filled=True)
    if rows.empty:
        raise panels.NothingToPlotError("the study has no model with both video and CT pretraining.")
    return compare_arms(study, rows, [(init, True, None) for init in panels.inits_of(rows)])
