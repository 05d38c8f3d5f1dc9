"""What shows the intervals and tests valid: coverage, power, the permuted-label control, DeLong."""

from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.report_tables import show
from chestct.figures.report_text import contrast_title, count, signed
from chestct.figures.study_tables import StudyTables

_ENOUGH_POWER = 0.8
_METHODS = {"percentile": "percentile", "bca": "BCa", "delong": "DeLong"}
_QUANTITIES = {"auroc": "AUROC", "difference": "difference in AUROC"}


def validity_of(study: StudyTables) -> dict[str, Any]:
    """Sentences and tables of the section.

    Returns:
        coverage, power, permuted, delong: each a dict with sentence and table (of the report), or None where
        the study has nothing to show.
    """
    return {
        "coverage": _coverage(study.coverage),
        "power": _power(study.power, study),
        "permuted": _permuted(study.permuted, 1 - study.confidence),
        "delong": delong_agreement(study),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _coverage(rows: pd.DataFrame) -> dict[str, Any] | None:
    if rows.empty:
        return None
    within = int(((rows["low"] <= rows["nominal"]) & (rows["nominal"] <= rows["high"])).sum())
    sentence = (
        f"Simulated at the sizes of the study's test sets, the nominal {100 * rows['nominal'].iloc[0]:g} % "
        f"intervals hold the true value in {_percent(rows['coverage'].min())} to "
        f"{_percent(rows['coverage'].max())} of {int(rows['num_simulations'].max()):,} simulations; the "
        f"nominal coverage lies within the Monte Carlo interval in {within} of {count(len(rows), 'case')}."
    )
    table = pd.DataFrame(
        {
            "Quantity": rows["quantity"].map(_QUANTITIES),
            "Method": rows["method"].map(_METHODS),
            "Test set of": rows["dataset"],
            "Scans": rows["num_scans"].map(str),
            "Positive": rows["num_positive"].map(str),
            "True value": rows["true_value"].map("{:g}".format),
            "Coverage": rows["coverage"].map(_percent),
            "Monte Carlo interval": _shares(rows),
            "Mean width": rows["mean_width"].map("{:.3f}".format),
        }
    )
    return {"sentence": sentence, "table": show(table)}


def _shares(rows: pd.DataFrame) -> list[str]:
    ends = rows[["low", "high"]].to_numpy(dtype=float)
    return [f"{_percent(low)} to {_percent(high)}" for low, high in ends]


def _power(rows: pd.DataFrame, study: StudyTables) -> dict[str, Any] | None:
    if rows.empty:
        return None
    own = study.means.groupby("dataset")["num_scans"].max()
    sentences = []
    for (dataset, contrast, difference), part in rows.groupby(
        ["dataset", "contrast", "true_difference"], sort=False
    ):
        at = int(own.get(dataset, 0))
        here = part.loc[part["num_scans"] == at, "power"]
        chance = (
            f"the {at} test scans have a chance of {_percent(here.iloc[0])} to see it" if len(here) else ""
        )
        enough = part.loc[part["power"] >= _ENOUGH_POWER, "num_scans"]
        needed = (
            f"{int(enough.min()):,} scans are enough for {100 * _ENOUGH_POWER:.0f} %"
            if len(enough)
            else f"{int(part['num_scans'].max()):,} scans are too few for {100 * _ENOUGH_POWER:.0f} %"
        )
        sentences.append(
            f"{dataset}, {contrast_title(str(contrast))}, a true difference of {difference:g}: "
            + "; ".join(filter(None, [chance, f"of the sizes tried, {needed}"]))
            + "."
        )
    table = pd.DataFrame(
        {
            "Dataset": rows["dataset"],
            "Contrast": rows["contrast"].map(contrast_title),
            "%": rows["percent"].map(str),
            "True difference": rows["true_difference"].map("{:g}".format),
            "Test scans": rows["num_scans"].map(str),
            "Standard error": rows["standard_error"].map("{:.4f}".format),
            "Power": rows["power"].map(_percent),
            "Monte Carlo interval": _shares(rows),
        }
    )
    return {"sentence": " ".join(sentences), "table": show(table)}


def _permuted(rows: pd.DataFrame, level: float) -> dict[str, Any] | None:
    if rows.empty:
        return None
    within = int(((rows["low"] <= level) & (level <= rows["high"])).sum())
    above = int((rows["low"] > level).sum())
    sentence = (
        f"With the test labels permuted among patients there is nothing to find: comparisons should come out "
        f"significant in {_percent(level)} of permutations. They do in "
        f"{_percent(rows['share_significant'].min())} to {_percent(rows['share_significant'].max())}; "
        f"{_percent(level)} lies within the Monte Carlo interval in {within} of {count(len(rows), 'case')}, "
        f"and significantly more than that is found in {above}."
    )
    table = pd.DataFrame(
        {
            "Dataset": rows["dataset"],
            "Model": rows["model"].map(style.model_title),
            "%": rows["percent"].map(str),
            "Contrast": rows["contrast"].map(contrast_title),
            "Permutations": rows["num_permutations"].map(str),
            "Significant": rows["share_significant"].map(_percent),
            "Monte Carlo interval": _shares(rows),
            "Mean difference": rows["mean_difference"].map(signed),
        }
    )
    return {"sentence": sentence, "table": show(table)}


def delong_agreement(study: StudyTables) -> dict[str, Any] | None:
    """How often DeLong's test and the bootstrap decide alike at 1 - confidence, without adjustment."""
    rows = study.comparisons.dropna(subset=["delong_p"])
    if rows.empty:
        return None
    level = 1 - study.confidence
    bootstrap, delong = rows["p_value"] < level, rows["delong_p"] < level
    agree = int((bootstrap == delong).sum())
    ends = rows[["ci_low", "ci_high"]].to_numpy() - rows[["delong_low", "delong_high"]].to_numpy()
    apart = pd.Series(ends.ravel()).abs()
    table = pd.DataFrame(
        {
            "Bootstrap": ["p below", "p below", "p not below", "p not below"],
            "DeLong": ["p below", "p not below", "p below", "p not below"],
            "Comparisons": [
                str(int(((bootstrap == first) & (delong == second)).sum()))
                for first in (True, False)
                for second in (True, False)
            ],
        }
    )
    sentence = (
        f"DeLong's test, which needs no resampling, decides as the bootstrap does at p below {level:.2g} in "
        f"{agree} of {count(len(rows), 'comparison')} of AUROC ({_percent(agree / len(rows))}); the ends of "
        f"their intervals differ by {apart.median():.4f} in the median and {apart.max():.4f} at most. "
        "DeLong's variance takes scans as independent, also those of one patient."
    )
    return {"sentence": sentence, "table": show(table)}
