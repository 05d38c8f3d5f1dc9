"""Sections of the report beyond the mean AUROC: gain over simple rivals, subgroups, localisation."""

from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.claim_sentences import contrast_rows
from chestct.figures.publication_tables import against
from chestct.figures.report_tables import Shown, show
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import interval, listed, percentage, plain, signed
from chestct.simple_rivals import FITTED, TITLES, is_simple


def without_image(study: StudyTables) -> dict[str, Any] | None:
    """What scores without the image tell, in sentences, and the models' gain over them; None without any."""
    rows = study.means[study.means["metric"] == "auroc"]
    rows = rows[rows["model"].map(is_simple).astype(bool)]
    if rows.empty:
        return None
    of_largest = (rows["percent"] == max(study.percents)) | ~rows["model"].isin(FITTED)
    largest = rows[of_largest.to_numpy(dtype=bool)]
    sentences = []
    for dataset in (name for name in study.datasets if name in set(largest["dataset"])):
        own = largest[largest["dataset"] == dataset]
        values = [
            f"{title} {plain(value)} ({interval(low, high)})"
            for title, value, low, high in zip(
                study.model_titles(own), own["value"], own["patients_low"], own["patients_high"], strict=True
            )
        ]
        sentences.append(f"{dataset}: {listed(values)}.")
    return {"sentences": sentences, "table": _gains_table(study)}


def _gains_table(study: StudyTables) -> Shown | None:
    """Differences of the means over models (of single 3D models) to every simple rival."""
    contrasts = study.comparisons["contrast"].unique()
    over = [name for rival in TITLES for name in contrasts if name.endswith(f" - {rival}")]
    gains = pd.concat([study.comparisons.head(0), *(contrast_rows(study, name) for name in over)])
    if gains.empty:
        return None
    headings = (
        "Dataset, Contrast, Models, Against, %, Difference, Interval, p, p (Holm), Patients alone, "
        "p (patients alone)"
    )
    models = gains["model"].map(style.model_title)
    return show(format_columns(gains, headings, Models=models, Against=against(study, gains)))


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
