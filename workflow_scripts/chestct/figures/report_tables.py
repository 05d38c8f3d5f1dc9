"""Tables of the report: what an HTML table needs, and the tables of results."""

import re
from dataclasses import dataclass

import pandas as pd

from chestct.figures import style
from chestct.figures.study_tables import StudyTables, are_means
from chestct.figures.table_columns import format_columns, value_texts
from chestct.simple_rivals import BASELINE, is_simple

#: Longer tables are left to the archive of tables.
MAX_ROWS = 3000
_NUMBER = re.compile(r"[<\u2264\u2265]?\s*[+\u2212-]?\d")
#: Cells with more letters may wrap.
_LONG = 34


@dataclass(frozen=True)
class Shown:
    """A table of text for HTML.

    Attributes:
        columns: headings.
        rows: one tuple of texts per row.
        classes: CSS classes: "n3" if the third column holds numbers (aligned right), "w3" if it holds prose
            (may wrap).
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    classes: str

    def __len__(self) -> int:
        return len(self.rows)


def show(table: pd.DataFrame) -> Shown:
    """Prepare a table of text for HTML, without its empty columns."""
    columns = {str(name): [str(cell) for cell in table[name]] for name in table}
    columns = {name: cells for name, cells in columns.items() if any(cells) or not cells}
    classes = []
    for place, cells in enumerate(columns.values(), start=1):
        filled = [cell for cell in cells if cell not in ("", style.NONE)]
        if filled and all(_NUMBER.match(cell) for cell in filled):
            classes.append(f"n{place}")
        elif any(len(cell) > _LONG for cell in filled):
            classes.append(f"w{place}")
    return Shown(tuple(columns), list(zip(*columns.values(), strict=True)), " ".join(classes))


def means_table(study: StudyTables) -> Shown:
    """Every arm averaged over seeds, and the means over models; all metrics."""
    rows = study.means
    headings = (
        "Dataset, Model, Start, %, Labelled patients, Smaller class, Metric, Value, Interval, "
        "Patients alone, Patients alone (BCa), SD of seeds, Seeds, Runs, Models, Scans"
    )
    # The baseline is not trained: the percentage under which it is listed says nothing.
    rows = rows.assign(percent=rows["percent"].mask(rows["model"] == BASELINE))
    return show(format_columns(rows, headings, Model=study.model_titles(rows)))


def comparisons_table(study: StudyTables, *, means: bool) -> Shown:
    """Paired contrasts of all metrics: those of means over models, or those of single models."""
    is_mean = are_means(study.comparisons)
    headings = (
        "Dataset, Contrast, Model, Against, %, Metric, Difference, Interval, p, p (Holm), Patients alone, "
        "Patients alone (BCa), p (patients alone), p (DeLong), Share of patients, Share of training, "
        "Share of models, SD of seeds, Runs"
    )
    table = format_columns(study.comparisons[is_mean if means else ~is_mean], headings)
    return show(table.rename(columns={"Model": "Models"}) if means else table)


def metrics_table(study: StudyTables) -> Shown:
    """The metrics of every run: intervals are over patients alone, about this trained network."""
    headings = "Dataset, Model, Start, %, Seed, Metric, Value, Patients alone, Scans, Positive"
    return show(format_columns(study.metrics, headings, Model=study.model_titles(study.metrics)))


def multipliers_table(study: StudyTables) -> Shown:
    """Data multipliers: how many times more patients the reference needs to reach the AUROC of an arm."""
    rows = study.multipliers
    marks = {"exact": "", "at_least": "\u2265 ", "at_most": "\u2264 "}
    headings = (
        "Dataset, Model, %, Start, Reference, Labelled patients, Multiplier, Interval, Patients alone, "
        "Resamples at a bound"
    )
    return show(
        format_columns(
            rows,
            headings,
            Multiplier=[
                f"{marks[bound]}{value:.2f}"
                for bound, value in zip(rows["bound"], rows["multiplier"], strict=True)
            ],
            Interval=_factors(rows, "ci"),
            Patients_alone=_factors(rows, "patients"),
            Resamples_at_a_bound=[f"{100 * share:.0f} %" for share in rows["share_beyond"]],
        )
    )


def _factors(rows: pd.DataFrame, kind: str) -> list[str]:
    """Intervals of multipliers, with two decimals."""
    ends = rows[[f"{kind}_low", f"{kind}_high"]].to_numpy(dtype=float)
    return [style.NONE if pd.isna(low) else f"{low:.2f} to {high:.2f}" for low, high in ends]


def trials_table(trials: pd.DataFrame) -> Shown:
    """The learning-rate search: every trial, and which one was chosen for each arm."""
    headings = "Dataset, Model, Start, Learning rate, Validation AUROC, Validation loss, Windows seen, Chosen"
    chosen = ["chosen" if chosen else "" for chosen in trials["chosen"]]
    return show(format_columns(trials, headings, Chosen=chosen))


#: Calibration in numbers, by heading.
_CALIBRATION = {
    "Slope": "calibration_slope",
    "Intercept": "calibration_intercept",
    "Brier score": "brier",
    "Calibration error": "calibration_error",
}
#: The operating point in numbers, by heading: at the threshold that a run's validation scans gave.
_OPERATING_POINT = {
    "Sensitivity": "sensitivity_validation",
    "Specificity": "specificity_validation",
    "PPV": "ppv_validation",
    "NPV": "npv_validation",
}


def calibration_table(study: StudyTables) -> Shown:
    """Calibration of single models at the largest percentage, with intervals as of ``value_texts``.

    Without rows if neither slope nor intercept is measured.
    """
    return _arms_by_metric(study, _CALIBRATION, needed=("calibration_slope", "calibration_intercept"))


def operating_point_table(study: StudyTables) -> Shown:
    """What single models do at the threshold from validation scans, at the largest percentage.

    Intervals are as of ``value_texts``. Without rows if the study measures none of it.
    """
    return _arms_by_metric(study, _OPERATING_POINT, needed=tuple(_OPERATING_POINT.values()))


def _arms_by_metric(study: StudyTables, metrics: dict[str, str], *, needed: tuple[str, ...]) -> Shown:
    """A row an arm of a single model at the largest percentage, a column a metric.

    Args:
        study: tables of the study.
        metrics: names in the table "means" by heading.
        needed: at least one of these is measured, or the table has no rows.
    """
    rows = study.means[study.means["percent"] == max(study.percents)]
    single = ~rows["model"].map(style.is_mean).astype(bool) & ~rows["model"].map(is_simple).astype(bool)
    rows = rows[(rows["metric"].isin(metrics.values()) & single).to_numpy(dtype=bool)]
    if not rows["metric"].isin(needed).any():
        return show(pd.DataFrame())
    texts = {
        (*arm, metric): text
        for *arm, metric, text in zip(
            rows["dataset"], rows["model"], rows["init"], rows["metric"], value_texts(rows), strict=True
        )
    }
    arms = rows[["dataset", "model", "init"]].drop_duplicates()
    numbers = {
        heading: [texts.get((*arm, metric), "") for arm in arms.itertuples(index=False, name=None)]
        for heading, metric in metrics.items()
    }
    return show(
        format_columns(
            arms,
            ", ".join(["Dataset", "Model", "Start", *metrics]),
            **{heading.replace(" ", "_"): cells for heading, cells in numbers.items()},
        )
    )
