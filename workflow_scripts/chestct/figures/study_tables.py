"""The tables of a study that figures and report show, and which of its data are stand-ins."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.catalogue import LONGER, MODELS
from chestct.chosen_rival import COMPOSED
from chestct.claimed_models import claimed_models
from chestct.errors import InputError
from chestct.figures.names import SCHEMAS, TABLES
from chestct.figures.style import init_rank, init_title, is_mean, model_rank, model_title, rival_title
from chestct.intensity import DISPLAY
from chestct.records import read_recorded
from chestct.simple_rivals import BASELINE
from chestct.tables import read_table

#: Tables that are sorted by model, init and percentage.
_ORDERED = (
    *("metrics", "means", "comparisons", "curves", "calibration", "multipliers", "permuted", "same_arm"),
    "localisation",
)

_GENERATED = {
    "video": "video pretraining on generated clips",
    "ct": "CT pretraining on phantom scans",
    "video_ct": "video, then CT pretraining on generated data",
    "imagenet": "ImageNet pretraining on generated images",
}


@dataclass(frozen=True, kw_only=True)
class StudyTables:
    """The tables of a study's evaluation and training.

    Tables are named after their schemas. Evaluation tables with a column "model" are sorted by model, init
    and percentage.

    Attributes:
        datasets: names in the order of the configuration, then of the test sets outside the training set.
        metrics: one row per run and metric.
        means: one row per arm, averaged over seeds, and the means over models.
        comparisons: paired contrasts.
        claims: the paper's three claims.
        claims_by_dataset: the same on every dataset and test set alone; they decide nothing.
        curves, calibration: ROC, precision-recall and reliability curves, at the largest percentage.
        multipliers: label efficiency.
        coverage, power, permuted, same_arm: checks of the intervals and tests.
        subgroups: AUROC by group of test scans.
        localisation: whether the highest-scoring window lies on the finding.
        failures, examples: the scans that a good run gets most wrong, and those that stand for an outcome.
        runs, histories: of the training.
        manifests: the download step's description of every dataset.
        confidence: of the intervals.
        outside: by the name of a test set outside the training set, the dataset whose models were tested and
            the one whose scans they scored.
    """

    datasets: tuple[str, ...]
    metrics: pd.DataFrame
    means: pd.DataFrame
    comparisons: pd.DataFrame
    claims: pd.DataFrame
    claims_by_dataset: pd.DataFrame
    curves: pd.DataFrame
    calibration: pd.DataFrame
    multipliers: pd.DataFrame
    coverage: pd.DataFrame
    power: pd.DataFrame
    permuted: pd.DataFrame
    same_arm: pd.DataFrame
    subgroups: pd.DataFrame
    localisation: pd.DataFrame
    failures: pd.DataFrame
    examples: pd.DataFrame
    runs: pd.DataFrame
    histories: pd.DataFrame
    manifests: dict[str, dict[str, Any]]
    confidence: float
    outside: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def scanned(self) -> list[str]:
        """The datasets themselves, which have a cohort and splits of their own."""
        return [name for name in self.datasets if name not in self.outside]

    def trained_on(self, dataset: str) -> str:
        """The dataset whose models scored a test set: the test set's own, unless it lies outside."""
        return self.outside[dataset][0] if dataset in self.outside else dataset

    def scans_from(self, dataset: str) -> str:
        """The dataset whose scans make up a test set: its own, unless it lies outside."""
        return self.outside[dataset][1] if dataset in self.outside else dataset

    @property
    def percents(self) -> list[int]:
        """Percentages of the training patients, ascending, without that of the baseline."""
        return sorted(self.means.loc[self.means["model"] != BASELINE, "percent"].astype(int).unique())

    def model_title(self, model: str, datasets: Iterable[str]) -> str:
        """Name of a model, of a mean or of a score without a network, as these datasets call it.

        The score that a dataset brings may have a name there, such as "Volume alone".
        """
        if model != BASELINE:
            return model_title(model)
        names = {self.manifests[name].get("baseline_title") for name in datasets}
        return str(names.pop()) if len(names) == 1 and None not in names else model_title(model)

    def rival_title(self, rival: str, dataset: str) -> str:
        """Name of whom a contrast is against (``style.rival_title``), as the dataset calls it."""
        return self.model_title(rival, [dataset]) if rival == BASELINE else rival_title(rival)

    def model_titles(self, rows: pd.DataFrame) -> list[str]:
        """``model_title`` of every row of a table with the columns dataset and model."""
        return [
            self.model_title(str(model), [str(dataset)])
            for dataset, model in zip(rows["dataset"], rows["model"], strict=True)
        ]

    @property
    def of_display_values(self) -> list[str]:
        """The datasets whose images hold display values (0 to 255) in the place of Hounsfield units."""
        return [name for name in self.scanned if self.manifests[name].get("intensity") == DISPLAY]

    @property
    def display_note(self) -> str:
        """A sentence on the datasets ``of_display_values``; empty without any."""
        names = self.of_display_values
        whose = "All images" if len(names) == len(self.scanned) else f"Images of {', '.join(names)}"
        return f"{whose} are display values, not HU." if names else ""


def read_study(
    *,
    manifests: Sequence[str | Path],
    datasets: Sequence[str],
    confidence: float,
    outside: Mapping[str, Sequence[str]] | None = None,
    **paths: str | Path,
) -> StudyTables:
    """Read the tables of a study.

    Args:
        manifests: manifest.json of every dataset, in the order of ``datasets``.
        datasets: names.
        confidence: of the intervals in the tables.
        outside: by the name of a test set outside the training set, the dataset whose models were tested and
            the one whose scans they scored.
        paths: of every table in ``names.TABLES``, by name.

    Raises:
        InputError: a table or manifest is missing or broken.
    """
    tables = {name: read_table(paths[name], SCHEMAS.get(name, name)) for name in TABLES}
    return StudyTables(
        **{name: _in_order(table) if name in _ORDERED else table for name, table in tables.items()},
        datasets=tuple(datasets),
        manifests=dict(zip(datasets, map(read_manifest, manifests), strict=True)),
        confidence=confidence,
        outside={name: (trained, tested) for name, (trained, tested) in (outside or {}).items()},
    )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read the download step's description of a dataset.

    Raises:
        InputError: the file is not a JSON object with the key stand_in.
    """
    try:
        manifest = json.loads(read_recorded(path))
        manifest["stand_in"] = bool(manifest["stand_in"])
    except InputError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the manifest of a dataset cannot be read: {error!r}",
            where=path,
            expected="a JSON object with name, version, source, licence, citation, stand_in, description",
            remedy=f"let the download step write it again: snakemake --cores all --forcerun {path}",
        ) from error
    return manifest


def phantoms_of(datasets: Iterable[str], manifests: Iterable[str | Path]) -> list[str]:
    """The datasets whose scans are phantoms.

    Args:
        datasets: names.
        manifests: of the datasets, in their order.

    Raises:
        InputError: as ``read_manifest``.
    """
    return [name for name, path in zip(datasets, manifests, strict=True) if read_manifest(path)["stand_in"]]


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    keys = pd.DataFrame({"model": table["model"].map(model_rank)})
    keys["init"] = table["init"].map(init_rank) if "init" in table else 0
    keys["percent"] = table["percent"]
    order = keys.sort_values(["model", "init", "percent"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def are_means(rows: pd.DataFrame) -> pd.Series:
    """Whether each row's model stands for a mean over models."""
    return rows["model"].map(is_mean).astype(bool)


def stand_in_note(study: StudyTables, datasets: Iterable[str], arms: Iterable[tuple[str, str]]) -> str:
    """One line that names the generated data behind a figure; empty if there are none.

    Args:
        study: tables of the study.
        datasets: those that the figure shows.
        arms: (model, init) that the figure shows; a mean stands for the claimed models, and the folds' best
            2D model for all 2D models.
    """
    datasets = list(datasets)
    phantoms = [name for name in datasets if study.manifests[name]["stand_in"]]
    parts = []
    if phantoms:
        parts.append(
            "phantom scans" + ("" if len(phantoms) == len(datasets) else f" in {', '.join(phantoms)}")
        )
    wanted = _expand_means(study, arms)
    trained = [study.trained_on(name) for name in datasets]
    runs = study.runs[study.runs["dataset"].isin(trained)]
    for init in _GENERATED:
        generated, real = [], {}
        for model, rows in runs[runs["init"] == init].groupby("model", sort=False):
            if (model, init) not in wanted:
                continue
            if (rows["initial_stand_in"] == 1).any():
                generated.append(model)
            else:
                words = rows["initial_weights"].dropna().astype(str)
                real[str(model)] = words.iloc[0].split(" (")[0] if len(words) else "real weights"
        if generated:
            exceptions = ", ".join(f"{model_title(model)}: {words}" for model, words in real.items())
            parts.append(_GENERATED[init] + (f", except {exceptions}" if real else ""))
    note = "; ".join(parts)
    return f"Stand-in data: {note}." if note else ""


def _expand_means(study: StudyTables, arms: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    claimed = claimed_models(study.runs["model"])
    two_d = [model for model in study.runs["model"].unique() if MODELS[model].family == "2d"]
    expanded: set[tuple[str, str]] = set()
    for model, init in arms:
        members = claimed if is_mean(model) else two_d if model == COMPOSED else [model]
        expanded |= {(member, init) for member in members}
    return expanded


def origin_of_weights(study: StudyTables) -> list[dict[str, Any]]:
    """The origin of the starting weights of every pretrained init and model.

    Returns:
        One dict per distinct origin: init, models (titles), words, stand_in.
    """
    runs = study.runs[~study.runs["init"].isin(["scratch", *LONGER])]
    origins: dict[tuple[str, str, bool], list[str]] = {}
    for (model, init), rows in runs.groupby(["model", "init"], sort=False):
        stand_in = bool((rows["initial_stand_in"] == 1).any())
        source = MODELS[str(model)].features_from
        if source is not None:
            words = f"this study's {model_title(source)} of the same arm, for its features"
        else:
            words = "; ".join(
                dict.fromkeys(_without_model(text) for text in rows["initial_weights"].dropna())
            )
        origins.setdefault((str(init), words, stand_in), []).append(model_title(str(model)))
    ordered = sorted(origins.items(), key=lambda item: (init_rank(item[0][0]), not item[0][2]))
    return [
        {"init": init_title(init), "models": models, "words": words, "stand_in": stand_in}
        for (init, words, stand_in), models in ordered
    ]


def _without_model(words: str) -> str:
    """Drop model names ("lidc, slow_narrow scratch, 100 %"), so that all models share one wording."""
    for model in sorted(MODELS, key=len, reverse=True):
        words = words.replace(f"{model} ", "")
    return words
