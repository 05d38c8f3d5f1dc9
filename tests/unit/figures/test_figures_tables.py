"""Claims in sentences, and the tables of a publication in three formats."""

import csv
import dataclasses
import html
import re

import pandas as pd
import pytest

from chestct.figures import style
from chestct.figures.claim_sentences import CLAIMS, read_claims
from chestct.figures.intervals import ONE_RUN
from chestct.figures.publication_tables import (
    PUBLISHED,
    captions_of,
    claims_table,
    contrasts_table,
    results_table,
    to_latex,
    to_markdown,
    write_tables,
)
from chestct.figures.study_tables import read_study
from chestct.figures.wording import interval
from chestct.simple_rivals import TITLES

_MINUS = "\N{MINUS SIGN}"
_LATEX = {
    r"\textbackslash \space ": "\\ ",
    r"\textbackslash ": "\\",
    r"\textasciitilde ": "~",
    r"\textasciicircum ": "^",
    r"\dots{}": "\u2026",
    "$-$": _MINUS,
    "--": "\N{EN DASH}",
    r"$\pm$": "\N{PLUS-MINUS SIGN}",
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


@pytest.mark.parametrize("kind", ["default", "seeds", "own_data", "bare"])
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


@pytest.mark.parametrize(("kind", "brackets"), [("default", "[]"), ("seeds", "()")])
def test_results_table_holds_the_means(tables, kind, brackets):
    """The interval that decides in parentheses; with one seed the other one, in square brackets."""
    study = tables(kind)
    table = results_table(study)
    assert list(table.columns) == ["Dataset", "Model", "Start", "10 %", "100 %", "Over metadata, 100 %"]
    rows = study.means[study.means["metric"] == "auroc"]
    assert (table[["10 %", "100 %"]] != "").to_numpy().sum() == len(rows)
    mean = rows.query(
        "model == 'mean_of_seven' and init == 'video' and dataset == 'lidc_phantom' and percent == 10"
    ).iloc[0]
    row = table.query(
        "Model == 'Mean of the seven' and Start == 'Video pretraining' and Dataset == 'lidc_phantom'"
    ).iloc[0]
    low, high = (mean[f"{'ci' if kind == 'seeds' else 'patients'}_{end}"] for end in ("low", "high"))
    assert row["10 %"] == f"{mean['value']:.3f} {brackets[0]}{low:.3f} to {high:.3f}{brackets[1]}"
    gain = study.comparisons.query(
        "model == 'mean_of_seven' and contrast == 'video - metadata' and dataset == 'lidc_phantom' "
        "and percent == 100"
    ).iloc[0]
    assert row["Over metadata, 100 %"].startswith(f"{style.signed(gain['difference'])} {brackets[0]}")
    assert (table["Over metadata, 100 %"][table["Model"] == "Metadata only"] == "").all()
    assert (
        f"square brackets, one training run an arm: {ONE_RUN.partition(': ')[2]}"
        in captions_of(study)["results"]
    )


def test_scores_without_the_image_come_first_and_the_gain_over_all_of_them_last(tables):
    study = tables("own_data")
    table = results_table(study)
    assert table["Model"].tolist()[:5] == list(TITLES.values())
    assert table.columns[-2:].tolist() == ["Over size and spacing, 100 %", "Over metadata, 100 %"]
    gain = study.comparisons.query("contrast == 'video - size_and_spacing' and metric == 'auroc'").iloc[0]
    row = table.query("Start == 'Video pretraining'").iloc[0]
    assert row["Over size and spacing, 100 %"].startswith(style.signed(gain["difference"]))
    published = set(contrasts_table(study)["Contrast"])
    assert f"video {_MINUS} size, slices and spacing" in published
    assert f"video {_MINUS} spacing and thickness only" not in published


def test_a_dataset_names_its_own_score_and_says_that_its_images_are_no_hu(studies, tmp_path):
    study = read_study(**studies("own_data").inputs)
    study.manifests["real_nodules"] |= {"baseline_title": "Volume alone", "intensity": "display"}
    assert results_table(study)["Model"].tolist()[0] == "Volume alone"
    against = contrasts_table(study).query(f"Contrast == 'video {_MINUS} trivial baseline'")["Against"]
    assert against.tolist() == ["Volume alone"]
    write_tables(study, tmp_path)
    for suffix in ("md", "tex"):
        text = (tmp_path / f"results.{suffix}").read_text(encoding="utf-8")
        assert "All images are display values, not HU." in text


def test_baseline_stands_under_the_largest_percent(tables):
    table = results_table(tables("own_data"))
    row = table[table["Model"] == "Trivial baseline"].iloc[0]
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", row["100 %"])


def test_contrasts_are_those_of_means_or_of_3d_models(tables):
    table = contrasts_table(tables("seeds"))
    assert set(table["Models"]) == {"Mean of the seven"}
    assert f"video {_MINUS} best 2D" in set(table["Contrast"])
    rivals = table.loc[table["Contrast"] == f"video {_MINUS} best 2D", "Against"]
    assert len(rivals) and all("EfficientNet-Lite0" in rival for rival in rivals)
    assert set(contrasts_table(tables("own_data"))["Models"]) == {"I3D"}


def test_both_intervals_stand_beside_one_another_or_a_dash(tables):
    """A dash says that there is no interval; an empty cell would say that it does not apply."""
    for kind, missing in (("default", True), ("seeds", False)):
        table = contrasts_table(tables(kind))
        for column in ("Interval", "p", "p (Holm)"):
            assert (table[column] == "\N{EN DASH}").all() == missing
            assert (table[column] == "\N{EN DASH}").any() == missing
        assert table["Patients alone"].str.contains(" to ").all()
        assert table["p (patients alone)"].str.len().min() > 0
    study = tables("seeds")
    row = study.comparisons.query(
        "model == 'mean_of_seven' and contrast == 'video - ct' and metric == 'auroc'"
    ).iloc[0]
    shown = table[(table["Contrast"] == f"video {_MINUS} CT") & (table["%"] == str(row["percent"]))].iloc[0]
    assert shown["Interval"] == interval(row["ci_low"], row["ci_high"], with_sign=True)
    assert shown["Patients alone"] == interval(row["patients_low"], row["patients_high"], with_sign=True)


def test_markup_in_names_is_escaped():
    table = pd.DataFrame({"a|b": ["<script>", r"50 % {x}_^~\ #1 & $2"]})
    assert "<script>" not in to_markdown(table)
    assert read_markdown(to_markdown(table)) == [["a|b"], *table.to_numpy().tolist()]
    assert read_latex(to_latex(table, "")) == [["a|b"], *table.to_numpy().tolist()]


@pytest.mark.parametrize("kind", ["default", "seeds"])
def test_claims_of_the_default_study(tables, kind):
    study = tables(kind)
    claims = read_claims(study)
    assert [claim.key for claim in claims] == list(CLAIMS)
    assert [len(claim.cells) for claim in claims] == study.claims["num_cells"].tolist() == [4, 0, 4, 2]
    assert {*claims[0].cells["Models"], *claims[2].cells["Models"]} == {"Mean of the seven"}
    assert set(claims[3].cells["Dataset"]) == {"lidc_phantom"}
    assert (claims[0].cells["Against"] == "").all() and (claims[2].cells["Against"] != "").all()
    for claim, row in zip(claims, study.claims.to_dict("records"), strict=True):
        above = (claim.cells["Interval and zero"] == "above").sum()
        assert (above, claim.kind) == (row["num_above"], row["verdict"])
        if kind == "default" and claim.tested:
            assert claim.verdict == "not decidable: one training run an arm"
            assert (claim.cells["Interval and zero"] == "no verdict").all()


@pytest.mark.parametrize(("kind", "seeds"), [("default", "seed 0"), ("seeds", "seeds 0, 1 and 2")])
def test_a_claim_names_what_it_was_tested_on(tables, kind, seeds):
    first, *_, last = read_claims(tables(kind))
    names = "Slow (narrow), SlowFast (narrow), R(2+1)D (narrow), CSN (narrow), MViT (narrow), Swin (narrow), "
    names += "PENet (narrow)"
    assert sorted(first.models.split(", ")) == sorted(names.split(", "))
    assert first.scope == (
        "Tested on rspect_phantom and lidc_phantom, at 10 and 100 % of the training patients, with 7 models "
        f"({first.models}) and {seeds}."
    )
    assert last.scope.startswith("Tested on lidc_phantom, at")


_ROW = {
    "difference": 0.0312, "ci_low": 0.0123, "ci_high": 0.0501, "patients_low": 0.022, "patients_high": 0.041,
    "p_value": 0.00004, "p_holm": 0.00008, "p_every_size": 0.0021, "p_every_size_holm": 0.0042,
    "margin": 0.02, "smallest": 0.01, "largest": 0.06, "num_above": 10, "num_below": 0,
    "num_datasets": 2, "num_cells": 10, "num_models": 7,
}  # fmt: skip
_HEAD = "over 10 cells the mean difference in AUROC is"
_OVER = "over patients, training runs and models"


@pytest.mark.parametrize(
    ("verdict", "changes", "words", "sentence"),
    [
        (
            "supported_at_every_size",
            {},
            "supported at every size",
            f"Supported at every size: {_HEAD} +0.031 (95 % interval +0.012 to +0.050 {_OVER}; +0.022 to "
            "+0.041 over patients alone; p < 0.0001 after Holm's adjustment). The single differences lie "
            "between +0.010 and +0.060; the interval lies above zero in 10 of 10 cells and below zero in 0. "
            "All cells above zero: p = 0.0042 after Holm's adjustment.",
        ),
        (
            "supported_on_average_only",
            {
                "num_above": 3,
                "num_below": 1,
                "smallest": -0.01,
                "p_every_size_holm": 1.0,
                "difference": 0.0191,
            },
            "supported on average only (3 of 10 cells above zero)",
            f"Supported on average only: {_HEAD} +0.019 (95 % interval +0.012 to +0.050 {_OVER}; +0.022 to "
            "+0.041 over patients alone; p < 0.0001 after Holm's adjustment). The average differs from zero, "
            "but lies within the margin of \N{PLUS-MINUS SIGN}0.02: it may not be relevant. The single "
            f"differences lie between {_MINUS}0.010 and +0.060; the interval lies above zero in 3 of 10 "
            "cells and below zero in 1. All cells above zero: p = 1.0000 after Holm's adjustment.",
        ),
        (
            "supported_on_average_only",
            {"difference": 0.01, "ci_low": 0.005, "ci_high": 0.015, "num_cells": 1, "num_models": 1}
            | {"num_above": 1},
            "supported on average only (1 of 1 cells above zero, not so after the adjustment)",
            "Supported on average only: over 1 cell the mean difference in AUROC is +0.010 (95 % interval "
            "+0.005 to +0.015 over patients and training runs; +0.022 to +0.041 over patients alone; p < "
            "0.0001 after Holm's adjustment). The average differs from zero, but its whole interval lies "
            "within the margin of \N{PLUS-MINUS SIGN}0.02: it is not relevant.",
        ),
        (
            "contradicted",
            {"difference": -0.03, "ci_low": -0.05, "ci_high": -0.01, "num_cells": 1, "p_holm": 0.004},
            "contradicted",
            f"Contradicted: over 1 cell the mean difference in AUROC is {_MINUS}0.030 (95 % interval "
            f"{_MINUS}0.050 to {_MINUS}0.010 {_OVER}; +0.022 to +0.041 over patients alone; p = 0.0040 after "
            "Holm's adjustment).",
        ),
        (
            "no_relevant_difference",
            {"difference": 0.001, "ci_low": -0.01, "ci_high": 0.012, "num_cells": 1, "p_holm": 0.7},
            "no relevant difference (within \N{PLUS-MINUS SIGN}0.02)",
            "No relevant difference: over 1 cell the mean difference in AUROC is +0.001 (95 % interval "
            f"{_MINUS}0.010 to +0.012 {_OVER}; +0.022 to +0.041 over patients alone; p = 0.7000 after Holm's "
            "adjustment). The interval lies within \N{PLUS-MINUS SIGN}0.02, the margin below which a "
            "difference is not relevant.",
        ),
        (
            "undecided",
            {"ci_low": -0.01, "ci_high": 0.06, "num_cells": 1, "p_holm": 0.2},
            "undecided",
            f"Undecided: over 1 cell the mean difference in AUROC is +0.031 (95 % interval {_MINUS}0.010 to "
            f"+0.060 {_OVER}; +0.022 to +0.041 over patients alone; p = 0.2000 after Holm's adjustment). The "
            "interval holds zero and reaches beyond the margin of \N{PLUS-MINUS SIGN}0.02: neither a "
            "difference nor its absence is shown.",
        ),
        (
            "undecided",
            {"difference": 0.0, "ci_low": 0.0, "ci_high": 0.0, "num_cells": 1, "p_holm": 1.0},
            "undecided",
            "Undecided: over 1 cell the mean difference in AUROC is +0.000 (95 % interval +0.000 to "
            f"+0.000 {_OVER}; +0.022 to +0.041 over patients alone; p = 1.0000 after Holm's adjustment). All "
            "resamples of the test patients give this difference, as where every arm ranks them without an "
            "error: how far from zero it may be is not known.",
        ),
        (
            "not_decidable",
            dict.fromkeys(("ci_low", "ci_high", "p_value", "p_holm", "p_every_size", "p_every_size_holm")),
            "not decidable: one training run an arm",
            "Not decidable: one training run an arm, so how much training varies is not known; two seeds are "
            "needed. Over 10 cells the mean difference in AUROC is +0.031 (95 % interval +0.022 to +0.041 "
            "over patients alone, about these trained networks: no verdict). The single differences lie "
            "between +0.010 and +0.060.",
        ),
        (
            "not_tested",
            dict.fromkeys(name for name in _ROW if name != "margin"),
            "not tested",
            "Not tested: this study lacks the arms that the claim compares.",
        ),
    ],
)
def test_a_claim_has_its_verdict_and_its_numbers_in_words(tables, verdict, changes, words, sentence):
    study = tables("default")
    row = study.claims.head(1).astype(object).assign(**_ROW | changes, verdict=verdict)
    (claim,) = read_claims(dataclasses.replace(study, claims=row))
    assert (claim.verdict, claim.sentence) == (words, sentence)
    assert claim.tested == bool(claim.scope) == (verdict != "not_tested")


def test_a_table_of_claims_has_a_column_a_claim(tables):
    table = claims_table(tables("seeds")).set_index("Quantity")
    assert table.columns.tolist() == ["Claim 1", "Claim 1, longer", "Claim 2", "Claim 3"]
    row = tables("seeds").claims.iloc[0]
    assert table.loc["Cells above zero", "Claim 1"] == f"{row['num_above']} of 4"
    assert table.loc["Share of models", "Claim 1"] == f"{100 * row['share_models']:.1f} %"
    assert table.loc["Seeds", "Claim 1"] == "0, 1, 2"
    assert (claims_table(tables("default")).set_index("Quantity").loc["Interval"] == "\N{EN DASH}").all()


def test_claims_without_a_mean_go_by_model(tables):
    assert read_claims(tables("own_data"))[0].cells["Models"].tolist() == ["I3D"]
