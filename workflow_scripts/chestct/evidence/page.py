"""The page of published evidence: verdicts, numbers, and how the study was run, all from its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.captions import CAPTIONS
from chestct.figures.claim_sentences import CLAIMS, read_claims, verdicts_by_dataset
from chestct.figures.publication_tables import captions_of, results_table, to_markdown
from chestct.figures.study_tables import StudyTables, are_means, stand_in_note
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import count

#: Rules that took less processor time in all are left out of the page.
_SHOWN_SECONDS = 60
#: Table that only the evidence has.
BY_MODEL = "contrasts_by_model.csv"
_FILES = {
    "results.csv": "AUROC of every arm, scores without the image first",
    "contrasts.csv": "differences of means over models, with intervals and p values",
    "claims.csv": "the claims, a column each",
    "claims_numbers.csv": "the claims' numbers (schemas/claims.schema.yaml)",
    "claims_by_dataset.csv": "the same on every dataset alone",
    BY_MODEL: "the claims' contrasts, model by model",
    "budgets.csv": "how long every arm was trained",
}


def verdict_lines(study: StudyTables) -> list[str]:
    """The claims in a line each, those that the study cannot test last, in one line."""
    claims = read_claims(study)
    lines = [
        f"**Claim {claim.number}** ({claim.statement.rstrip('.')}): {claim.sentence} {claim.scope}"
        for claim in claims
        if claim.tested
    ]
    untested = [claim.number for claim in claims if not claim.tested]
    return lines + ([f"Not tested here: claim {', '.join(untested)}."] if untested else [])


def contrasts_by_model(study: StudyTables) -> pd.DataFrame:
    """The claims' contrasts of AUROC as text, of single models.

    Returns:
        Columns Dataset, Contrast, Model, Against, %, Difference, Interval, p, p (Holm), Patients alone.
    """
    rows = study.comparisons[study.comparisons["metric"] == "auroc"]
    rows = rows[rows["contrast"].isin([contrast for _, _, contrast, _ in CLAIMS.values()])]
    rows = rows[~are_means(rows)]
    return format_columns(
        rows, "Dataset, Contrast, Model, Against, %, Difference, Interval, p, p (Holm), Patients alone"
    )


def page(study: StudyTables, facts: Mapping[str, Any], files: Sequence[str]) -> str:
    """The text of ``README.md``.

    Args:
        study: tables of the study.
        facts: what ``evidence.json`` holds.
        files: names of the files beside the page.
    """
    arms = zip(study.runs["model"], study.runs["init"], strict=True)
    notes = [study.display_note, stand_in_note(study, study.scanned, set(arms))]
    parts = [
        f"# Evidence: the study `{facts['study']}`",
        f"Written by `make evidence` from the tables of the finished study; run with `{facts['command']}`.",
        *filter(None, notes),
        "## Verdicts",
        "\n".join(f"- {line}" for line in verdict_lines(study)),
    ]
    by_dataset = verdicts_by_dataset(study)
    if len(by_dataset):
        parts += [
            "### On every dataset alone",
            "Beside the verdicts, which decide. Datasets that share scans are not independent.",
            to_markdown(by_dataset),
        ]
    parts += ["## Figures", *(_picture(name) for name in files if name.endswith(".png"))]
    parts += ["## Results", captions_of(study)["results"]]
    table = results_table(study)
    for dataset, part in table.groupby("Dataset", sort=False):
        own = part.drop(columns="Dataset")
        own = own.loc[:, (own != "").any()]
        parts += [f"### {dataset}", to_markdown(own)]
    described = [f"| [`{name}`]({name}) | {_FILES[name]} |" for name in files if name in _FILES]
    parts += ["## Files", "\n".join(["| file | holds |", "| --- | --- |", *described])]
    parts += ["## How it was run", *_how(facts)]
    return "\n\n".join(parts) + "\n"


def _picture(name: str) -> str:
    caption = CAPTIONS[name.removesuffix(".png")]
    return f"![{caption.partition('.')[0]}]({name})\n\n{caption}"


def _how(facts: Mapping[str, Any]) -> list[str]:
    own = facts["machine"]
    where = ", ".join(str(own[key]) for key in ("processor", "memory") if key in own)
    rows = [
        f"| {rule} | {times['jobs']:,} | {_hours(times['seconds'])} | {_hours(times['cpu_seconds'])} |"
        for rule, times in sorted(facts["jobs"].items(), key=lambda item: -item[1]["cpu_seconds"])
        if times["cpu_seconds"] >= _SHOWN_SECONDS
    ]
    return [
        f"{count(facts['num_runs'], 'training run')} in {_hours(facts['wall_seconds'])} hours "
        f"({_hours(facts['cpu_seconds'])} hours of processor time). This page was written on a machine with "
        f"{count(own['cores'], 'core')} ({where}); what ran elsewhere ran on another one.",
        "\n".join(["| rule | jobs | hours | processor hours |", "| --- | --- | --- | --- |", *rows]),
        "`evidence.json` has versions, and the digests of configuration, code, data, weights and of these "
        f"files. Configuration {facts['configuration']}.",
    ]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}".replace("-", style.MINUS)
