"""Claims in sentences, and the tables of a publication in three formats."""

import csv
import dataclasses
import html
import re

import pandas as pd
import pytest

from chestct.figures.claim_sentences import read_claims
from chestct.figures.publication_tables import (
    PUBLISHED,
    contrasts_table,
    results_table,
    to_latex,
    to_markdown,
    write_tables,
)

_MINUS = "\N{MINUS SIGN}"
_LATEX = {
    r"\textbackslash \space ": "\\ ",
    r"\textbackslash ": "\\",
    r"\textasciitilde ": "~",
    r"\textasciicircum ": "^",
    r"\dots{}": "\u2026",
    "$-$": _MINUS,
    "$<$": "<",
    "$>$": ">",
}


def read_markdown(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [re.split(r"(?<!\\)\|", line[1:-1]) for line in lines]
    assert all(re.fullmatch(":?-+", cell) for cell in rows[1])
    return [[html.unescape(cell.strip()).replace(r"\|", "|") for cell in row] for row in [rows[0], *rows[2:]]]


def read_latex(text: str) -> list[list[str]]:
    """Rows of all tabulars, the heading once."""
    blocks = re.findall(r"\\toprule\n(.*?)\n\\midrule\n(.*?)\\bottomrule", text, re.DOTALL)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(blocks)
    heads = {head for head, _ in blocks}
    assert len(heads) == 1
    return [_cells(line) for line in [*heads, *(line for _, body in blocks for line in body.splitlines())]]


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)& ", line.removesuffix(r" \\"))
    for code, letter in _LATEX.items():
        cells = [cell.replace(code, letter) for cell in cells]
    return [re.sub(r"\\([%_&#${}])", r"\1", cell).strip() for cell in cells]


@pytest.mark.parametrize("kind", ["default", "own_data", "bare"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_all_formats_hold_the_same_numbers(tables, tmp_path, kind, name):
    study = tables(kind)
    write_tables(study, tmp_path)
    with open(tmp_path / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    table = PUBLISHED[name][0](study)
    assert rows == [list(table.columns), *table.to_numpy().tolist()]
    assert read_markdown((tmp_path / f"{name}.md").read_text(encoding="utf-8")) == rows
    latex = (tmp_path / f"{name}.tex").read_text(encoding="utf-8")
    if len(rows) > 1:
        assert read_latex(latex) == rows
    assert latex.isascii(), "a LaTeX engine without Unicode reads it"


def test_results_table_holds_the_means(tables):
    study = tables("default")
    table = results_table(study)
    assert list(table.columns) == ["Dataset", "Model", "Start", "10 %", "100 %"]
    rows = study.means[study.means["metric"] == "auroc"]
    assert (table[["10 %", "100 %"]] != "").to_numpy().sum() == len(rows)
    mean = rows.query(
        "model == 'mean_of_seven' and init == 'video' and dataset == 'lidc_phantom' and percent == 10"
    ).iloc[0]
    row = table.query(
        "Model == 'Mean of the seven' and Start == 'Video pretraining' and Dataset == 'lidc_phantom'"
    ).iloc[0]
    assert row["10 %"] == f"{mean['value']:.3f} ({mean['ci_low']:.3f} to {mean['ci_high']:.3f})"


def test_baseline_stands_under_the_largest_percent(tables):
    table = results_table(tables("own_data"))
    row = table[table["Model"] == "Trivial baseline"].iloc[0]
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", row["100 %"])


def test_contrasts_are_those_of_means_or_of_3d_models(tables):
    table = contrasts_table(tables("default"))
    assert set(table["Models"]) == {"Mean of the seven"}
    assert f"video {_MINUS} best 2D" in set(table["Contrast"])
    rivals = table.loc[table["Contrast"] == f"video {_MINUS} best 2D", "Against"]
    assert set(rivals) <= {"EfficientNet-Lite0", "LRCN (EfficientNet-Lite0)"} and len(rivals)
    alone = contrasts_table(tables("own_data"))
    assert set(alone["Models"]) == {"I3D"} and "Models resampled" in alone


def test_markup_in_names_is_escaped():
    table = pd.DataFrame({"a|b": ["<script>", r"50 % {x}_^~\ #1 & $2"]})
    assert "<script>" not in to_markdown(table)
    assert read_markdown(to_markdown(table)) == [["a|b"], *table.to_numpy().tolist()]
    assert read_latex(to_latex(table, "")) == [["a|b"], *table.to_numpy().tolist()]


def test_claims_of_the_default_study(tables):
    study = tables("default")
    claims = read_claims(study)
    assert [claim.key for claim in claims] == ["video_vs_scratch", "video_3d_vs_2d", "video_vs_ct"]
    assert [len(claim.cells) for claim in claims] == study.claims["num_cells"].tolist() == [4, 4, 2]
    assert {*claims[0].cells["Models"], *claims[1].cells["Models"]} == {"Mean of the seven"}
    assert set(claims[2].cells["Dataset"]) == {"lidc_phantom"}
    assert (claims[0].cells["Against"] == "").all() and (claims[1].cells["Against"] != "").all()
    for claim, row in zip(claims, study.claims.to_dict("records"), strict=True):
        above = (claim.cells["Interval and zero"] == "above").sum()
        assert (above, claim.verdict) == (row["num_above"], row["verdict"].replace("_", " "))


_ROW = {
    "difference": 0.0312, "ci_low": 0.0123, "ci_high": 0.0501, "models_low": -0.002, "models_high": 0.066,
    "p_value": 0.00004, "p_holm": 0.00008, "smallest": -0.01, "largest": 0.06, "num_above": 3, "num_below": 1,
    "num_datasets": 2, "num_cells": 10, "num_models": 7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "changes", "sentence"),
    [
        (
            "supported",
            {},
            "Supported: the mean difference in AUROC over 10 combinations of dataset and percentage "
            "(2 datasets, 7 models) is +0.031 "
            f"(95 % interval +0.012 to +0.050, {_MINUS}0.002 to +0.066 with models resampled too; "
            "p < 0.0001 after Holm's adjustment for the number of claims tested); the single differences lie "
            f"between {_MINUS}0.010 and +0.060, with the interval entirely above zero in 3 and entirely "
            "below zero in 1.",
        ),
        (
            "not_supported",
            {"difference": -0.03, "ci_low": -0.05, "ci_high": -0.01, "models_low": None, "models_high": None}
            | {"num_cells": 1, "num_datasets": 1, "num_models": 1, "p_holm": 0.004},
            "Not supported: the mean difference in AUROC over 1 combination of dataset and percentage "
            f"(1 dataset, 1 model) is {_MINUS}0.030 (95 % interval {_MINUS}0.050 to {_MINUS}0.010; "
            "p = 0.0040 after Holm's adjustment for the number of claims tested).",
        ),
        ("not_tested", dict.fromkeys(_ROW), "Not tested: this study lacks the arms that the claim compares."),
    ],
)
def test_a_claim_is_one_sentence(tables, verdict, changes, sentence):
    study = tables("default")
    row = study.claims.head(1).astype(object).assign(**_ROW | changes, verdict=verdict)
    (claim,) = read_claims(dataclasses.replace(study, claims=row))
    assert claim.sentence == sentence
    assert claim.tested == (len(claim.cells) > 0) == (verdict != "not_tested")


def test_claims_without_a_mean_go_by_model(tables):
    assert read_claims(tables("own_data"))[0].cells["Models"].tolist() == ["I3D"]
