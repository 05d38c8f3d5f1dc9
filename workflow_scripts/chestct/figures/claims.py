"""The paper's three claims, each with the contrast that tests it and what the study says.

Claims: Ke et al., MIDL 2023, abstract. A claim is read from intervals on the mean over the study's models of
the seven; where a study has not two of them, from its 3D models one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.study_tables import StudyTables

_METRIC = "auroc"


@dataclass(frozen=True)
class Test:
    """One contrast that bears on a claim.

    Attributes:
        dataset, percent, subject, contrast: which; subject is a mean or a model, in words.
        difference, ci_low, ci_high, p_value: of AUROC.
        verdict: supported, not supported (the interval lies below zero) or undecided.
    """

    __test__ = False  # not a test class, whatever its name suggests to pytest

    dataset: str
    percent: int
    subject: str
    contrast: str
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    verdict: str


@dataclass(frozen=True)
class Claim:
    """A claim with its tests.

    Attributes:
        statement: the claim.
        contrast: what tests it, in words.
        tests: empty where the study has no such contrast.
        verdict: supported, not supported, undecided, mixed, or not tested.
        sentence: the verdict with its numbers.
    """

    statement: str
    contrast: str
    tests: tuple[Test, ...]
    verdict: str
    sentence: str


_CLAIMS: list[tuple[str, str, Callable[[str], bool]]] = [
    (
        "Video pretraining improves the average performance of seven 3D models, whatever the size of the "
        "fine-tuning set.",
        "AUROC after video pretraining minus AUROC from scratch, at every share of the training patients",
        lambda contrast: contrast == "video - scratch",
    ),
    (
        "With video pretraining, 3D models outperform 2D baselines.",
        "AUROC of 3D models after video pretraining minus AUROC of each 2D model after ImageNet pretraining",
        lambda contrast: contrast.startswith("video - ") and contrast.endswith(":imagenet"),
    ),
    (
        "Pretraining on large out-of-domain video helps more than pretraining on a CT dataset of usual size.",
        "AUROC after video pretraining minus AUROC after CT pretraining",
        lambda contrast: contrast == "video - ct",
    ),
]


def contrast_title(contrast: str) -> str:
    """A contrast in the words of the figures: "video - lrcn:imagenet" becomes "video - LRCN"."""
    minuend, _, subtrahend = contrast.partition(" - ")
    model, _, init = subtrahend.partition(":")
    if init:
        subtrahend = style.model_title(model)
    return f"{minuend.replace('_', ', then ')} {style.MINUS} {subtrahend}"


def check_claims(study: StudyTables) -> list[Claim]:
    """Hold the study's comparisons against the three claims."""
    rows = study.comparisons[study.comparisons["metric"] == _METRIC]
    claims = []
    for statement, words, concerns in _CLAIMS:
        own = rows[rows["contrast"].map(concerns).astype(bool)]
        means = own[own["model"].map(style.is_mean).astype(bool)]
        if means.empty:
            family = own["model"].map(lambda model: model in MODELS and MODELS[model].family == "3d")
            means = own[family.astype(bool)]
        tests = tuple(
            _test(row) for _, row in means.sort_values("dataset", key=_rank(study), kind="stable").iterrows()
        )
        verdict, sentence = _summarise(tests, study.confidence)
        claims.append(Claim(statement, words, tests, verdict, sentence))
    return claims


def _rank(study: StudyTables) -> Callable[[pd.Series], pd.Series]:
    return lambda names: names.map(study.datasets.index)


def _test(row: pd.Series) -> Test:
    verdict = "supported" if row["ci_low"] > 0 else "not supported" if row["ci_high"] < 0 else "undecided"
    return Test(
        dataset=row["dataset"],
        percent=int(row["percent"]),
        subject=style.model_title(row["model"]),
        contrast=contrast_title(row["contrast"]),
        difference=float(row["difference"]),
        ci_low=float(row["ci_low"]),
        ci_high=float(row["ci_high"]),
        p_value=float(row["p_value"]),
        verdict=verdict,
    )


def _summarise(tests: tuple[Test, ...], confidence: float) -> tuple[str, str]:
    if not tests:
        return "not tested", "This study has no runs that test it."
    counts = {
        verdict: sum(test.verdict == verdict for test in tests)
        for verdict in ("supported", "not supported", "undecided")
    }
    verdicts = [verdict for verdict, count in counts.items() if count]
    if len(verdicts) == 1:
        verdict = verdicts[0]
    else:
        verdict = "undecided" if not (counts["supported"] and counts["not supported"]) else "mixed"
    low, high = min(test.difference for test in tests), max(test.difference for test in tests)
    span = style.signed(low) if len(tests) == 1 else f"{style.signed(low)} to {style.signed(high)}"
    sentence = (
        f"Differences in AUROC: {span}. Of {len(tests)} comparison{'s' if len(tests) > 1 else ''}, the "
        f"{100 * confidence:g} % interval lies above zero in {counts['supported']}, below zero in "
        f"{counts['not supported']}, and holds zero in {counts['undecided']}."
    )
    return verdict, sentence
