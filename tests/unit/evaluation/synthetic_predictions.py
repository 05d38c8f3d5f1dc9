"""Predictions of a synthetic study, in the tables that the evaluation reads.

Scores are drawn from a labelled Gaussian model; how well an arm does is decided by its model, init and
percent, and scans share a difficulty over all arms, as predictions of real models do.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from chestct.catalogue import MODELS
from chestct.tables import write_table

_GAIN = {"scratch": 0.0, "scratch_long": 0.2, "video": 0.5, "ct": 0.25, "video_ct": 0.6, "imagenet": 0.3}


@dataclass(frozen=True)
class StudyFiles:
    """Inputs of ``evaluate_dataset``, of all datasets; lists by dataset."""

    models: list[str]
    predictions: dict[str, list[Path]]
    cohorts: dict[str, Path]
    splits: dict[str, Path]
    subsets: dict[str, list[Path]]
    acquisition: dict[str, Path]
    findings: dict[str, Path]
    runs: dict[str, list[tuple[str, str, int, int]]]


def write_dataset(
    folder: Path,
    dataset: str,
    *,
    num_patients: int,
    scans_a_patient: int = 1,
    folds: int = 1,
    baseline: bool = False,
) -> tuple[Path, Path, pd.DataFrame]:
    """Write cohort.csv and splits.csv of a dataset; return their paths and the splits."""
    rng = _rng(dataset)
    scans = product(range(num_patients), range(scans_a_patient), range(folds))
    number, scan, fold = np.array(list(scans)).T
    part = number % 10
    # Five patients in turn hold both labels.
    tested = number // 5 % folds == fold if folds > 1 else part >= 5
    splits = pd.DataFrame(
        {
            "dataset": dataset,
            "patient_id": [f"P{i:04d}" for i in number],
            "study_id": [f"{dataset}-{i:04d}-{j}" for i, j in zip(number, scan, strict=True)],
            "label": (number % 5 < 2).astype(int),
            "fold": fold,
            "split": np.where(tested, "test", np.where(np.isin(part, (1, 4)), "validation", "train")),
        }
    )
    cohort = splits.drop_duplicates("study_id")[["dataset", "patient_id", "study_id", "label"]].copy()
    cohort["status"] = "used"
    cohort["reason"] = pd.NA
    cohort["baseline"] = cohort["label"] * 900.0 + rng.normal(1500, 800, len(cohort)) if baseline else np.nan
    cohort["num_slices"] = 32
    excluded = cohort.head(3).assign(
        study_id=[f"{dataset}-excluded-{i}" for i in range(3)],
        label=pd.NA,
        status="excluded",
        reason=["indeterminate", "indeterminate", "refused: missing_slices"],
        baseline=np.nan,
    )
    paths = folder / "subsets" / dataset / "cohort.csv", folder / "subsets" / dataset / "splits.csv"
    write_table(pd.concat([cohort, excluded]).astype({"label": "Int64"}), paths[0], "cohort")
    write_table(splits, paths[1], "splits")
    return *paths, splits


def write_predictions(
    folder: Path,
    splits: pd.DataFrame,
    model: str,
    inits: Iterable[str],
    percents: Sequence[int],
    seeds: Sequence[int] = (0,),
) -> Path:
    """Write the predictions table of one dataset and model; return its path."""
    dataset = str(splits["dataset"].iloc[0])
    held_out = splits[splits["split"] != "train"].reset_index(drop=True)
    labels = held_out["label"].to_numpy()
    difficulty = _rng(dataset).normal(size=len(held_out))
    runs = list(product(inits, percents, seeds))
    parts: dict[str, list[np.ndarray]] = {}
    for init, percent, seed in runs:
        rng = _rng(f"{dataset} {model} {init} {percent} {seed}")
        skill = 1.3 + _GAIN[init] + 0.7 * np.log10(percent / 100) + 0.4 * _rng(model).random()
        noise = 0.6 * difficulty + 0.8 * rng.normal(size=len(held_out))
        score = 1 / (1 + np.exp(-(skill * (labels - 0.5) + noise)))
        for name, values in {"score": score.round(3), **_windows(rng, labels)}.items():
            parts.setdefault(name, []).append(values)
    of_run = np.repeat(np.arange(len(runs)), len(held_out))
    columns = {
        name: np.array(values)[of_run]
        for name, values in zip(("init", "percent", "seed"), zip(*runs, strict=True), strict=True)
    }
    columns |= {name: np.concatenate(values) for name, values in parts.items()}
    table = pd.concat([held_out] * len(runs), ignore_index=True)
    path = folder / "training" / dataset / model / "predictions.csv"
    write_table(table.assign(model=model, num_windows=4, **columns), path, "predictions")
    return path


def _windows(rng: np.random.Generator, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Four windows a scan, one of them marked in positive scans: the highest-scoring one in two of three."""
    positive = labels == 1
    start = 8 * rng.integers(4, size=len(labels))
    return {
        "top_start": start,
        "top_stop": start + 16,
        "top_marked": (positive & (rng.random(len(labels)) < 2 / 3)).astype(int),
        "num_marked_windows": positive.astype(int),
    }


def write_subsets(
    folder: Path, splits: pd.DataFrame, percents: Sequence[int], seeds: Sequence[int]
) -> list[Path]:
    """Write the subsets of a dataset, with its first training patients; return their paths."""
    dataset = str(splits["dataset"].iloc[0])
    train = splits[splits["split"] == "train"]
    paths = []
    for percent, seed in product(percents, seeds):
        parts = [splits[splits["split"] == "validation"]]
        for _, rows in train.groupby("fold"):
            patients = rows["patient_id"].unique()
            taken = patients[: max(1, round(len(patients) * percent / 100))]
            parts.append(rows[rows["patient_id"].isin(taken)])
        table = pd.concat(parts)[["dataset", "fold", "split", "patient_id", "study_id"]]
        path = folder / "subsets" / dataset / f"percent-{percent}" / f"seed-{seed}" / "subset.csv"
        write_table(table.assign(percent=percent, seed=seed), path, "subset")
        paths.append(path)
    return paths


def write_facts(folder: Path, splits: pd.DataFrame) -> tuple[Path, Path]:
    """Write acquisition.csv and findings.csv of a dataset; some of it goes with the label a little."""
    scans = splits.drop_duplicates("study_id").reset_index(drop=True)
    dataset, size, positive = str(scans["dataset"].iloc[0]), len(scans), scans["label"] == 1
    rng = _rng(f"{dataset} facts")
    north = rng.random(size) < np.where(positive, 0.65, 0.4)
    facts = scans[["dataset", "patient_id", "study_id"]].assign(
        manufacturer=np.where(north, "NORTH", "SOUTH"),
        scanner_model=rng.choice(["ONE", "TWO"], size),
        kernel=rng.choice(["SOFT", "SHARP"], size),
        slice_thickness_mm=rng.choice([1.25, 2.0, 5.0], size),
        spacing_z_mm=rng.choice([1.0, 2.0], size),
        pixel_mm=0.7,
        num_slices=rng.integers(80, 300, size),
        contrast=pd.NA,
        age_years=pd.array(np.clip(rng.normal(60 + 4 * positive, 12), 20, 90).astype(int), dtype="Int64"),
        sex=rng.choice(["F", "M"], size),
    )
    facts.loc[rng.random(size) < 0.1, ["age_years", "sex"]] = pd.NA
    found = scans.loc[positive, ["study_id"]].assign(
        central_pe=pd.NA, chronic_pe=pd.NA, right_heart_strain=pd.NA
    )
    found["diameter_mm"] = rng.uniform(4, 14, len(found))
    paths = folder / "volumes" / dataset / "acquisition.csv", folder / "data" / dataset / "findings.csv"
    write_table(facts, paths[0], "acquisition")
    write_table(found, paths[1], "findings")
    return paths


def write_study(
    folder: Path,
    datasets: dict[str, dict],
    models: Sequence[str],
    inits: Sequence[str],
    percents: Sequence[int],
    seeds: Sequence[int] = (0,),
) -> StudyFiles:
    """Write a whole study: every model with those of the inits that it has.

    Options of a dataset are those of ``write_dataset`` and ``without``, its absent inits or (model, init).
    """
    files = StudyFiles(list(models), {}, {}, {}, {}, {}, {}, {})
    for dataset, options in datasets.items():
        options = dict(options)
        without = options.pop("without", ())
        files.cohorts[dataset], files.splits[dataset], splits = write_dataset(folder, dataset, **options)
        files.acquisition[dataset], files.findings[dataset] = write_facts(folder, splits)
        files.subsets[dataset] = write_subsets(folder, splits, percents, seeds)
        files.predictions[dataset], files.runs[dataset] = [], []
        for model in models:
            own = [
                init
                for init in inits
                if init in MODELS[model].inits and not {init, (model, init)} & {*without}
            ]
            files.predictions[dataset].append(write_predictions(folder, splits, model, own, percents, seeds))
            files.runs[dataset].extend(product([model], own, percents, seeds))
    return files


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
