"""The paper's three claims (Ke et al., MIDL 2023, abstract), each in one sentence with its verdict.

The evaluation decides the verdicts (table "claims"). Here their numbers become sentences, together with the
cells (combinations of dataset and percentage) that a claim's contrast averages over.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.study_tables import StudyTables, are_means
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import count, interval, p_value, signed

_METRIC = "auroc"

#: By claim: its statement, the contrast that tests it, and the contrast in words.
CLAIMS = {
    "video_vs_scratch": (
        "Video pretraining improves the average performance of seven 3D models, whatever the size of the "
        "fine-tuning set.",
        "video - scratch",
        "AUROC after video pretraining minus AUROC from scratch",
    ),
    "video_3d_vs_2d": (
        "With video pretraining, 3D models outperform 2D baselines.",
        "video - best_2d",
        "AUROC of 3D models after video pretraining minus AUROC of the 2D model that was best on validation "
        "after ImageNet pretraining",
    ),
    "video_vs_ct": (
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
        statement: the claim.
        contrast: the contrast that tests it, in words.
        verdict: supported, not supported, undecided, or not tested.
        sentence: the verdict with its numbers.
        cells: the combinations of dataset and percentage that the contrast averages over, a table of text
            with the columns Dataset, %, Models, Against, Difference, Interval, Models resampled, p, p (Holm),
            Interval and zero; empty if the claim is not tested.
    """

    key: str
    statement: str
    contrast: str
    verdict: str
    sentence: str
    cells: pd.DataFrame

    @property
    def tested(self) -> bool:
        """Whether the study has the arms that the claim is about."""
        return self.verdict != "not tested"


def read_claims(study: StudyTables) -> list[Claim]:
    """The study's claims in sentences, in the order of the table "claims"."""
    claims = []
    for row in study.claims.to_dict("records"):
        statement, contrast, words = CLAIMS[str(row["claim"])]
        tested = row["verdict"] != "not_tested"
        claims.append(
            Claim(
                key=str(row["claim"]),
                statement=statement,
                contrast=words,
                verdict=str(row["verdict"]).replace("_", " "),
                sentence=_sentence(row, study.confidence),
                cells=_cells(contrast_rows(study, contrast if tested else "")),
            )
        )
    return claims


def _sentence(row: dict[Any, Any], confidence: float) -> str:
    if row["verdict"] == "not_tested":
        return "Not tested: this study lacks the arms that the claim compares."
    ends = interval(row["ci_low"], row["ci_high"], with_sign=True)
    wider = interval(row["models_low"], row["models_high"], with_sign=True)
    resampled = f", {wider} with models resampled too" if wider else ""
    num_cells, num_models = int(row["num_cells"]), int(row["num_models"])
    averaged = (
        f"over {count(num_cells, 'combination')} of dataset and percentage "
        f"({count(int(row['num_datasets']), 'dataset')}, {count(num_models, 'model')})"
    )
    spread = ""
    if num_cells > 1:
        spread = (
            f"; the single differences lie between {signed(row['smallest'])} and {signed(row['largest'])}, "
            f"with the interval entirely above zero in {int(row['num_above'])} and entirely below zero in "
            f"{int(row['num_below'])}"
        )
    verdict = str(row["verdict"]).replace("_", " ").capitalize()
    adjusted = p_value(row["p_holm"])
    return (
        f"{verdict}: the mean difference in AUROC {averaged} is {signed(row['difference'])} "
        f"({100 * confidence:g} % interval {ends}{resampled}; "
        f"p {'' if adjusted.startswith('<') else '= '}{adjusted} after Holm's adjustment for the number of "
        f"claims tested){spread}."
    )


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


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    sides = [
        "above" if low > 0 else "below" if high < 0 else "holds zero"
        for low, high in rows[["ci_low", "ci_high"]].to_numpy(dtype=float)
    ]
    return format_columns(
        rows,
        "Dataset, %, Models, Against, Difference, Interval, Models resampled, p, p (Holm), Interval and zero",
        Models=rows["model"].map(style.model_title),
        Interval_and_zero=sides,
    )
