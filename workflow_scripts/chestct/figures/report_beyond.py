"""Sections of the report beyond the mean AUROC: gain over the metadata, subgroups, localisation."""

from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.claim_sentences import contrast_rows
from chestct.figures.report_tables import Shown, show
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import interval, listed, percentage, plain, signed
from chestct.simple_rivals import METADATA


def metadata_of(study: StudyTables) -> dict[str, Any] | None:
    """What the metadata alone tell, in sentences, and the models' gain over them; None without such rows."""
    rows = study.means[(study.means["model"] == METADATA) & (study.means["metric"] == "auroc")]
    if rows.empty:
        return None
    largest = rows[rows["percent"] == max(study.percents)]
    values = [
        f"{plain(row['value'])} on {row['dataset']} ({interval(row['patients_low'], row['patients_high'])})"
        for row in largest.to_dict("records")
    ]
    contrasts = [name for name in study.comparisons["contrast"].unique() if name.endswith(f" - {METADATA}")]
    gains = pd.concat([contrast_rows(study, name) for name in contrasts]) if contrasts else None
    headings = (
        "Dataset, Contrast, Models, %, Difference, Interval, p, p (Holm), Patients alone, p (patients alone)"
    )
    table = None
    if gains is not None and len(gains):
        table = show(format_columns(gains, headings, Models=gains["model"].map(style.model_title)))
    return {
        "sentence": f"The metadata alone reach an AUROC of {listed(values)} at the largest training set, in "
        "parentheses the interval over patients alone.",
        "table": table,
    }


def subgroups_table(study: StudyTables) -> Shown:
    """Every group and arm; groups with few scans of a class have no number."""
    rows = study.subgroups
    return show(
        format_columns(
            rows.assign(model=rows["model"].fillna("")),
            "Dataset, Attribute, Group, Model, Start, %, Value, Patients alone, Scans, Positive, Note",
            Attribute=rows["attribute"],
            Group=rows["group"],
            Model=["" if pd.isna(model) else style.model_title(model) for model in rows["model"]],
            Start=["" if pd.isna(init) else style.init_title(init) for init in rows["init"]],
            Note=[_note(*pair) for pair in zip(rows["positives_only"], rows["model"].isna(), strict=True)],
        )
    )


def _note(positives_only: int, small: bool) -> str:
    words = ["against all negative scans"] if positives_only else []
    return "; ".join([*words, "too few of a class"] if small else words)


def localisation_table(study: StudyTables) -> Shown:
    """How often the highest-scoring window lies on marked slices, by arm, with chance beside it."""
    rows = study.localisation
    places = {name: place for place, name in enumerate(study.datasets)}
    rows = rows.loc[rows["dataset"].map(places).sort_values(kind="stable").index]
    return show(
        format_columns(
            rows,
            "Dataset, Model, Start, %, Rate, Patients alone, Chance, Above chance, "
            "Interval of the difference, Seeds, Scans",
            Rate=rows["rate"].map(percentage),
            Patients_alone=_interval_texts(rows, "patients", percentage),
            Chance=rows["chance"].map(percentage),
            Above_chance=rows["difference"].map(signed),
            Interval_of_the_difference=_interval_texts(rows, "difference", signed),
        )
    )


def _interval_texts(rows: pd.DataFrame, kind: str, form: Any) -> list[str]:
    ends = rows[[f"{kind}_low", f"{kind}_high"]].itertuples(index=False, name=None)
    return [
        style.NONE if pd.isna(low) or pd.isna(high) else f"{form(low)} to {form(high)}" for low, high in ends
    ]
