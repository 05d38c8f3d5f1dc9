"""The 2D rivals of the 3D models: which validation chose, and which is best on the test patients."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from chestct.catalogue import MODELS
from chestct.chosen_rival import COMPOSED, arm_model, is_composed, models_of
from chestct.figures import style
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import listed

_CONTRAST = "video - best_2d"
_BY_FOLD = "The best 2D model on validation is that of each fold."


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The 2D model that 3D models are compared with, on one dataset at one percentage.

    Attributes:
        name: of the model that validation chose, or of those of the folds (``chosen_rival``).
        value: its AUROC on the test patients.
        better: the 2D model with the highest AUROC there, where that is another, or above that of the models
            of the folds.
        lead: of the better one, in AUROC; 0 where there is none.
    """

    dataset: str
    percent: int
    name: str
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
    means = _with_composed(study)
    rivals = []
    for dataset, percent, name in chosen[["dataset", "percent", "rival"]].to_numpy():
        here = means[(means["dataset"] == dataset) & (means["percent"] == percent)]
        values = dict(zip(here["model"], here["value"], strict=True))
        value = values[arm_model(name)]
        best = max(values, key=lambda model: values[model])
        lead = values[best] - value
        rivals.append(
            Rival(
                dataset=dataset,
                percent=int(percent),
                name=name,
                value=value,
                better=best if lead > 0 else None,
                lead=max(lead, 0.0),
            )
        )
    return sorted(rivals, key=lambda rival: (study.datasets.index(rival.dataset), rival.percent))


def _with_composed(study: StudyTables) -> pd.DataFrame:
    """Rows of the table "means", of AUROC, of all rivals: the candidates, and what folds compose of them."""
    means = study.means[study.means["metric"] == "auroc"]
    return pd.concat([candidates(means), means[means["model"] == COMPOSED]])


def rival_rows(study: StudyTables) -> pd.DataFrame:
    """Rows of the table "means", of AUROC, of the 2D models that validation chose; none without a choice.

    Returns:
        The rows with a column ``chosen``, the rival's name (``chosen_rival``).
    """
    means = _with_composed(study)
    names = {(one.dataset, one.percent, arm_model(one.name)): one.name for one in chosen_rivals(study)}
    keys = zip(means["dataset"], means["percent"].astype(int), means["model"], strict=True)
    chosen = pd.Series([names.get(key) for key in keys], index=means.index, dtype=object)
    return means.assign(chosen=chosen)[chosen.notna()]


def by_fold_note(rivals: Iterable[Rival]) -> str:
    """A sentence for figures with rivals that folds compose; empty without any."""
    return _BY_FOLD if any(is_composed(rival.name) for rival in rivals) else ""


def rival_titles(study: StudyTables, datasets: Collection[str]) -> str:
    """Titles of the 2D models that were chosen on some datasets, in the catalogue's order."""
    names = {rival.name for rival in chosen_rivals(study, datasets)}
    in_order = sorted(names, key=lambda name: [style.model_rank(model) for model in models_of(name)])
    return ("; " if any(map(is_composed, names)) else ", ").join(map(style.rival_title, in_order))


def rival_sentences(study: StudyTables, datasets: Collection[str]) -> str:
    """Which 2D models were chosen on some datasets, and where another did better on the test patients."""
    rivals = chosen_rivals(study, datasets)
    if not rivals:
        return ""
    places: dict[str, dict[str, list[str]]] = {}
    for rival in rivals:
        places.setdefault(rival.name, {}).setdefault(rival.dataset, []).append(str(rival.percent))
    chosen = [f"{style.rival_title(name)} ({_places(by_dataset)})" for name, by_dataset in places.items()]
    scans = "each fold's own validation scans" if any(map(is_composed, places)) else "validation"
    words = f"Against the 2D model that was best on {scans}: {listed(chosen)}."
    for composed, better_than in (
        (False, "another 2D model was better than the chosen one"),
        (True, "one 2D model in all folds was better than those chosen"),
    ):
        worse = [
            f"{style.model_title(rival.better)} on {rival.dataset} at {rival.percent} % (by {rival.lead:.3f})"
            for rival in rivals
            if rival.better and is_composed(rival.name) == composed
        ]
        if worse:
            words += f" On the test patients {better_than}: {listed(worse)}."
    return words


def _places(percents: dict[str, list[str]]) -> str:
    return "; ".join(f"{dataset}, {listed(shares)} %" for dataset, shares in percents.items())
