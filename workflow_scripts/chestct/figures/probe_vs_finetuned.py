"""Fine-tuned models compared with frozen probes of the same starting weights."""

from matplotlib.figure import Figure

from chestct.catalogue import MODELS
from chestct.figures import panels, style
from chestct.figures.dot_grid import compare_arms
from chestct.figures.study_tables import StudyTables


def probe_vs_finetuned(study: StudyTables) -> Figure:
    """Fine-tuned models (filled) and frozen probes (open) of the same starting weights.

    Raises:
        NothingToPlotError: the study has no frozen probe of one of its models.
    """
    rows = panels.auroc_rows(study)
    rows = rows[rows["model"].isin(list(MODELS))]
    rows = rows.assign(filled=~rows["model"].map(style.is_probe).astype(bool))
    rows["model"] = rows["model"].map(lambda model: MODELS[model].probe_of or model)
    keys = ["dataset", "model", "init", "percent"]
    rows = rows[rows.groupby(keys)["filled"].transform("nunique") == 2]
    if rows.empty:
        raise panels.NothingToPlotError(
            "the study has no frozen probe beside a fine-tuned model of the same start."
        )
    arms = [
        (init, filled, f"{style.init_title(init)}, {'fine-tuned' if filled else 'frozen probe'}")
        for init in panels.inits_of(rows)
        for filled in (True, False)
    ]
    return compare_arms(study, rows, arms)
