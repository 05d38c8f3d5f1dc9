"""How long every arm was trained: budget, windows seen, the best step, early stopping."""

import numpy as np
import pandas as pd

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns, value_texts
from chestct.window_forms import TABLES

_ARM = ["dataset", "model", "init", "percent"]


def budgets_table(study: StudyTables) -> pd.DataFrame:
    """The training of every arm as text, beside its validation and its test AUROC.

    Frozen probes are left out: their heads are fitted, without steps or a budget.

    Numbers of an arm with several runs (seeds, folds) are their median and, where they differ, their range.

    Returns:
        Columns Dataset, Model, Start, %, Runs, Unit (what is counted: windows, or the slices or scans that a
        model sees in their place), Most windows, Windows seen, Best step, Windows at best,
        Stopped early (how many of the runs), Best at the end (how many of the runs were at their best with
        the last step of the whole budget, so that more may have helped), Validation AUROC (of the best
        validation, mean over the runs), Test AUROC (as of ``value_texts``).
    """
    runs = study.runs[~study.runs["model"].map(style.is_probe).astype(bool)]
    places = pd.DataFrame({"dataset": runs["dataset"].map(study.datasets.index)})
    places["model"], places["init"] = runs["model"].map(style.model_rank), runs["init"].map(style.init_rank)
    places["percent"] = runs["percent"]
    runs = runs.loc[places.sort_values([*places], kind="stable").index]
    means = study.means[study.means["metric"] == "auroc"]
    tested = dict(zip(means[_ARM].itertuples(index=False, name=None), value_texts(means), strict=True))
    arms = list(runs.groupby(_ARM, sort=False))
    at_end = [(part["best_step"] == part["num_steps"]) & (part["stopped_early"] == 0) for _, part in arms]
    return format_columns(
        pd.DataFrame([arm for arm, _ in arms], columns=_ARM),
        "Dataset, Model, Start, %, Runs, Unit, Most windows, Windows seen, Best step, Windows at best, "
        "Stopped early, Best at the end, Validation AUROC, Test AUROC",
        Runs=[str(len(part)) for _, part in arms],
        Unit=[TABLES[MODELS[str(arm[1])].sees] for arm, _ in arms],
        Most_windows=[_range(part["budget_windows"]) for _, part in arms],
        Windows_seen=[_range(part["windows_seen"]) for _, part in arms],
        Best_step=[_range(part["best_step"]) for _, part in arms],
        Windows_at_best=[_range(part["best_windows_seen"]) for _, part in arms],
        Stopped_early=[_share(part["stopped_early"]) for _, part in arms],
        Best_at_the_end=[_share(found) for found in at_end],
        Validation_AUROC=[f"{part['validation_auroc'].astype(float).mean():.3f}" for _, part in arms],
        Test_AUROC=[tested.get(arm, style.NONE) for arm, _ in arms],
    )


def _range(values: pd.Series) -> str:
    """The median of whole numbers, with the least and the most where they differ."""
    numbers = values.to_numpy(dtype=float)
    low, middle, high = (f"{number:,.0f}" for number in (numbers.min(), np.median(numbers), numbers.max()))
    return middle if low == high else f"{middle} ({low} to {high})"


def _share(found: pd.Series) -> str:
    return f"{int(found.sum())} of {len(found)}"
