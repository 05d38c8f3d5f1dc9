"""The study's tables in words, as the report shows them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from chestct.figures import style
from chestct.figures.claims import rival_title
from chestct.figures.report_text import contrast_title, interval, metric_title, p_value, plain, signed
from chestct.figures.study_tables import StudyTables

#: More rows than this are for programs: they are in the archive of tables alone.
MAX_ROWS = 3000
_NUMBER = re.compile(r"[<\u2264\u2265]?\s*[+\u2212-]?\d")
#: Letters from which on a cell wraps.
_LONG = 34


@dataclass(frozen=True)
class Shown:
    """A table of words.

    Attributes:
        columns: headings.
        rows: texts, a tuple a row.
        classes: "n3" for the third column's being numbers (set right), "w3" for its being prose (wraps).
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    classes: str

    def __len__(self) -> int:
        return len(self.rows)


def show(table: pd.DataFrame) -> Shown:
    """Make a table of words; columns in which no row has anything are left out."""
    columns = {str(name): [str(cell) for cell in table[name]] for name in table}
    columns = {name: cells for name, cells in columns.items() if any(cells) or not cells}
    classes = []
    for place, cells in enumerate(columns.values(), start=1):
        filled = [cell for cell in cells if cell]
        if filled and all(_NUMBER.match(cell) for cell in filled):
            classes.append(f"n{place}")
        elif any(len(cell) > _LONG for cell in filled):
            classes.append(f"w{place}")
    return Shown(tuple(columns), list(zip(*columns.values(), strict=True)), " ".join(classes))


def means_table(study: StudyTables, metrics: Sequence[str] | None = None) -> Shown:
    """Every arm, averaged over seeds, and the means over models; all metrics, or some."""
    rows = study.means if metrics is None else study.means[study.means["metric"].isin(metrics)]
    return show(
        pd.DataFrame(
            {
                "Dataset": rows["dataset"],
                "Model": _titles(rows["model"]),
                "Start": rows["init"].map(style.init_title),
                "%": _integers(rows["percent"]).where(rows["model"] != "baseline", ""),
                "Patients": ["" if pd.isna(number) else f"{number:g}" for number in rows["num_patients"]],
                "Metric": rows["metric"].map(metric_title),
                "Value": rows["value"].map(plain),
                "Interval": _intervals(rows, "ci"),
                "BCa interval": _intervals(rows, "bca"),
                "Models resampled": _intervals(rows, "models"),
                "SD of seeds": rows["seed_sd"].map(plain),
                "Seeds": _integers(rows["num_seeds"]),
                "Models": _integers(rows["num_models"]),
                "Scans": _integers(rows["num_scans"]),
            }
        )
    )


def comparisons_table(study: StudyTables, *, means: bool) -> Shown:
    """Paired contrasts of all metrics: those of means over models, or those of single models."""
    is_mean = study.comparisons["model"].map(style.is_mean).astype(bool)
    rows = study.comparisons[is_mean if means else ~is_mean]
    return show(
        pd.DataFrame(
            {
                "Dataset": rows["dataset"],
                "Contrast": rows["contrast"].map(contrast_title),
                "Models" if means else "Model": _titles(rows["model"]),
                "Against": rows["rival"].map(rival_title),
                "%": _integers(rows["percent"]),
                "Metric": rows["metric"].map(metric_title),
                "Difference": rows["difference"].map(signed),
                "Interval": _intervals(rows, "ci", with_sign=True),
                "BCa interval": _intervals(rows, "bca", with_sign=True),
                "Models resampled": _intervals(rows, "models", with_sign=True),
                "p": rows["p_value"].map(p_value),
                "p (Holm)": rows["p_holm"].map(p_value),
                "p (DeLong)": rows["delong_p"].map(p_value),
                "SD of seeds": rows["seed_sd"].map(plain),
            }
        )
    )


def metrics_table(study: StudyTables) -> Shown:
    """Every run's metrics."""
    rows = study.metrics
    return show(
        pd.DataFrame(
            {
                "Dataset": rows["dataset"],
                "Model": _titles(rows["model"]),
                "Start": rows["init"].map(style.init_title),
                "%": _integers(rows["percent"]),
                "Seed": _integers(rows["seed"]),
                "Metric": rows["metric"].map(metric_title),
                "Value": rows["value"].map(plain),
                "Interval": _intervals(rows, "ci"),
                "Scans": _integers(rows["num_scans"]),
                "Positive": _integers(rows["num_positive"]),
            }
        )
    )


def multipliers_table(study: StudyTables) -> Shown:
    """Data multipliers: what an arm is worth in patients of the reference."""
    rows = study.multipliers
    marks = {"exact": "", "at_least": "\u2265 ", "at_most": "\u2264 "}
    ends = rows[["ci_low", "ci_high"]].to_numpy(dtype=float)
    return show(
        pd.DataFrame(
            {
                "Dataset": rows["dataset"],
                "Model": _titles(rows["model"]),
                "%": _integers(rows["percent"]),
                "Start": rows["init"].map(style.init_title),
                "Reference": rows["reference"].map(style.init_title),
                "Patients": [f"{number:g}" for number in rows["num_patients"]],
                "Multiplier": [
                    f"{marks[bound]}{value:.2f}"
                    for bound, value in zip(rows["bound"], rows["multiplier"], strict=True)
                ],
                "Interval": [f"{low:.2f} to {high:.2f}" for low, high in ends],
                "Resamples at a bound": [f"{100 * share:.0f} %" for share in rows["share_beyond"]],
            }
        )
    )


def trials_table(trials: pd.DataFrame) -> Shown:
    """The learning-rate search: every trial, and the one of every arm that was chosen."""
    return show(
        pd.DataFrame(
            {
                "Dataset": trials["dataset"],
                "Model": _titles(trials["model"]),
                "Start": trials["init"].map(style.init_title),
                "Learning rate": [f"{rate:g}" for rate in trials["learning_rate"]],
                "Validation AUROC": trials["validation_auroc"].map(plain),
                "Validation loss": trials["validation_loss"].map(plain),
                "Steps": _integers(trials["num_steps"]),
                "Chosen": ["chosen" if chosen else "" for chosen in trials["chosen"]],
            }
        )
    )


def _titles(models: pd.Series) -> pd.Series:
    return models.map(style.model_title)


def _integers(values: pd.Series) -> pd.Series:
    return values.map(lambda value: "" if pd.isna(value) else str(int(value)))


def _intervals(rows: pd.DataFrame, name: str, *, with_sign: bool = False) -> list[str]:
    ends = rows[[f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
    return [interval(low, high, with_sign=with_sign) for low, high in ends]
