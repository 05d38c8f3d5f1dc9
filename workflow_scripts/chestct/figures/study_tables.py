"""The tables that figures, result tables and report are made of, and what in them is a stand-in."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.figures.style import init_rank, init_title, is_mean, model_rank, model_title
from chestct.tables import read_table

_GENERATED = {
    "video": "video pretraining on generated clips",
    "ct": "CT pretraining on phantom scans",
    "video_ct": "video, then CT pretraining on generated data",
    "imagenet": "ImageNet pretraining on generated images",
}


@dataclass(frozen=True, kw_only=True)
class StudyTables:
    """What the evaluation and the training of a study came to.

    Tables are named as their schemas; rows that carry a model come in the order of models, inits, percents.

    Attributes:
        datasets: names in the order of the configuration.
        metrics: a row a run and metric.
        means: a row an arm, averaged over seeds, and the means over models.
        comparisons: paired contrasts.
        claims: the paper's three claims.
        curves, calibration: ROC, precision-recall and reliability, at the largest percent.
        multipliers: label efficiency.
        coverage, power, permuted: what shows the intervals and tests valid.
        runs, histories: of the training.
        manifests: what the download step says of every dataset.
        confidence: of the intervals.
    """

    datasets: tuple[str, ...]
    metrics: pd.DataFrame
    means: pd.DataFrame
    comparisons: pd.DataFrame
    claims: pd.DataFrame
    curves: pd.DataFrame
    calibration: pd.DataFrame
    multipliers: pd.DataFrame
    coverage: pd.DataFrame
    power: pd.DataFrame
    permuted: pd.DataFrame
    runs: pd.DataFrame
    histories: pd.DataFrame
    manifests: dict[str, dict[str, Any]]
    confidence: float

    @property
    def percents(self) -> list[int]:
        """Shares of the training patients, ascending; the baseline's does not count."""
        return sorted(self.means.loc[self.means["model"] != "baseline", "percent"].astype(int).unique())


def read_study(
    *,
    metrics: str | Path,
    means: str | Path,
    comparisons: str | Path,
    claims: str | Path,
    curves: str | Path,
    calibration: str | Path,
    multipliers: str | Path,
    coverage: str | Path,
    power: str | Path,
    permuted: str | Path,
    runs: str | Path,
    histories: str | Path,
    manifests: Sequence[str | Path],
    datasets: Sequence[str],
    confidence: float,
) -> StudyTables:
    """Read the tables of a study.

    Args:
        metrics, means, comparisons, claims, curves, calibration, multipliers, coverage, power, permuted,
            runs, histories: tables of these names.
        manifests: manifest.json a dataset, in the order of ``datasets``.
        datasets: names.
        confidence: of the intervals in the tables.

    Raises:
        InputError: a table or manifest is missing or broken.
    """
    return StudyTables(
        datasets=tuple(datasets),
        metrics=_in_order(read_table(metrics, "metrics")),
        means=_in_order(read_table(means, "means")),
        comparisons=_in_order(read_table(comparisons, "comparisons")),
        claims=read_table(claims, "claims"),
        curves=_in_order(read_table(curves, "curves")),
        calibration=_in_order(read_table(calibration, "calibration")),
        multipliers=_in_order(read_table(multipliers, "multipliers")),
        coverage=read_table(coverage, "coverage"),
        power=read_table(power, "power"),
        permuted=_in_order(read_table(permuted, "permuted")),
        runs=read_table(runs, "runs"),
        histories=read_table(histories, "histories"),
        manifests=dict(zip(datasets, map(read_manifest, manifests), strict=True)),
        confidence=confidence,
    )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read what the download step says of a dataset.

    Raises:
        InputError: the file is no JSON object with the key stand_in.
    """
    try:
        manifest = json.loads(Path(path).read_text(encoding="utf-8"))
        manifest["stand_in"] = bool(manifest["stand_in"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"manifest of a dataset is not readable: {error!r}",
            where=path,
            expected="a JSON object with name, version, source, licence, citation, stand_in, description",
            remedy="delete the file and rerun the download step",
        ) from error
    return manifest


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    keys = pd.DataFrame({"model": table["model"].map(model_rank)})
    keys["init"] = table["init"].map(init_rank) if "init" in table else 0
    keys["percent"] = table["percent"]
    order = keys.sort_values(["model", "init", "percent"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def stand_in_note(study: StudyTables, datasets: Iterable[str], arms: Iterable[tuple[str, str]]) -> str:
    """One line that says which of the data behind a figure are generated; empty where none are.

    Args:
        study: tables of the study.
        datasets: those that the figure shows.
        arms: (model, init) that the figure shows; a mean stands for the study's models of the seven.
    """
    datasets = list(datasets)
    phantoms = [name for name in datasets if study.manifests[name]["stand_in"]]
    parts = []
    if phantoms:
        parts.append(
            "phantom scans" + ("" if len(phantoms) == len(datasets) else f" in {', '.join(phantoms)}")
        )
    wanted = _expand_means(study, arms)
    runs = study.runs[study.runs["dataset"].isin(datasets)]
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
    seven = [model for model in study.runs["model"].unique() if model in MODELS and MODELS[model].seven]
    expanded: set[tuple[str, str]] = set()
    for model, init in arms:
        expanded |= {(member, init) for member in seven} if is_mean(model) else {(model, init)}
    return expanded


def origin_of_weights(study: StudyTables) -> list[dict[str, Any]]:
    """For every init and model that starts from trained weights: from which, and whether on generated data.

    Returns:
        Dicts with init, models (titles), words, stand_in; one a distinct origin.
    """
    runs = study.runs[study.runs["init"] != "scratch"]
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
    """Origins that name the model itself ("lidc, slow_narrow scratch, 100 %") read alike for all models."""
    for model in sorted(MODELS, key=len, reverse=True):
        words = words.replace(f"{model} ", "")
    return words
