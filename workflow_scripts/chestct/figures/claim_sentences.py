"""The paper's three claims (Ke et al., MIDL 2023, abstract), each in a few sentences with its verdict.

The evaluation decides the verdicts (table "claims"). Here their numbers become sentences, together with the
cells (combinations of dataset and percentage) that a claim's contrast averages over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.claimed_models import count_words
from chestct.figures import style
from chestct.figures.intervals import has_verdict
from chestct.figures.rivals import rival_sentences
from chestct.figures.study_tables import StudyTables, are_means
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import contrast_title, count, interval, listed, p_value, signed

_METRIC = "auroc"
_NO_LENGTH = 1e-9  # of an interval, but for rounding


def _average(number: str) -> str:
    return f"the average performance of {number} 3D models"


#: What the paper's first claim is about.
_SEVEN = _average("seven")

#: By claim: its number, its statement, the contrast that tests it, and the contrast in words.
CLAIMS = {
    "video_vs_scratch": (
        "1",
        f"Video pretraining improves {_SEVEN}, whatever the size of the fine-tuning set.",
        "video - scratch",
        "AUROC after video pretraining minus AUROC from scratch",
    ),
    "video_vs_scratch_long": (
        "1, longer",
        "The same against training from scratch for longer: more training does not make up for video "
        "pretraining.",
        "video - scratch_long",
        "AUROC after video pretraining minus AUROC after longer training from scratch",
    ),
    "video_3d_vs_2d": (
        "2",
        "With video pretraining, 3D models outperform 2D baselines.",
        "video - best_2d",
        "AUROC of 3D models after video pretraining minus AUROC of the 2D model that was best on validation "
        "after ImageNet pretraining",
    ),
    "video_vs_ct": (
        "3",
        "Pretraining on large out-of-domain video helps more than pretraining on a CT dataset of usual size.",
        "video - ct",
        "AUROC after video pretraining minus AUROC after CT pretraining",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim and what the study's results say about it.

    Attributes:
        key: in the table "claims".
        number: of the paper's claims; "1, longer" for the first against longer training from scratch.
        statement: the claim.
        contrast: the contrast that tests it, in words.
        kind: the verdict's name in the table "claims".
        verdict: the verdict in words, with its numbers.
        sentence: the verdict with the numbers that it rests on.
        scope: sentences that name datasets, percentages, models, seeds and 2D rivals; empty if not tested.
        models: their names, separated by commas.
        cells: the combinations of dataset and percentage that the contrast averages over, a table of text
            with the columns Dataset, %, Models, Against, Difference, Interval, p, p (Holm), Patients alone,
            Interval and zero; empty if the claim is not tested.
    """

    key: str
    number: str
    statement: str
    contrast: str
    kind: str
    verdict: str
    sentence: str
    scope: str
    models: str
    cells: pd.DataFrame

    @property
    def tested(self) -> bool:
        """Whether the study has the arms that the claim is about."""
        return self.kind != "not_tested"


def read_claims(study: StudyTables) -> list[Claim]:
    """The study's claims in sentences, in the order of the table "claims"."""
    claims = []
    for row in study.claims.to_dict("records"):
        number, statement, _, words = CLAIMS[str(row["claim"])]
        tested = row["verdict"] != "not_tested"
        statement = statement.replace(_SEVEN, _of_tested_models(names_in(row["models"])))
        models = [style.model_title(model) for model in names_in(row["models"])]
        claims.append(
            Claim(
                key=str(row["claim"]),
                number=number,
                statement=statement,
                contrast=words,
                kind=str(row["verdict"]),
                verdict=verdict_words(row),
                sentence=_sentence(row, study.confidence),
                scope=_scope(row, study) if tested else "",
                models=", ".join(models),
                cells=_cells(tested_rows(study, row)),
            )
        )
    return claims


def _of_tested_models(models: list[str]) -> str:
    """``_SEVEN`` in a study's own words: how many models it tests, where these are not of the seven."""
    if all(MODELS[model].seven for model in models):
        return _SEVEN
    return "the performance of a 3D model" if len(models) == 1 else _average(count_words(len(models)))


def verdicts_by_dataset(study: StudyTables) -> pd.DataFrame:
    """Every claim on every dataset alone, as text; without rows where the study has one dataset.

    Returns:
        Columns Claim, Dataset, Verdict, Difference, Interval, p (Holm), Patients alone, Models.
    """
    rows = study.claims_by_dataset
    if rows["datasets"].nunique() < 2:
        return pd.DataFrame()
    order = rows.assign(place=rows["claim"].map(list(CLAIMS).index)).sort_values("place", kind="stable").index
    rows = rows.loc[order]
    return format_columns(
        rows,
        "Claim, Dataset, Verdict, Difference, Interval, p (Holm), Patients alone, Models",
        Claim=[f"{CLAIMS[claim][0]}: {contrast_title(CLAIMS[claim][2])}" for claim in rows["claim"]],
        Dataset=rows["datasets"],
        Verdict=[verdict_words(row) for row in rows.to_dict("records")],
        Models=[", ".join(map(style.model_title, names_in(names))) for names in rows["models"]],
    )


def tested_rows(study: StudyTables, row: Mapping[Any, Any]) -> pd.DataFrame:
    """Rows of ``contrast_rows`` of a claim's cells; none if the study does not test it.

    Args:
        study: tables of the study.
        row: of the table "claims".
    """
    rows = contrast_rows(study, CLAIMS[str(row["claim"])][2])
    return rows[rows["dataset"].isin(names_in(row["datasets"]))]


def names_in(cell: Any) -> list[str]:
    """The names in a cell of the table "claims", which separates them by semicolons."""
    return [] if pd.isna(cell) else [name for name in str(cell).split(";") if name]


def margin_words(margin: float) -> str:
    """The margin of equivalence: "±0.02"."""
    return f"\N{PLUS-MINUS SIGN}{margin:g}"


def verdict_words(row: Mapping[Any, Any]) -> str:
    """The verdict of a row of the table "claims" in a few words, with its numbers."""
    above = f"{row['num_above']} of {row['num_cells']} cells above zero"
    if row["num_above"] == row["num_cells"]:  # by their own intervals, which are not adjusted
        above += ", not so after the adjustment"
    return {
        "supported_at_every_size": "supported at every size",
        "supported_on_average_only": f"supported on average only ({above})",
        "no_relevant_difference": f"no relevant difference (within {margin_words(row['margin'])})",
        "undecided": "undecided",
        "contradicted": "contradicted",
        "not_decidable": "not decidable: one training run an arm",
        "not_tested": "not tested",
    }[row["verdict"]]


def _sentence(row: Mapping[Any, Any], confidence: float) -> str:
    if row["verdict"] == "not_tested":
        return "Not tested: this study lacks the arms that the claim compares."
    cells = count(int(row["num_cells"]), "cell")
    mean = f"over {cells} the mean difference in AUROC is {signed(row['difference'])}"
    alone = f"{interval(row['patients_low'], row['patients_high'], with_sign=True)} over patients alone"
    percent = f"{100 * confidence:g} % interval"
    if row["verdict"] == "not_decidable":
        return (
            "Not decidable: one training run an arm, so how much training varies is not known; two seeds are "
            f"needed. {mean[0].upper()}{mean[1:]} ({percent} {alone}, about these trained networks: no "
            f"verdict).{_spread(row, decided=False)}"
        )
    models = ", training runs and models" if row["num_models"] > 1 else " and training runs"
    ends = interval(row["ci_low"], row["ci_high"], with_sign=True)
    head = verdict_words(row).partition(" (")[0]
    numbers = f"({percent} {ends} over patients{models}; {alone}; {_p(row['p_holm'])})"
    return f"{head[0].upper()}{head[1:]}: {mean} {numbers}.{_relevance(row)}{_spread(row, decided=True)}"


def _p(value: float) -> str:
    text = p_value(value)
    return f"p {'' if text.startswith('<') else '= '}{text} after Holm's adjustment"


def _relevance(row: Mapping[Any, Any]) -> str:
    """What the interval says about the margin of equivalence."""
    margin, low, high = row["margin"], row["ci_low"], row["ci_high"]
    words = margin_words(margin)
    if row["verdict"] == "no_relevant_difference":
        return f" The interval lies within {words}, the margin below which a difference is not relevant."
    if row["verdict"] == "undecided" and high - low < _NO_LENGTH:
        return (
            " All resamples of the test patients give this difference, as where every arm ranks them without "
            "an error: how far from zero it may be is not known."
        )
    if row["verdict"] == "undecided":
        zero = "holds zero" if low <= 0 <= high else "leaves out zero (not so after the adjustment)"
        return (
            f" The interval {zero} and reaches beyond the margin of {words}: neither a difference nor its "
            "absence is shown."
        )
    differs = " The average differs from zero, but"
    if max(-low, high) < margin:
        return f"{differs} its whole interval lies within the margin of {words}: it is not relevant."
    if abs(row["difference"]) < margin:
        return f"{differs} lies within the margin of {words}: it may not be relevant."
    return ""


def _spread(row: Mapping[Any, Any], *, decided: bool) -> str:
    """How the cells differ, and whether all of them lie above zero."""
    if row["num_cells"] < 2:
        return ""
    words = f" The single differences lie between {signed(row['smallest'])} and {signed(row['largest'])}"
    if not decided:
        return f"{words}."
    words += (
        f"; the interval lies above zero in {row['num_above']} of {count(int(row['num_cells']), 'cell')} and "
        f"below zero in {row['num_below']}."
    )
    return f"{words} All cells above zero: {_p(row['p_every_size_holm'])}."


def _scope(row: Mapping[Any, Any], study: StudyTables) -> str:
    datasets, percents, models, seeds = (
        names_in(row[name]) for name in ("datasets", "percents", "models", "seeds")
    )
    rivals = rival_sentences(study, names_in(row["datasets"])) if row["claim"] == "video_3d_vs_2d" else ""
    others = [style.model_title(model) for model in models if not MODELS[model].seven]
    if others:
        rivals = f"Not among the paper's seven models: {listed(others)}. {rivals}"
    return (
        f"Tested on {listed(datasets)}, at {listed(percents)} % of the training patients, with "
        f"{count(len(models), 'model')} ({', '.join(map(style.model_title, models))}) and "
        f"seed{'' if len(seeds) == 1 else 's'} {listed(seeds)}. {rivals}"
    ).rstrip()


def contrast_rows(study: StudyTables, contrast: str) -> pd.DataFrame:
    """AUROC rows of "comparisons" for a contrast, by dataset and ascending percentage.

    They are those of the means over models or, in a study without means, of the single 3D models.
    """
    rows = study.comparisons
    rows = rows[(rows["metric"] == _METRIC) & (rows["contrast"] == contrast)]
    means = rows[are_means(rows)]
    if means.empty:
        means = rows[rows["model"].map(_is_3d).astype(bool)]
    places = means["dataset"].map(study.datasets.index)
    order = means.assign(place=places).sort_values(["place", "percent"], kind="stable").index
    return means.loc[order]


def _is_3d(model: str) -> bool:
    return model in MODELS and MODELS[model].family == "3d" and not MODELS[model].frozen


def _side(low: float, high: float) -> str:
    """On which side of zero an interval lies; of no length, where nothing varies, it counts on neither."""
    if high - low < _NO_LENGTH:
        return "no length"
    return "above" if low > 0 else "below" if high < 0 else "holds zero"


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    sides = [
        _side(low, high) if decides else "no verdict"
        for low, high, decides in zip(rows["ci_low"], rows["ci_high"], has_verdict(rows), strict=True)
    ]
    return format_columns(
        rows,
        "Dataset, %, Models, Against, Difference, Interval, p, p (Holm), Patients alone, Interval and zero",
        Models=rows["model"].map(style.model_title),
        Interval_and_zero=sides,
    )
