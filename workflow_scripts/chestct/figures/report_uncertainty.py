"""What the report says of intervals: which arms and metrics lack one, and where the variance comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chestct.few_tested import Split, few_tested_words
from chestct.figures import style
from chestct.figures.intervals import ONE_RUN
from chestct.figures.patient_shares import other_shares, shares_note
from chestct.figures.report_tables import show
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns
from chestct.figures.variance_shares import ALL_CELLS, share_rows, what_helps
from chestct.figures.wording import contrast_title, count, metric_title
from chestct.no_interval import NO_INTERVAL
from chestct.simple_rivals import is_simple
from chestct.tables import read_table

_TWO_RUNS = (
    "two training runs an arm: where training varies much, single models come out significant up to two and "
    "a half times as often as they should; three seeds or more are better"
)
_TWO_MODELS = (
    "Means over two models: where these differ much in truth, the means come out significant up to two and a "
    "half times as often as they should, whatever the number of seeds; five models or more are better."
)
_ARM = ["dataset", "model", "init", "percent"]


def few_runs_notes(study: StudyTables) -> list[str]:
    """Sentences on arms with one training run, which have no verdict, on those with two, on two models."""
    trained = ~study.means["model"].map(is_simple).astype(bool)
    arms = study.means[trained].drop_duplicates(_ARM)
    notes = []
    for number, words in ((1, ONE_RUN), (2, _TWO_RUNS)):
        found = int((arms["num_runs"] == number).sum())
        some = "" if found == len(arms) else f" ({found:,} of {count(len(arms), 'arm')})"
        if found:
            notes.append(f"{words[0].upper()}{words[1:]}{some}.")
    if ((arms["num_models"] == 2) & (arms["num_runs"] > 1)).any():
        notes.append(_TWO_MODELS)
    return notes


def small_data_notes(
    study: StudyTables, splits: Sequence[str | Path], groups: Mapping[str, Any]
) -> list[str]:
    """Sentences on datasets whose test sets have few patients, and on percentages that are other shares.

    Args:
        study: tables of the study.
        splits: one table per dataset, as in ``study.scanned``.
        groups: by dataset that is split by a group, which folds cannot be, its column.
    """
    notes = []
    for name, path in zip(study.scanned, splits, strict=True):
        table = read_table(path, "splits")
        trained = (table["split"] == "train").any()
        way: Split = "none" if not trained else "group" if name in groups else "shares"
        notes.append(few_tested_words(table, way))
    return list(filter(None, [*notes, shares_note(other_shares(study.means))]))


def no_interval_notes(study: StudyTables) -> list[str]:
    """A sentence on every metric that has no interval, with the reason."""
    return [
        f"{metric_title(metric)} has no interval: {NO_INTERVAL.get(metric, 'docs/statistics.md says why')}."
        for metric in _metrics_without_interval(study)
    ]


def _metrics_without_interval(study: StudyTables) -> list[str]:
    """Metrics with values but without any interval, not even over patients alone."""
    found = study.means.groupby("metric", sort=False)[["value", "patients_low"]].count()
    return [str(name) for name in found.index[(found["value"] > 0) & (found["patients_low"] == 0)]]


def variance_of(study: StudyTables) -> dict[str, Any] | None:
    """Sentence and table on the sources of variance of the claims and their cells.

    Returns:
        sentence and table; None if the study tests no claim or has one training run an arm.
    """
    rows = share_rows(study)
    if rows.empty or rows["share_patients"].isna().all():
        return None
    claims = rows[rows["dataset"] == ALL_CELLS].to_dict("records")
    sentences = [
        f"{contrast_title(str(row['contrast']))}: {what_helps(row)}." for row in claims if what_helps(row)
    ]
    is_claim = rows["dataset"] == ALL_CELLS
    table = format_columns(
        rows.assign(percent=rows["percent"].mask(is_claim)),
        "Contrast, Dataset, Models, %, Difference, Standard error, Share of patients, Share of training, "
        "Share of models",
        Dataset=rows["dataset"].mask(is_claim, "all cells"),
        Models=[
            "" if claim else style.model_title(model)
            for claim, model in zip(is_claim, rows["model"], strict=True)
        ],
        Standard_error=[
            "" if error != error else f"{error:.4f}" for error in rows["standard_error"].astype(float)
        ],
    )
    return {"sentence": " ".join(sentences), "table": show(table)}
