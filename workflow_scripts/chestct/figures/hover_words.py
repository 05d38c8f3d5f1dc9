"""What a report says of the points of its figures (``hover.py``): the tables' numbers, written alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from chestct.chosen_rival import arm_model
from chestct.claimed_models import mean_size
from chestct.figures import style
from chestct.figures.intervals import has_verdict, shown_ends
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import value_texts
from chestct.figures.wording import contrast_title, count, p_value, plain
from chestct.simple_rivals import is_simple

#: More runs of an arm than this are not listed one by one.
_MOST_RUNS = 10


def of_means(study: StudyTables, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows of the table "means": arm; dataset, patients, value with interval, runs.

    A column ``chosen`` has the 2D rival in whose place a row stands.
    """
    values = value_texts(rows)
    decides = has_verdict(rows)
    told = []
    for number, row in enumerate(rows.to_dict("records")):
        lines = [
            _place(row),
            f"{style.METRIC_TITLES[row['metric']]} {values[number]}",
            _kind(study, bool(decides[number]), row),
            _runs(study, row),
        ]
        told.append((_arm(study, row), "\n".join(filter(None, lines))))
    return told


def of_scores_without_image(study: StudyTables, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The same, of rows whose intervals the figure leaves out: they are those of the table."""
    return of_means(study, study.means.loc[rows.index])


def of_differences(study: StudyTables, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows of the table "comparisons", or averages over cells of the table "claims"."""
    values = value_texts(rows.assign(value=rows["difference"]), with_sign=True)
    decides = has_verdict(rows)
    told = []
    for number, row in enumerate(rows.to_dict("records")):
        contrast = contrast_title(row["contrast"])
        rival = row.get("rival")
        is_cell = "dataset" in row
        lines = [
            f"{row['dataset']}, {row['percent']} %" if is_cell else _average(row),
            f"Against {style.rival_title(rival)}" if isinstance(rival, str) else "",
            f"Difference in AUROC {values[number]}",
            _kind(study, bool(decides[number]), row),
            "" if pd.isna(row["p_holm"]) else f"p (Holm) {p_value(row['p_holm'])}",
            _counts(row),
        ]
        shared = f"{style.model_title(row['model'])}: {contrast}" if is_cell else contrast
        told.append((shared, "\n".join(filter(None, lines))))
    return told


def _average(row: Mapping[Any, Any]) -> str:
    return f"Average over {count(row['num_cells'], 'cell')}"


def of_multipliers(study: StudyTables, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows of the table "multipliers", with the interval that the figure draws, as in the report's table."""
    marks = {
        "exact": "",
        "at_least": "\N{GREATER-THAN OR EQUAL TO} ",
        "at_most": "\N{LESS-THAN OR EQUAL TO} ",
    }
    told = []
    decides, (low, high) = has_verdict(rows), shown_ends(rows)
    for number, row in enumerate(rows.to_dict("records")):
        opening, closing = "()" if decides[number] else "[]"
        ends = f"{opening}{low[number]:.2f} to {high[number]:.2f}{closing}"
        num_models = mean_size(row["model"]) if style.is_mean(row["model"]) else 1
        lines = [
            _place(row),
            f"as {style.init_title(row['reference'])}: {marks[row['bound']]}{row['multiplier']:.2f} {ends} "
            "times as many patients",
            _kind(study, bool(decides[number]), {**row, "num_models": num_models}),
        ]
        told.append((_arm(study, row), "\n".join(lines)))
    return told


def of_curve(x_title: str, y_title: str) -> Callable[[StudyTables, pd.DataFrame], list[tuple[str, str]]]:
    """Rows of the table "curves", of which the axes have these titles."""

    def words(study: StudyTables, rows: pd.DataFrame) -> list[tuple[str, str]]:
        named = rows.assign(value=rows["y"], patients_low=rows["low"], patients_high=rows["high"])
        values = value_texts(named.assign(ci_low=float("nan"), ci_high=float("nan")))
        return [
            (
                f"{_arm(study, row)}\n{row['dataset']}, {row['percent']} %",
                f"{x_title} {plain(row['x'])}: {style.in_sentence(y_title)} {value}",
            )
            for row, value in zip(rows.to_dict("records"), values, strict=True)
        ]

    return words


def of_histories(column: str) -> Callable[[StudyTables, pd.DataFrame], list[tuple[str, str]]]:
    """Rows of the table "histories", of this column: a validation of a run, or the median over runs."""
    title = {"validation_auroc": "Validation AUROC", "validation_loss": "Validation loss"}[column]

    def words(study: StudyTables, rows: pd.DataFrame) -> list[tuple[str, str]]:
        return [
            (
                f"{_arm(study, row)}\n{row['dataset']}, {row['percent']} %, {_run(row)}",
                f"{title} {plain(row[column])} after {row['windows_seen']:,.0f} windows",
            )
            for row in rows.to_dict("records")
        ]

    return words


def _run(row: Mapping[Any, Any]) -> str:
    return "median over runs" if pd.isna(row["seed"]) else f"seed {row['seed']:.0f}, fold {row['fold']:.0f}"


def _arm(study: StudyTables, row: Mapping[Any, Any]) -> str:
    chosen = row.get("chosen")
    title = study.model_title(str(row["model"]), [str(row["dataset"])])
    title = style.rival_title(chosen) if isinstance(chosen, str) else title
    best = "Best 2D model on validation: " if isinstance(chosen, str) else ""
    return best + ", ".join(filter(None, [title, style.init_title(row["init"])]))


def _place(row: Mapping[Any, Any]) -> str:
    patients = row["num_patients"]
    if pd.isna(patients):
        return str(row["dataset"])
    both = row.get("labels_counted") == "training_and_validation"
    return f"{row['dataset']}, {row['percent']} %: {patients:g} {'labelled' if both else 'training'} patients"


def _kind(study: StudyTables, decides: bool, row: Mapping[Any, Any]) -> str:
    """What the interval of a value is."""
    percent = f"{100 * study.confidence:g} % interval"
    if decides:
        models = " and models" if row["num_models"] > 1 else ""
        return f"({percent}: patients{',' if models else ' and'} training runs{models} vary)"
    return "" if pd.isna(row["patients_low"]) else f"[{percent} over patients alone]"


def _counts(row: Mapping[Any, Any]) -> str:
    models = f"mean over {row['num_models']} models, " if row["num_models"] > 1 else ""
    return f"{models}{count(int(row['num_seeds']), 'seed')}"


def _runs(study: StudyTables, row: Mapping[Any, Any]) -> str:
    """The value of every seed of an arm, or how many an average is over."""
    if row["num_models"] > 1 or is_simple(row["model"]):
        return "" if is_simple(row["model"]) else _counts(row)
    folds = row["num_runs"] // row["num_seeds"]
    within = f" ({folds} folds)" if folds > 1 else ""
    model = arm_model(row["chosen"]) if isinstance(row.get("chosen"), str) else row["model"]
    seeds = _seeds(study, {**row, "model": model})
    if len(seeds) > _MOST_RUNS or not seeds:
        return f"{_counts(row)}{within}"
    listed = "; ".join(f"seed {seed}: {plain(value)}" for seed, value in seeds)
    return f"{listed}{within}"


def _seeds(study: StudyTables, row: Mapping[Any, Any]) -> Sequence[tuple[int, float]]:
    rows = study.metrics
    for key in ("dataset", "model", "init", "percent", "metric"):
        rows = rows[rows[key] == row[key]]
    return list(zip(rows["seed"].astype(int).tolist(), rows["value"].tolist(), strict=True))
