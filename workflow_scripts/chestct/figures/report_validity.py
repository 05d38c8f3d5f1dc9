"""Validity of intervals and tests in the report: coverage, power, controls, DeLong's test."""

from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.report_tables import show
from chestct.figures.same_arm import WAYS, differing
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import contrast_title, count, listed, percentage, signed

_ENOUGH_POWER = 0.8
_OF_PATIENTS = (
    "All this is power over patients alone, for these trained networks. Verdicts count training runs and "
    "models too: theirs is less, and no number of scans makes up for few runs or models that differ."
)
_METHODS = {"student": "Student", "bca": "BCa", "delong": "DeLong"}
_QUANTITIES = {"value": "of one model", "difference": "difference of two"}


def validity_of(study: StudyTables) -> dict[str, Any]:
    """Sentences and tables of the section on validity.

    Returns:
        coverage, power, permuted, same_arm, delong: each a dict with a sentence and a table, or None if the
        study lacks the data.
    """
    return {
        "coverage": _coverage(study.coverage),
        "power": _power(study.power, study),
        "permuted": _permuted(study.permuted, 1 - study.confidence),
        "same_arm": _same_arm(study),
        "delong": delong_agreement(study),
    }


def _coverage(rows: pd.DataFrame) -> dict[str, Any] | None:
    if rows.empty:
        return None
    within = int(((rows["low"] <= rows["nominal"]) & (rows["nominal"] <= rows["high"])).sum())
    sentence = (
        f"Simulated at the sizes of the study's test sets, the nominal {100 * rows['nominal'].iloc[0]:g} % "
        f"intervals contain the true value in {percentage(rows['coverage'].min())} to "
        f"{percentage(rows['coverage'].max())} of {int(rows['num_simulations'].max()):,} simulations; the "
        f"nominal coverage lies within the Monte Carlo interval in {within} of {count(len(rows), 'case')}."
    )
    headings = (
        "Metric, Quantity, Positive scans, Method, Test set of, Scans, Positive, True value, Coverage, "
        "Monte Carlo interval, Mean width"
    )
    table = format_columns(
        rows,
        headings,
        Quantity=rows["quantity"].map(_QUANTITIES),
        Positive_scans=rows["prevalence"],
        Method=rows["method"].map(_METHODS),
        Test_set_of=rows["dataset"],
        True_value=rows["true_value"].map("{:.3g}".format),
        Coverage=rows["coverage"].map(percentage),
        Mean_width=rows["mean_width"].map("{:.3f}".format),
    )
    return {"sentence": sentence, "table": show(table)}


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
        chance = ""
        if len(here):
            chance = f"the {at} test scans detect it with a probability of {percentage(here.iloc[0])}"
        enough = part.loc[part["power"] >= _ENOUGH_POWER, "num_scans"]
        needed = (
            f"{int(enough.min()):,} scans suffice for {100 * _ENOUGH_POWER:.0f} %"
            if len(enough)
            else f"{int(part['num_scans'].max()):,} scans are too few for {100 * _ENOUGH_POWER:.0f} %"
        )
        sentences.append(
            f"{dataset}, {contrast_title(str(contrast))}, a true difference of {difference:g}: "
            + "; ".join(filter(None, [chance, f"of the sizes tried, {needed}"]))
            + "."
        )
    headings = (
        "Dataset, Contrast, %, True difference, Test scans, Standard error, Power, Monte Carlo interval"
    )
    table = format_columns(
        rows,
        headings,
        Test_scans=rows["num_scans"].map(str),
        Standard_error=rows["standard_error"].map("{:.4f}".format),
        Power=rows["power"].map(percentage),
    )
    return {"sentence": " ".join([*sentences, _OF_PATIENTS]), "table": show(table)}


def _permuted(rows: pd.DataFrame, level: float) -> dict[str, Any] | None:
    if rows.empty:
        return None
    within = int(((rows["low"] <= level) & (level <= rows["high"])).sum())
    above = int((rows["low"] > level).sum())
    sentence = (
        f"With the test labels permuted among patients there is nothing to find: comparisons should come out "
        f"significant over patients alone in {percentage(level)} of permutations. They do in "
        f"{percentage(rows['share_significant'].min())} to {percentage(rows['share_significant'].max())}; "
        f"{percentage(level)} lies within the Monte Carlo interval in {within} of "
        f"{count(len(rows), 'case')}, and significantly more than that is found in {above}."
    )
    headings = "Dataset, Model, %, Contrast, Permutations, Significant, Monte Carlo interval, Mean difference"
    table = format_columns(
        rows,
        headings,
        Permutations=rows["num_permutations"].map(str),
        Significant=rows["share_significant"].map(percentage),
        Mean_difference=rows["mean_difference"].map(signed),
    )
    return {"sentence": sentence, "table": show(table)}


def _same_arm(study: StudyTables) -> dict[str, Any] | None:
    rows, level = study.same_arm, 1 - study.confidence
    if rows.empty:
        return None
    sentence = (
        "Runs of one arm contrasted with runs of the same arm with other seeds: there is nothing to find, so "
        f"that about {percentage(level)} of contrasts may have p below {level:.2g}. "
    )
    shares = differing(study)
    for way in WAYS:
        own = [share for share in shares if share.way is way]
        parts = [
            f"{share.num_differ} of {share.num_contrasts:,} ({percentage(share.share)}; {share.dataset}, "
            f"{share.group})"
            for share in own
        ]
        if parts:
            sentence += f"{way.title}: {listed(parts)}. "
    headings = "Dataset, Model, Start, %, Seeds, Difference, Interval, p, Patients alone, p (patients alone)"
    table = format_columns(rows, headings, Seeds=rows["seeds"].str.replace(" - ", f" {style.MINUS} "))
    return {"sentence": sentence.strip(), "table": show(table)}


def delong_agreement(study: StudyTables) -> dict[str, Any] | None:
    """How often DeLong's test and the bootstrap over patients alone agree at 1 - confidence, unadjusted."""
    rows = study.comparisons.dropna(subset=["delong_p"])
    if rows.empty:
        return None
    level = 1 - study.confidence
    bootstrap, delong = rows["patients_p"] < level, rows["delong_p"] < level
    agree = int((bootstrap == delong).sum())
    ends = rows[["patients_low", "patients_high"]].to_numpy() - rows[["delong_low", "delong_high"]].to_numpy()
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
        "DeLong's test, which needs no resampling, decides as the bootstrap over patients alone does at p "
        f"below {level:.2g} in {agree} of {count(len(rows), 'comparison')} of AUROC "
        f"({percentage(agree / len(rows))}); the ends of their intervals differ by {apart.median():.4f} in "
        f"the median and {apart.max():.4f} at most. DeLong's variance takes scans as independent, also those "
        "of one patient."
    )
    return {"sentence": sentence, "table": show(table)}
