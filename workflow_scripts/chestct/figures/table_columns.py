"""Columns of the study's tables as report and publication tables show them: headings and formatted text."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.wording import contrast_title, integer, interval, metric_title, p_value, plain, signed


def _signed_interval(low: float, high: float) -> str:
    return interval(low, high, with_sign=True)


def percentage(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


#: By heading: the columns of the table and the function that formats their values.
_COLUMNS: dict[str, tuple[str | tuple[str, str], Callable[..., Any]]] = {
    "Dataset": ("dataset", str),
    "Model": ("model", style.model_title),
    "Start": ("init", style.init_title),
    "Reference": ("reference", style.init_title),
    "%": ("percent", integer),
    "Seed": ("seed", integer),
    "Fold": ("fold", integer),
    "Patients": ("num_patients", "{:g}".format),
    "Metric": ("metric", metric_title),
    "Value": ("value", plain),
    "Contrast": ("contrast", contrast_title),
    "Against": ("rival", style.model_title),
    "Difference": ("difference", signed),
    "Interval": (("ci_low", "ci_high"), interval),
    "BCa interval": (("bca_low", "bca_high"), interval),
    "Models resampled": (("models_low", "models_high"), interval),
    "p": ("p_value", p_value),
    "p (Holm)": ("p_holm", p_value),
    "p (DeLong)": ("delong_p", p_value),
    "SD of seeds": ("seed_sd", plain),
    "Seeds": ("num_seeds", integer),
    "Models": ("num_models", integer),
    "Scans": ("num_scans", integer),
    "Positive": ("num_positive", integer),
    "Learning rate": ("learning_rate", "{:g}".format),
    "Validation AUROC": ("validation_auroc", plain),
    "Validation loss": ("validation_loss", plain),
    "Steps": ("num_steps", integer),
    "True difference": ("true_difference", "{:g}".format),
    "Monte Carlo interval": (("low", "high"), lambda low, high: f"{percentage(low)} to {percentage(high)}"),
}


def format_columns(rows: pd.DataFrame, headings: str, **others: Iterable[Any]) -> pd.DataFrame:
    """Format a table as text.

    Args:
        rows: one of the study's tables; in one with differences, intervals carry signs.
        headings: columns of the result, separated by ", ".
        others: texts of the columns that are this table's own, by heading with _ for a blank.

    Returns:
        A column of text for every heading; empty where a value is missing.
    """
    own = {name.replace("_", " "): list(texts) for name, texts in others.items()}
    return pd.DataFrame(
        {
            heading: own[heading] if heading in own else _format(rows, heading)
            for heading in headings.split(", ")
        },
        dtype="str",
    )


def _format(rows: pd.DataFrame, heading: str) -> list[str]:
    names, function = _COLUMNS[heading]
    if function is interval and "difference" in rows:
        function = _signed_interval
    values = rows[[names] if isinstance(names, str) else list(names)].itertuples(index=False, name=None)
    return ["" if any(map(pd.isna, parts)) else function(*parts) for parts in values]
