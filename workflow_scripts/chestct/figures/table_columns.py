"""Columns of the study's tables as report and publication tables show them: headings and formatted text."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.intervals import has_verdict, shown_ends
from chestct.figures.wording import (
    contrast_title,
    integer,
    interval,
    metric_title,
    p_value,
    percentage,
    plain,
    signed,
)


def _signed_interval(low: float, high: float) -> str:
    return interval(low, high, with_sign=True)


#: Headings under which a missing number is a dash: there is none, as opposed to a column that does not apply.
_DASHED = ("Value", "Difference", "Interval", "Patients alone", "p", "p (Holm)")

#: By heading: the columns of the table and the function that formats their values.
_COLUMNS: dict[str, tuple[str | tuple[str, str], Callable[..., Any]]] = {
    "Dataset": ("dataset", str),
    "Model": ("model", style.model_title),
    "Start": ("init", style.init_title),
    "Reference": ("reference", style.init_title),
    "%": ("percent", integer),
    "Seed": ("seed", integer),
    "Fold": ("fold", integer),
    "Labelled patients": ("num_patients", "{:g}".format),
    "Smaller class": ("least_class", integer),
    "Metric": ("metric", metric_title),
    "Value": ("value", plain),
    "Contrast": ("contrast", contrast_title),
    "Against": ("rival", style.rival_title),
    "Difference": ("difference", signed),
    "Interval": (("ci_low", "ci_high"), interval),
    "Patients alone": (("patients_low", "patients_high"), interval),
    "Patients alone (BCa)": (("bca_low", "bca_high"), interval),
    "Share of patients": ("share_patients", percentage),
    "Share of training": ("share_training", percentage),
    "Share of models": ("share_models", percentage),
    "p": ("p_value", p_value),
    "p (Holm)": ("p_holm", p_value),
    "p (patients alone)": ("patients_p", p_value),
    "p (DeLong)": ("delong_p", p_value),
    "SD of seeds": ("seed_sd", plain),
    "Seeds": ("num_seeds", integer),
    "Runs": ("num_runs", integer),
    "Models": ("num_models", integer),
    "Scans": ("num_scans", integer),
    "Positive": ("num_positive", integer),
    "Learning rate": ("learning_rate", "{:g}".format),
    "L2 strength": ("l2_strength", "{:g}".format),
    "Validation AUROC": ("validation_auroc", plain),
    "Validation loss": ("validation_loss", plain),
    "Steps": ("num_steps", integer),
    "Windows seen": ("windows_seen", integer),
    "Best step": ("best_step", integer),
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
        A column of text for every heading; where a value is missing, empty or a dash (``_DASHED``).
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
    missing = style.NONE if heading in _DASHED else ""
    return [missing if any(map(pd.isna, parts)) else function(*parts) for parts in values]


def value_texts(rows: pd.DataFrame, *, with_sign: bool = False) -> list[str]:
    """Values with the interval that each row shows, in one text.

    In parentheses stands the interval that decides, in square brackets the one over patients alone (one
    training run an arm). A value without any interval stands alone, and a dash where there is no value.
    Differences are written with their sign.
    """
    texts, form = [], signed if with_sign else plain
    for value, low, high, decides in zip(rows["value"], *shown_ends(rows), has_verdict(rows), strict=True):
        ends = interval(low, high, with_sign=with_sign)
        opening, closing = "()" if decides else "[]"
        texts.append(
            style.NONE
            if pd.isna(value)
            else f"{form(value)} {opening}{ends}{closing}"
            if ends
            else form(value)
        )
    return texts
