"""Tables for a publication: results and budgets by arm, contrasts and claims, as CSV, Markdown and LaTeX."""

import html
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from chestct.figures import style
from chestct.figures.budget_table import budgets_table
from chestct.figures.captions import table_captions
from chestct.figures.claim_sentences import contrast_rows, margin_words, names_in, read_claims
from chestct.figures.rivals import rival_titles
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns, value_texts
from chestct.figures.wording import interval, p_value
from chestct.files import atomic_path, write_text
from chestct.simple_rivals import BASELINE, FITTED, SUMMARIES
from chestct.tables import without_formulas

#: Simple rivals whose contrasts are left to ``comparisons.csv`` and the report.
_NOT_PUBLISHED = {rival for rival in FITTED if rival not in SUMMARIES}


def results_table(study: StudyTables, metric: str = "auroc") -> pd.DataFrame:
    """Values with intervals as text, averaged over seeds, one row per dataset and arm.

    Args:
        study: tables of the study.
        metric: name in the table "means".

    Returns:
        Columns Dataset, Model, Start, then one for each percentage ("10 %"), as of ``value_texts``; empty
        where the study has no such run. Scores without a network come first; the baseline, which is not
        trained, is listed under the largest percentage. The last columns have the paired difference to all
        that is known beside the image (``SUMMARIES``), as far as a dataset of the study has such a score.
    """
    rows = study.means[study.means["metric"] == metric]
    percent = rows["percent"].where(rows["model"] != BASELINE, max(study.percents))
    keys = zip(rows["dataset"], rows["model"], rows["init"], percent, strict=True)
    cells = dict(zip(keys, value_texts(rows), strict=True))
    arms = rows[["dataset", "model", "init"]].drop_duplicates()
    places = arms["dataset"].map(study.datasets.index)
    arms = arms.loc[places.sort_values(kind="stable").index]
    names = list(arms.itertuples(index=False, name=None))
    table = {
        "Dataset": [dataset for dataset, _, _ in names],
        "Model": study.model_titles(arms),
        "Start": [style.init_title(init) for _, _, init in names],
    }
    for share in study.percents:
        table[f"{share} %"] = [cells.get((*arm, share), "") for arm in names]
    for rival, words in SUMMARIES.items():
        gains = _gains(study, metric, rival)
        if any(arm in gains for arm in names):
            table[f"Over {words}, {max(study.percents)} %"] = [gains.get(arm, "") for arm in names]
    return pd.DataFrame(table)


def _gains(study: StudyTables, metric: str, rival: str) -> dict[tuple[str, str, str], str]:
    """By dataset, model and init: the difference to a simple rival at the largest percentage, as text."""
    rows = study.comparisons
    rows = rows[(rows["metric"] == metric) & (rows["percent"] == max(study.percents))]
    rows = rows[rows["contrast"].str.endswith(f" - {rival}").astype(bool)]
    inits = rows["contrast"].str.removesuffix(f" - {rival}")
    arms = zip(rows["dataset"], rows["model"], inits, strict=True)
    texts = value_texts(rows.rename(columns={"difference": "value"}), with_sign=True)
    return dict(zip(arms, texts, strict=True))


def contrasts_table(study: StudyTables) -> pd.DataFrame:
    """Differences in AUROC as text, of means over models (of single 3D models where there is no mean).

    Of those to simple rivals, the table has the ones to all that is known beside the image (``SUMMARIES``)
    and to a dataset's own score.

    Returns:
        Columns Dataset, Contrast, Models, Against, %, Difference, Interval, p, p (Holm), Patients alone,
        p (patients alone), p (DeLong).
    """
    tables = [
        contrast_rows(study, contrast)
        for contrast in study.comparisons["contrast"].unique()
        if contrast.rpartition(" - ")[2] not in _NOT_PUBLISHED
    ]
    rows = pd.concat(tables) if tables else study.comparisons.head(0)
    places = rows["dataset"].map(study.datasets.index).reset_index(drop=True)
    rows = rows.iloc[places.sort_values(kind="stable").index]
    return format_columns(
        rows,
        "Dataset, Contrast, Models, Against, %, Difference, Interval, p, p (Holm), Patients alone, "
        "p (patients alone), p (DeLong)",
        Models=rows["model"].map(style.model_title),
        Against=against(study, rows),
    )


def against(study: StudyTables, rows: pd.DataFrame) -> list[str]:
    """Titles of the rivals of some rows of "comparisons"; empty in contrasts within a model."""
    own_scores = rows["contrast"].str.endswith(f" - {BASELINE}").astype(bool)
    rivals = rows["rival"].astype("object").mask(own_scores, BASELINE)
    return [
        "" if pd.isna(rival) else study.rival_title(str(rival), str(dataset))
        for dataset, rival in zip(rows["dataset"], rivals, strict=True)
    ]


def claims_table(study: StudyTables) -> pd.DataFrame:
    """The claims as text, a column each; the first a second time, against longer training from scratch.

    Returns:
        Columns Quantity, Claim 1, Claim 1, longer, Claim 2, Claim 3. Shares are of the variance of the mean
        difference.
    """
    claims, rows = read_claims(study), study.claims
    numbers = format_columns(
        rows,
        "Difference, Interval, p, p (Holm), Patients alone, Share of patients, Share of training, Share of "
        "models",
    )
    columns: dict[str, Iterable[str]] = {
        "Claim": [claim.statement for claim in claims],
        "Contrast": [claim.contrast for claim in claims],
        "Verdict": [claim.verdict for claim in claims],
        "Mean difference": numbers["Difference"],
        "Interval": numbers["Interval"],
        "p": numbers["p"],
        "p (Holm)": numbers["p (Holm)"],
        "Patients alone": numbers["Patients alone"],
        "Single differences": [
            interval(low, high, with_sign=True) or style.NONE
            for low, high in zip(rows["smallest"], rows["largest"], strict=True)
        ],
        "Cells above zero": _of_cells(rows, "num_above"),
        "Cells below zero": _of_cells(rows, "num_below"),
        "All cells above zero, p (Holm)": [
            p_value(value) or style.NONE for value in rows["p_every_size_holm"]
        ],
        "Margin": rows["margin"].map(margin_words),
        "Share of patients": numbers["Share of patients"],
        "Share of training runs": numbers["Share of training"],
        "Share of models": numbers["Share of models"],
        "Datasets": [", ".join(names_in(names)) for names in rows["datasets"]],
        "% of training patients": [", ".join(names_in(names)) for names in rows["percents"]],
        "Models": [claim.models for claim in claims],
        "2D rivals": [
            rival_titles(study, names_in(names)) if claim.key == "video_3d_vs_2d" else ""
            for claim, names in zip(claims, rows["datasets"], strict=True)
        ],
        "Seeds": [", ".join(names_in(names)) for names in rows["seeds"]],
    }
    cells = {heading: [str(text) or style.NONE for text in texts] for heading, texts in columns.items()}
    headings = ["Quantity", *(f"Claim {claim.number}" for claim in claims)]
    return pd.DataFrame([[heading, *texts] for heading, texts in cells.items()], columns=headings)


def _of_cells(rows: pd.DataFrame, column: str) -> list[str]:
    """How many of a claim's cells: "3 of 4"; a dash without verdict."""
    return [
        f"{number} of {cells}" if pd.notna(decided) else style.NONE
        for number, cells, decided in zip(rows[column], rows["num_cells"], rows["p_value"], strict=True)
    ]


def captions_of(study: StudyTables) -> dict[str, str]:
    """Captions of the tables with the study's own numbers, by name of the table."""
    return table_captions(
        confidence=study.confidence,
        num_resamples=int(study.means["num_resamples"].max()),
        num_seeds=int(study.means["num_seeds"].max()),
        margin=float(study.claims["margin"].max()),
    )


#: By file name: the table, and the column by which LaTeX breaks it into several tabulars that fit a page.
PUBLISHED: dict[str, tuple[Callable[[StudyTables], pd.DataFrame], str | None]] = {
    "results": (results_table, "Dataset"),
    "contrasts": (contrasts_table, "Dataset"),
    "claims": (claims_table, None),
    "budgets": (budgets_table, "Dataset"),
}


def write_tables(study: StudyTables, folder: str | Path) -> None:
    """Write ``folder/NAME.csv``, ``.md`` and ``.tex`` of every table, with the same numbers in all three."""
    captions = captions_of(study)
    for name, (make, group) in PUBLISHED.items():
        table = make(study)
        with atomic_path(Path(folder) / f"{name}.csv") as temporary:
            without_formulas(table).to_csv(temporary, index=False)
        caption = " ".join(filter(None, [captions[name], study.display_note]))
        write_text(Path(folder) / f"{name}.md", f"{caption}\n\n{to_markdown(table)}\n")
        write_text(Path(folder) / f"{name}.tex", to_latex(table, caption, group=group))


def to_markdown(table: pd.DataFrame) -> str:
    """GitHub's table syntax; characters that Markdown or HTML would interpret are escaped."""

    def escape(text: object) -> str:
        return html.escape(str(text), quote=False).replace("|", r"\|").replace("\n", " ")

    # Numbers are formatted already: 0.700 must not become 0.7.
    return table.map(escape).rename(columns=escape).to_markdown(index=False, disable_numparse=True)


#: Characters that pandas does not escape for LaTeX.
_LATEX = str.maketrans(
    {
        "<": r"$<$",
        ">": r"$>$",
        "\u2265": r"$\geq$",
        "\u2264": r"$\leq$",
        "\u2026": r"\dots{}",
        style.MINUS: r"$-$",
        style.NONE: "--",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
    }
)
#: Longer texts wrap in a column of fixed width.
_LONG = 40


def to_latex(table: pd.DataFrame, caption: str, *, group: str | None = None) -> str:
    r"""Tabulars with the rules of the package booktabs.

    Args:
        table: text.
        caption: written above as a comment.
        group: column whose distinct values get a tabular each; it stays a column.
    """
    parts = [table] if group is None else [part for _, part in table.groupby(group, sort=False)]
    tabulars = []
    for part in parts or [table]:
        is_long = [part[column].str.len().max() > _LONG for column in part]
        kinds = "".join(r"p{0.2\linewidth}" if wraps else "l" for wraps in is_long)
        latex = part.to_latex(index=False, escape=True, column_format=f"@{{}}{kinds}@{{}}")
        tabulars.append(latex.translate(_LATEX))
    return "\n".join([f"% {caption.translate(_LATEX)} Needs \\usepackage{{booktabs}}.", *tabulars])
