"""The report's first screen: what the data are, and what the study answers, a card a claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from chestct.claimed_models import count_words
from chestct.figures import style
from chestct.figures.claim_sentences import names_in, verdict_words
from chestct.figures.intervals import has_verdict, value_limits
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import count, interval, listed, p_value, signed

#: The source of a dataset that is a user's own table of scans.
_OWN = "own_data"
#: Room at both ends of a card's axis, in percent of its width.
_ROOM = 3.0
#: How far the axis reaches at least, in margins of equivalence.
_BEYOND_MARGIN = 1.5
#: An end of the axis that lies as near to zero has no label of its own, in percent of the width.
_TOO_NEAR = 14.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a study's data are.

    Attributes:
        name: "stand-in", "display" or "real".
        title: in a few words, with what follows from it.
        words: one sentence more.
    """

    name: str
    title: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Forest:
    """A card's interval on an axis that all cards share, in percent of its width.

    Attributes:
        zero, point: where zero and the difference lie.
        interval: both ends of the interval that decides; None for a study with one training run an arm.
        alone: both ends of the interval over patients alone.
        margin: both ends of the margin of equivalence.
        cut: whether an interval goes on beyond the axis on the left, on the right.
        ends: the axis's ends in words; empty next to zero.
        words: all of it in words.
    """

    zero: float
    point: float
    interval: tuple[float, float] | None
    alone: tuple[float, float]
    margin: tuple[float, float]
    cut: tuple[bool, bool]
    ends: tuple[str, str]
    words: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """A question that the study answers.

    Attributes:
        place: identifier of the claim's place in the report.
        question: in one sentence.
        kind: the verdict's name in the table "claims".
        verdict: in words.
        numbers: the difference with its interval.
        p: the adjusted p value in words; empty without a verdict.
        facts: cells, sizes, models and seeds.
        forest: the interval as a drawing.
    """

    place: str
    question: str
    kind: str
    verdict: str
    numbers: str
    p: str
    facts: str
    forest: Forest


def is_own(configuration: Mapping[str, Any]) -> bool:
    """Whether all scans of a study are its user's own, so that it asks its own question alone."""
    return all(entry.get("source") == _OWN for entry in configuration["datasets"])


def kind_of(study: StudyTables, weights: Sequence[Mapping[str, Any]], *, own: bool = False) -> Kind:
    """What the data of a study are: phantoms, display images or real.

    Args:
        study: tables of the study.
        weights: their origins (``origin_of_weights``).
        own: whether all scans are the user's own (``is_own``), of which the workflow knows no more.
    """
    phantoms = [name for name in study.scanned if study.manifests[name]["stand_in"]]
    generated = any(origin["stand_in"] for origin in weights)
    nothing = "Its numbers say nothing about patients or about pretraining."
    if phantoms and len(phantoms) == len(study.scanned):
        also = " and some of the starting weights come from generated clips" if generated else ""
        return Kind(
            name="stand-in",
            title="Phantoms: this study tests the machinery only.",
            words=f"All scans are synthetic{also}. {nothing}",
        )
    if phantoms:
        return Kind(
            name="stand-in",
            title="Phantoms among the scans: this study tests the machinery only.",
            words=f"The scans of {listed(phantoms)} are synthetic. {nothing}",
        )
    if generated:
        return Kind(
            name="stand-in",
            title="Generated starting weights: this study tests the machinery only.",
            words="The scans are real, but some networks start from generated clips or scans.",
        )
    if study.of_display_values:
        return Kind(
            name="display",
            title="Display images: real scans, but not in Hounsfield units.",
            words=study.display_note,
        )
    if own:
        return Kind(
            name="real",
            title="The user's own scans.",
            words="The workflow takes them for real ones; all published starting weights are real.",
        )
    return Kind(
        name="real", title="Real data.", words="All scans and all published starting weights are real."
    )


def cards_of(study: StudyTables) -> list[Card]:
    """A card for each claim that the study tests, in the order of the table "claims"."""
    places = {str(claim): place for place, claim in enumerate(study.claims["claim"], start=1)}
    rows = study.claims[study.claims["verdict"] != "not_tested"]
    if rows.empty:
        return []
    # The whole margin lies on the axis, too.
    least, most = value_limits(rows, "difference")
    beyond = _BEYOND_MARGIN * float(rows["margin"].max())
    limits = min(least, -beyond), max(most, beyond)
    return [
        Card(
            place=f"claim-{places[row['claim']]}",
            question=question_of(row),
            kind=str(row["verdict"]),
            verdict=_capital(verdict_words(row)),
            numbers=_numbers(row, decides),
            p=_p(row["p_holm"]) if decides else "",
            facts=_facts(row),
            forest=_forest(row, decides, limits, study.confidence),
        )
        for row, decides in zip(rows.to_dict("records"), has_verdict(rows), strict=True)
    ]


def question_of(row: Mapping[Any, Any]) -> str:
    """The question that a row of the table "claims" answers, in the words of the study's own models."""
    models = [style.model_title(model) for model in names_in(row["models"])]
    one = len(models) == 1
    subject = models[0] if one else f"{count_words(len(models))} 3D models on average"
    sizes = ", whatever the size of the training set" if len(names_in(row["percents"])) > 1 else ""
    return {
        "video_vs_scratch": f"Does video pretraining help {subject}{sizes}?",
        "video_vs_scratch_long": f"Does video pretraining help {subject} more than longer training does?",
        "video_3d_vs_2d": (
            f"After video pretraining, does {subject} beat the best 2D model?"
            if one
            else f"After video pretraining, do {subject} beat the best 2D model?"
        ),
        "video_vs_ct": f"Does video pretraining help {subject} more than CT pretraining does?",
    }[row["claim"]]


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _numbers(row: Mapping[Any, Any], decides: bool) -> str:
    """The difference, with the interval that decides in parentheses, or that over patients in brackets."""
    kind = "ci" if decides else "patients"
    ends = interval(row[f"{kind}_low"], row[f"{kind}_high"], with_sign=True)
    return f"{signed(row['difference'])} " + (f"({ends})" if decides else f"[{ends}] over patients alone")


def _p(value: float) -> str:
    text = p_value(value)
    return f"p {'' if text.startswith('<') else '= '}{text} (Holm)"


def _facts(row: Mapping[Any, Any]) -> str:
    cells = count(int(row["num_cells"]), "cell")
    datasets, sizes = int(row["num_datasets"]), len(names_in(row["percents"]))
    return ", ".join(
        [
            f"{cells} ({count(datasets, 'dataset')}, {count(sizes, 'size')})",
            count(len(names_in(row["models"])), "model"),
            count(len(names_in(row["seeds"])), "seed"),
        ]
    )


def _forest(row: Mapping[Any, Any], decides: bool, limits: tuple[float, float], confidence: float) -> Forest:
    low, high = limits
    margin = float(row["margin"])

    def place(value: float) -> float:
        share = (min(max(float(value), low), high) - low) / (high - low)
        return round(_ROOM + (100 - 2 * _ROOM) * share, 2)

    def both(start: float, end: float) -> tuple[float, float]:
        return place(start), place(end)

    shown = [row["patients_low"], row["patients_high"]]
    shown += [row["ci_low"], row["ci_high"]] if decides else []
    shown = [float(value) for value in shown if not pd.isna(value)]
    return Forest(
        zero=place(0),
        point=place(row["difference"]),
        interval=both(row["ci_low"], row["ci_high"]) if decides else None,
        alone=both(row["patients_low"], row["patients_high"]),
        margin=both(-margin, margin),
        cut=(min(shown) < low, max(shown) > high),
        ends=(
            _end(low) if place(0) > _TOO_NEAR else "",
            _end(high) if place(0) < 100 - _TOO_NEAR else "",
        ),
        words=f"Difference in AUROC {_numbers(row, decides)}, {100 * confidence:g} % interval",
    )


def _end(value: float) -> str:
    return f"{value:+.2f}".replace("-", style.MINUS)
