"""The 2D rivals of the 3D models: which validation chose, and which is best on the test patients."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import listed

_CONTRAST = "video - best_2d"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The 2D model that 3D models are compared with, on one dataset at one percentage.

    Attributes:
        model: chosen on validation.
        value: its AUROC on the test patients.
        better: the 2D model with the highest AUROC there, where that is another.
        lead: of the better one, in AUROC; 0 where the chosen one is the best.
    """

    dataset: str
    percent: int
    model: str
    value: float
    better: str | None = None
    lead: float = 0.0


def candidates(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table "means" whose arms can be chosen: fine-tuned 2D models that start from images."""
    known = rows["model"].map(lambda name: name in MODELS and MODELS[name].family == "2d").astype(bool)
    probes = rows["model"].map(style.is_probe).astype(bool)
    return rows[known & ~probes & (rows["init"] == "imagenet")]


def chosen_rivals(study: StudyTables, datasets: Collection[str] | None = None) -> list[Rival]:
    """The rivals of a study, or of some of its datasets, by dataset and ascending percentage."""
    chosen = study.comparisons[study.comparisons["contrast"] == _CONTRAST].dropna(subset="rival")
    chosen = chosen[chosen["dataset"].isin(study.datasets if datasets is None else datasets)]
    chosen = chosen[chosen["metric"] == "auroc"].drop_duplicates(["dataset", "percent"])
    means = candidates(study.means[study.means["metric"] == "auroc"])
    rivals = []
    for dataset, percent, model in chosen[["dataset", "percent", "rival"]].to_numpy():
        here = means[(means["dataset"] == dataset) & (means["percent"] == percent)]
        values = dict(zip(here["model"], here["value"], strict=True))
        best = max(values, key=lambda name: values[name])
        lead = values[best] - values[model]
        rivals.append(
            Rival(
                dataset=dataset,
                percent=int(percent),
                model=model,
                value=values[model],
                better=best if lead > 0 else None,
                lead=max(lead, 0.0),
            )
        )
    return sorted(rivals, key=lambda rival: (study.datasets.index(rival.dataset), rival.percent))


def rival_rows(study: StudyTables) -> pd.DataFrame:
    """Rows of the table "means", of AUROC, of the 2D models that validation chose; none without a choice."""
    means = candidates(study.means[study.means["metric"] == "auroc"])
    chosen = {(rival.dataset, rival.percent, rival.model) for rival in chosen_rivals(study)}
    keys = zip(means["dataset"], means["percent"].astype(int), means["model"], strict=True)
    return means[pd.Series([key in chosen for key in keys], index=means.index, dtype=bool)]


def rival_titles(study: StudyTables, datasets: Collection[str]) -> str:
    """Titles of the 2D models that were chosen on some datasets, in the catalogue's order."""
    models = {rival.model for rival in chosen_rivals(study, datasets)}
    return ", ".join(style.model_title(model) for model in sorted(models, key=style.model_rank))


def rival_sentences(study: StudyTables, datasets: Collection[str]) -> str:
    """Which 2D models were chosen on some datasets, and where another did better on the test patients."""
    rivals = chosen_rivals(study, datasets)
    if not rivals:
        return ""
    places: dict[str, dict[str, list[str]]] = {}
    for rival in rivals:
        places.setdefault(rival.model, {}).setdefault(rival.dataset, []).append(str(rival.percent))
    chosen = [f"{style.model_title(model)} ({_places(by_dataset)})" for model, by_dataset in places.items()]
    words = f"Against the 2D model that was best on validation: {listed(chosen)}."
    worse = [
        f"{style.model_title(str(rival.better))} on {rival.dataset} at {rival.percent} % "
        f"(by {rival.lead:.3f})"
        for rival in rivals
        if rival.better
    ]
    if worse:
        words += f" On the test patients another 2D model was better than the chosen one: {listed(worse)}."
    return words


def _places(percents: dict[str, list[str]]) -> str:
    return "; ".join(f"{dataset}, {listed(shares)} %" for dataset, shares in percents.items())
