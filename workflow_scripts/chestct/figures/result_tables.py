"""The results table: AUROC with its interval, a row a model and init, as CSV, Markdown and LaTeX."""

from pathlib import Path

import pandas as pd

from chestct.figures import style
from chestct.figures.study_tables import StudyTables
from chestct.files import atomic_path, write_text


def results_table(study: StudyTables, metric: str = "auroc") -> pd.DataFrame:
    """Values with intervals in words, averaged over seeds.

    Args:
        study: tables of the study.
        metric: name in the table "means".

    Returns:
        Columns Model, Start, then one a dataset and percent ("lidc 10 %"); empty text where the study has
        no such run. The baseline, which is not trained, stands under its dataset's largest percent.
    """
    rows = study.means[study.means["metric"] == metric].copy()
    trained = rows["model"] != "baseline"
    rows.loc[~trained, "percent"] = max(study.percents)
    keys = rows[["model", "init", "dataset", "percent"]].itertuples(index=False, name=None)
    numbers = rows[["value", "ci_low", "ci_high"]].to_numpy()
    cells = {
        key: f"{value:.3f} ({low:.3f} to {high:.3f})"
        for key, (value, low, high) in zip(keys, numbers, strict=True)
    }
    arms = rows[["model", "init"]].drop_duplicates()
    table = pd.DataFrame(
        {
            "Model": arms["model"].map(style.model_title).to_numpy(),
            "Start": arms["init"].map(style.init_title).to_numpy(),
        }
    )
    for dataset in study.datasets:
        for percent in study.percents:
            column = [cells.get((model, init, dataset, percent), "") for model, init in arms.to_numpy()]
            if any(column):
                table[f"{dataset} {percent} %"] = column
    return table


def to_markdown(table: pd.DataFrame) -> str:
    """GitHub's table syntax."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


_TEX = str.maketrans({"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$"})


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """A tabular with the rules of the package booktabs."""

    def line(cells: list) -> str:
        return " & ".join(str(cell).translate(_TEX) for cell in cells) + r" \\"

    body = [line(cells) for cells in table.to_numpy().tolist()]
    return "\n".join(
        [
            f"% {caption} Needs \\usepackage{{booktabs}}.",
            rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            r"\toprule",
            line(list(table.columns)),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def write_results(
    study: StudyTables, *, csv_path: str | Path, markdown_path: str | Path, latex_path: str | Path
) -> None:
    """Write the results table in three formats with the same numbers.

    Args:
        study: tables of the study.
        csv_path, markdown_path, latex_path: files to write.
    """
    table = results_table(study)
    caption = results_caption(study)
    with atomic_path(csv_path) as temporary:
        table.to_csv(temporary, index=False)
    write_text(markdown_path, f"{caption}\n\n{to_markdown(table)}")
    write_text(latex_path, to_latex(table, caption))


def results_caption(study: StudyTables) -> str:
    """What the numbers of the results table are."""
    seeds = int(study.means["num_seeds"].max())
    over_seeds = f", mean over {seeds} seeds" if seeds > 1 else ""
    resamples = int(study.means["num_resamples"].max())
    return (
        f"AUROC on test patients{over_seeds}, with {100 * study.confidence:g} % intervals from "
        f"{resamples} bootstrap resamples of patients; columns: dataset and share of its training patients."
    )
