"""The tables of a publication: arms, contrasts and claims, each as CSV, Markdown and LaTeX."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from chestct.figures import style
from chestct.figures.claims import contrast_rows, read_claims, rival_title
from chestct.figures.report_text import contrast_title, interval, p_value, plain, signed
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_formats import to_latex, to_markdown
from chestct.files import atomic_path, write_text


def results_table(study: StudyTables, metric: str = "auroc") -> pd.DataFrame:
    """Values with intervals in words, averaged over seeds, a row a dataset and arm.

    Args:
        study: tables of the study.
        metric: name in the table "means".

    Returns:
        Columns Dataset, Model, Start, then one a percent ("10 %"); empty text where the study has no such
        run. The baseline, which is not trained, stands under the largest percent.
    """
    rows = study.means[study.means["metric"] == metric]
    percent = rows["percent"].where(rows["model"] != "baseline", max(study.percents))
    keys = zip(rows["dataset"], rows["model"], rows["init"], percent, strict=True)
    numbers = rows[["value", "ci_low", "ci_high"]].to_numpy()
    cells = {
        key: f"{plain(value)} ({interval(low, high)})"
        for key, (value, low, high) in zip(keys, numbers, strict=True)
    }
    arms = rows[["dataset", "model", "init"]].drop_duplicates()
    places = arms["dataset"].map(study.datasets.index)
    arms = arms.loc[places.sort_values(kind="stable").index]
    names = list(arms.itertuples(index=False, name=None))
    table = {
        "Dataset": [dataset for dataset, _, _ in names],
        "Model": [style.model_title(model) for _, model, _ in names],
        "Start": [style.init_title(init) for _, _, init in names],
    }
    for share in study.percents:
        table[f"{share} %"] = [cells.get((*arm, share), "") for arm in names]
    return pd.DataFrame(table)


def contrasts_table(study: StudyTables) -> pd.DataFrame:
    """Differences in AUROC in words, of means over models (of the 3D models where there is no mean).

    Returns:
        Columns Dataset, Contrast, Models, Against, %, Difference, Interval, Models resampled, p, p (Holm),
        p (DeLong).
    """
    tables = [contrast_rows(study, contrast) for contrast in study.comparisons["contrast"].unique()]
    rows = pd.concat(tables) if tables else study.comparisons.head(0)
    places = rows["dataset"].map(study.datasets.index).reset_index(drop=True)
    rows = rows.iloc[places.sort_values(kind="stable").index]
    ends = rows[["ci_low", "ci_high"]].to_numpy()
    wider = rows[["models_low", "models_high"]].to_numpy()
    return pd.DataFrame(
        {
            "Dataset": rows["dataset"].astype(str).to_numpy(),
            "Contrast": [contrast_title(text) for text in rows["contrast"]],
            "Models": [style.model_title(model) for model in rows["model"]],
            "Against": [rival_title(rival) for rival in rows["rival"]],
            "%": [str(percent) for percent in rows["percent"]],
            "Difference": [signed(value) for value in rows["difference"]],
            "Interval": [interval(low, high, with_sign=True) for low, high in ends],
            "Models resampled": [interval(low, high, with_sign=True) for low, high in wider],
            "p": [p_value(value) for value in rows["p_value"]],
            "p (Holm)": [p_value(value) for value in rows["p_holm"]],
            "p (DeLong)": [p_value(value) for value in rows["delong_p"]],
        }
    )


def claims_table(study: StudyTables) -> pd.DataFrame:
    """The three claims in words.

    Returns:
        Columns Claim, Contrast, Verdict, Difference, Interval, Models resampled, p, p (Holm), Cells, Above,
        Below: the last three count combinations of dataset and percent, and those of them whose interval
        lies wholly on one side of zero.
    """
    rows = study.claims
    ends = rows[["ci_low", "ci_high"]].to_numpy()
    wider = rows[["models_low", "models_high"]].to_numpy()
    claims = read_claims(study)
    return pd.DataFrame(
        {
            "Claim": [claim.statement for claim in claims],
            "Contrast": [claim.contrast for claim in claims],
            "Verdict": [claim.verdict for claim in claims],
            "Difference": [signed(value) for value in rows["difference"]],
            "Interval": [interval(low, high, with_sign=True) for low, high in ends],
            "Models resampled": [interval(low, high, with_sign=True) for low, high in wider],
            "p": [p_value(value) for value in rows["p_value"]],
            "p (Holm)": [p_value(value) for value in rows["p_holm"]],
            "Cells": [str(number) for number in rows["num_cells"]],
            "Above": [str(number) for number in rows["num_above"]],
            "Below": [str(number) for number in rows["num_below"]],
        }
    )


def results_caption(study: StudyTables) -> str:
    """What the numbers of the results table are."""
    seeds = int(study.means["num_seeds"].max())
    over_seeds = f", mean over {seeds} seeds" if seeds > 1 else ""
    return (
        f"AUROC on test patients{over_seeds}, with {_intervals(study)}; columns: share of the dataset's "
        "training patients."
    )


def contrasts_caption(study: StudyTables) -> str:
    """What the numbers of the contrasts table are."""
    return (
        f"Paired differences in AUROC on the same test patients, with {_intervals(study)}; models resampled: "
        "wider interval, over models as well as patients; p (Holm): adjusted within a dataset's contrast, "
        "for all its percents (and models, where it is shown by model)."
    )


def claims_caption(study: StudyTables) -> str:
    """What the numbers of the claims table are."""
    return (
        f"The paper's claims, each by one contrast of AUROC averaged over datasets and percents, with "
        f"{_intervals(study)}; p (Holm): adjusted for the claims tested; cells: combinations of dataset and "
        "percent, above and below: those whose interval lies wholly on that side of zero."
    )


def _intervals(study: StudyTables) -> str:
    resamples = int(study.means["num_resamples"].max())
    share = f"{100 * study.confidence:g} %"
    return f"{share} percentile intervals from {resamples:,} bootstrap resamples of patients"


_Maker = Callable[[StudyTables], pd.DataFrame]
_Caption = Callable[[StudyTables], str]
#: By file name: table, caption, and the column by which LaTeX breaks it into several tabulars.
PUBLISHED: dict[str, tuple[_Maker, _Caption, str | None]] = {
    "results": (results_table, results_caption, "Dataset"),
    "contrasts": (contrasts_table, contrasts_caption, "Dataset"),
    "claims": (claims_table, claims_caption, None),
}


def write_tables(study: StudyTables, folder: str | Path) -> None:
    """Write ``folder/NAME.csv``, ``.md`` and ``.tex`` of every table, with the same numbers in all three."""
    for name, (make, describe, group) in PUBLISHED.items():
        table, caption = make(study), describe(study)
        with atomic_path(Path(folder) / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
        write_text(Path(folder) / f"{name}.md", f"{caption}\n\n{to_markdown(table)}")
        write_text(Path(folder) / f"{name}.tex", to_latex(table, caption, group=group))
