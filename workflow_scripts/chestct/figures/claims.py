"""The paper's three claims in sentences, each with the one contrast that tests it.

Claims: Ke et al., MIDL 2023, abstract. The evaluation holds the study against them (table "claims"); here
its numbers become words, beside the cells (dataset and percent) that they average over.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.report_text import count, interval, p_value, signed
from chestct.figures.study_tables import StudyTables

_METRIC = "auroc"

#: By claim: its statement, the contrast that tests it, and that contrast in words.
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
class Cell:
    """A contrast at one dataset and percent.

    Attributes:
        dataset, percent, subject: which; subject is a mean or a model, in words.
        rival: the 2D model it is held against, in words; empty for other contrasts.
        difference, interval, models_interval, p, p_holm: of AUROC, in words.
        direction: "above" or "below" where the whole interval is on that side of zero, else "holds zero".
    """

    dataset: str
    percent: int
    subject: str
    rival: str
    difference: str
    interval: str
    models_interval: str
    p: str
    p_holm: str
    direction: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim with what the study says of it.

    Attributes:
        key: in the table "claims".
        statement: the claim.
        contrast: what tests it, in words.
        verdict: supported, not supported, undecided, or not tested.
        sentence: the verdict with its numbers.
        cells: what the contrast averages over; empty where it is not tested.
    """

    key: str
    statement: str
    contrast: str
    verdict: str
    sentence: str
    cells: tuple[Cell, ...]

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
                cells=tuple(_cells(study, contrast)) if tested else (),
            )
        )
    return claims


def _sentence(row: dict[Any, Any], confidence: float) -> str:
    if row["verdict"] == "not_tested":
        return "Not tested: this study lacks the arms that it compares."
    ends = interval(row["ci_low"], row["ci_high"], with_sign=True)
    wider = interval(row["models_low"], row["models_high"], with_sign=True)
    resampled = f", {wider} with the models resampled too" if wider else ""
    num_cells, num_models = int(row["num_cells"]), int(row["num_models"])
    averaged = (
        f"over {count(num_cells, 'combination')} of dataset and percent "
        f"({count(int(row['num_datasets']), 'dataset')}, {count(num_models, 'model')})"
    )
    spread = ""
    if num_cells > 1:
        spread = (
            f"; one by one they lie between {signed(row['smallest'])} and {signed(row['largest'])}, "
            f"the interval wholly above zero in {int(row['num_above'])} and wholly below in "
            f"{int(row['num_below'])}"
        )
    verdict = str(row["verdict"]).replace("_", " ").capitalize()
    adjusted = p_value(row["p_holm"])
    return (
        f"{verdict}: the mean difference in AUROC {averaged} is {signed(row['difference'])} "
        f"({100 * confidence:g} % interval {ends}{resampled}; "
        f"p {'' if adjusted.startswith('<') else '= '}{adjusted} after Holm's adjustment for the claims "
        f"tested){spread}."
    )


def contrast_rows(study: StudyTables, contrast: str) -> pd.DataFrame:
    """AUROC rows of "comparisons" for a contrast: of means over models, or of the 3D models one by one
    where the study has no mean; datasets in the study's order, percents ascending."""
    rows = study.comparisons
    rows = rows[(rows["metric"] == _METRIC) & (rows["contrast"] == contrast)]
    means = rows[rows["model"].map(style.is_mean).astype(bool)]
    if means.empty:
        means = rows[rows["model"].map(_is_3d).astype(bool)]
    places = means["dataset"].map(study.datasets.index)
    order = means.assign(place=places).sort_values(["place", "percent"], kind="stable").index
    return means.loc[order]


def _is_3d(model: str) -> bool:
    return model in MODELS and MODELS[model].family == "3d" and not MODELS[model].frozen


def _cells(study: StudyTables, contrast: str) -> list[Cell]:
    return [
        Cell(
            dataset=str(row["dataset"]),
            percent=int(row["percent"]),
            subject=style.model_title(row["model"]),
            rival=rival_title(row["rival"]),
            difference=signed(row["difference"]),
            interval=interval(row["ci_low"], row["ci_high"], with_sign=True),
            models_interval=interval(row["models_low"], row["models_high"], with_sign=True),
            p=p_value(row["p_value"]),
            p_holm=p_value(row["p_holm"]),
            direction=_direction(row["ci_low"], row["ci_high"]),
        )
        for row in contrast_rows(study, contrast).to_dict("records")
    ]


def rival_title(rival: Any) -> str:
    """Name of the 2D model of a contrast; empty where there is none."""
    return "" if pd.isna(rival) else style.model_title(str(rival))


def _direction(low: float, high: float) -> str:
    return "above" if low > 0 else "below" if high < 0 else "holds zero"
