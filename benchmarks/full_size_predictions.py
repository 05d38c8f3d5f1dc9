"""Made-up predictions of a study of the paper's size: what evaluation, figures and report take their time on.

Two datasets, 52 arms (as many as 13 models with 4 inits: twelve 3D models with four, two 2D models with
two), 5 percents, 3 seeds, 1,100 test scans: 1,560 runs, 1.7 million rows of test scans, and 200 validation
scans a run beside them. Scores are drawn from a labelled Gaussian model that shares a scan's difficulty over
all runs.
"""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestct.catalogue import LONGER, MODELS
from chestct.tables import write_table

DATASETS = ("rspect", "lidc")
MODELS_3D = (
    "slow_r50", "slowfast_r50", "r2plus1d_r50", "csn_r101", "mvit_base_32x3", "swin3d_t", "penet", "x3d_m",
    "videomae_base", "i3d", "slow_r50_probe", "swin3d_t_probe",
)  # fmt: skip
MODELS_2D = ("resnet18", "resnext101_32x8d")
PERCENTS = (5, 10, 25, 50, 100)
SEEDS = (0, 1, 2)
NUM_SCANS = {"train": 2000, "validation": 200, "test": 1100}
SHARE_POSITIVE = 0.3
_GAIN = {"scratch": 0.0, "video": 0.3, "ct": 0.15, "video_ct": 0.35, "imagenet": 0.15}


class Inputs(NamedTuple):
    """Inputs of the evaluation of one dataset."""

    predictions: list[Path]
    cohort: Path
    splits: Path
    subsets: list[Path]
    acquisition: Path
    findings: Path
    runs: list[tuple[str, str, int, int]]


def inputs_of(folder: Path, dataset: str) -> Inputs:
    """Where ``write_full_size`` put the tables of a dataset."""
    subsets, models = folder / "subsets" / dataset, (*MODELS_3D, *MODELS_2D)
    return Inputs(
        predictions=[folder / "training" / dataset / model / "predictions.csv" for model in models],
        cohort=subsets / "cohort.csv",
        splits=subsets / "splits.csv",
        subsets=[
            subsets / f"percent-{percent}" / f"seed-{seed}" / "subset.csv"
            for percent, seed in product(PERCENTS, SEEDS)
        ],
        acquisition=folder / "volumes" / dataset / "acquisition.csv",
        findings=folder / "data" / dataset / "findings.csv",
        runs=[
            (model, init, percent, seed)
            for model in models
            for init, percent, seed in product(MODELS[model].inits, PERCENTS, SEEDS)
            if init not in LONGER  # so that measurements stay comparable
        ],
    )


def write_full_size(folder: Path, *, seed: int = 0) -> None:
    """Write the tables of all datasets; the seed decides every score."""
    for number, dataset in enumerate(DATASETS):
        _write_dataset(inputs_of(folder, dataset), dataset, np.random.default_rng([seed, number]))


def _write_dataset(inputs: Inputs, dataset: str, rng: np.random.Generator) -> None:
    split = np.repeat(list(NUM_SCANS), list(NUM_SCANS.values()))
    number = np.arange(len(split))
    splits = pd.DataFrame({
        "dataset": dataset,
        "patient_id": [f"{dataset}-{n:05d}" for n in number],
        # As long as the identifiers of real studies.
        "study_id": [f"1.2.826.0.1.3680043.8.498.{10**30 + int(n)}" for n in number],
        "label": (rng.random(len(split)) < SHARE_POSITIVE).astype(int),
        "fold": 0,
        "split": split,
    })  # fmt: skip
    cohort = splits[["dataset", "patient_id", "study_id", "label"]].assign(
        status="used", reason=None, baseline=np.nan, num_slices=200
    )
    write_table(cohort, inputs.cohort, "cohort")
    write_table(splits, inputs.splits, "splits")
    _write_facts(inputs, splits, rng)
    columns = ["dataset", "fold", "split", "patient_id", "study_id"]
    train, held_out = (splits.loc[splits["split"] == name, columns] for name in ("train", "validation"))
    for path, (percent, seed) in zip(inputs.subsets, product(PERCENTS, SEEDS), strict=True):
        taken = train.head(len(train) * percent // 100)
        write_table(pd.concat([taken, held_out]).assign(percent=percent, seed=seed), path, "subset")
    scored = splits[splits["split"] != "train"].reset_index(drop=True)
    difficulty = rng.normal(size=len(scored))
    for path in inputs.predictions:
        tables = [
            scored.assign(
                model=model, init=init, percent=percent, seed=seed, num_windows=12,
                top_start=16, top_stop=48, top_marked=rng.integers(2, size=len(scored)), num_marked_windows=3,
                score=_scores(scored["label"].to_numpy(), difficulty, init, percent, rng),
            )
            for model, init, percent, seed in inputs.runs
            if model == path.parent.name
        ]  # fmt: skip
        write_table(pd.concat(tables), path, "predictions")


def _write_facts(inputs: Inputs, splits: pd.DataFrame, rng: np.random.Generator) -> None:
    size, positive = len(splits), splits["label"] == 1
    facts = splits[["dataset", "patient_id", "study_id"]].assign(
        manufacturer=rng.choice(["GE", "SIEMENS", "PHILIPS", "TOSHIBA"], size),
        scanner_model=[f"MODEL {number}" for number in rng.integers(20, size=size)],
        kernel=[f"K{number}" for number in rng.integers(10, size=size)],
        slice_thickness_mm=rng.choice([1.25, 2.0, 5.0], size),
        spacing_z_mm=rng.choice([1.0, 2.0, 5.0], size),
        pixel_mm=rng.uniform(0.5, 0.9, size),
        num_slices=rng.integers(80, 500, size),
        contrast=1,
        age_years=rng.integers(20, 90, size),
        sex=rng.choice(["F", "M"], size),
    )
    found = splits.loc[positive, ["study_id"]].assign(diameter_mm=np.nan)
    for name in ("central_pe", "chronic_pe", "right_heart_strain"):
        found[name] = rng.integers(2, size=len(found))
    write_table(facts, inputs.acquisition, "acquisition")
    write_table(found, inputs.findings, "findings")


def _scores(
    labels: np.ndarray, difficulty: np.ndarray, init: str, percent: int, rng: np.random.Generator
) -> np.ndarray:
    skill = 1.2 + _GAIN[init] + 0.5 * np.log10(percent / 100)
    logit = skill * (labels - 0.5) + 0.7 * difficulty + 0.7 * rng.normal(size=len(labels)) - 0.8
    return np.round(1 / (1 + np.exp(-logit)), 6)
