"""Synthetic studies with all tables and manifests that figures, result tables and report read.

Predictions are drawn from a model (``synthetic_predictions``) and evaluated by the evaluation step itself, so
that the numbers agree with one another.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from evaluated import evaluate
from synthetic_files import histories_table, run_row, write_data_manifest, write_ledger, write_manifest
from synthetic_predictions import write_study

from chestct.catalogue import MODELS
from chestct.evaluation.metric_table import METRICS
from chestct.figures.names import TABLES
from chestct.run import RUN_KEYS, Run
from chestct.tables import read_table, write_table

INITS = ["scratch", "video", "ct", "imagenet"]
NARROW = [
    name for name in MODELS if name.endswith("_narrow") and name not in ("videomae_narrow", "dinov2_narrow")
]
FORMS = ["efficientnet_lite0_slices", "lrcn_efficientnet_lite0_scan"]
#: Models of the default study; of the paper's, with its frozen probes; thirteen at full size.
DEFAULT = [*NARROW, "i3d", "efficientnet_lite0", "lrcn_efficientnet_lite0", *FORMS]
SEVEN = [name for name, entry in MODELS.items() if entry.seven and name not in NARROW]
TWO_D = ["resnet18", "resnext101_32x8d", "lrcn_resnext101_32x8d"]
TODAY = ["resnet18_slices", "resnext101_32x8d_slices", "lrcn_resnext101_32x8d_scan", "dinov2_small"]
PROBES = [f"{name}_probe" for name in SEVEN]
PAPER = [*SEVEN, *TWO_D, *TODAY, *PROBES]
THIRTEEN = [*SEVEN, "x3d_m", "videomae_base", "i3d", *TWO_D]


@dataclass(frozen=True)
class Study:
    """A study's folder of results, in the workflow's layout, and its data folder."""

    folder: Path
    datasets: list[str]

    def table(self, name: str) -> Path:
        """A table of the evaluation or the training."""
        return self.folder / TABLES.get(name, "training") / f"{name}.csv"

    def of_datasets(self, step: str, name: str) -> list[Path]:
        """A file a dataset."""
        return [self.folder / step / dataset / name for dataset in self.datasets]

    @property
    def inputs(self) -> dict:
        """Arguments of ``read_study``."""
        return {name: self.table(name) for name in TABLES} | {
            "manifests": self.of_datasets("data", "manifest.json"),
            "datasets": self.datasets,
            "confidence": 0.95,
        }

    @property
    def flow_inputs(self) -> dict:
        """Arguments of ``plot_flow`` but for where and how to write."""
        return {
            "datasets": self.datasets,
            "cohorts": self.of_datasets("subsets", "cohort.csv"),
            "splits": self.of_datasets("subsets", "splits.csv"),
            "ledgers": self.of_datasets("volumes", "ledger.csv"),
            "manifests": self.of_datasets("data", "manifest.json"),
        }

    @property
    def quality_inputs(self) -> dict:
        """Arguments of ``plot_quality`` but for where and how to write."""
        return {
            "datasets": self.datasets,
            "indexes": self.of_datasets("volumes", "index.csv"),
            "ledgers": self.of_datasets("volumes", "ledger.csv"),
            "manifests": self.of_datasets("data", "manifest.json"),
        }


def _options(kind: str) -> tuple[dict[str, dict], list[str], list[str], list[int], list[int], int]:
    """Datasets, models, inits, percents, seeds, validations a run."""
    untrained = [(probe, init) for probe in PROBES for init in ("scratch", "video_ct")]
    unstarted = [(name, "scratch") for name in FORMS]
    phantoms = {
        "rspect_phantom": {"num_patients": 200, "without": ["ct", "video_ct", *unstarted]},
        "lidc_phantom": {"num_patients": 200, "without": unstarted},
    }
    small = {"lidc_phantom": {"num_patients": 40}}
    real = {
        "rspect_pulmonary_embolism": {"num_patients": 200, "without": ["ct", "video_ct", *untrained]},
        "lidc_idri_nodules_three_readers": {"num_patients": 100, "without": untrained},
    }
    nodules = {"real_nodules": {"num_patients": 93, "folds": 5, "baseline": True}}
    trio = ["slow_narrow", "i3d", "efficientnet_lite0"]
    longer = ["slow_narrow", "penet_narrow", "efficientnet_lite0"]
    five = [1, 10, 25, 50, 100]
    return {
        "default": (phantoms, DEFAULT, INITS, [10, 100], [0], 3),
        "seeds": (phantoms, DEFAULT, INITS, [10, 100], [0, 1, 2], 3),
        "full": (real, THIRTEEN, [*INITS, "video_ct"], five, [0, 1], 25),
        "paper": (real, PAPER, [*INITS, "video_ct"], five, [0], 25),
        "own_data": (nodules, ["i3d"], INITS[:2], [100], [0], 4),
        "smoke": (small, trio, ["scratch", "video", "imagenet"], [50, 100], [0], 2),
        "bare": (small, ["efficientnet_lite0"], ["scratch"], [100], [0], 1),
        "extras": (small, ["x3d_narrow", "i3d"], ["scratch", "video"], [100], [0], 2),
        "longer": (small, longer, ["scratch", "scratch_long", "video", "imagenet"], [50, 100], [0, 1], 4),
    }[kind]


def make_study(kind: str, folder: Path, *, num_resamples: int = 100) -> Study:
    """Write a study of a kind.

    Args:
        kind: default (one seed); seeds (the same with three); paper (frozen probes, long names of datasets);
            full (thirteen models, four or five inits); own_data (one model, five folds, a baseline); smoke;
            bare (one arm); extras (X3D and I3D, none of the seven); longer (two models of the seven and a 2D
            model, also trained longer from scratch, two seeds).
        folder: where to write.
        num_resamples: of the bootstrap.
    """
    datasets, models, inits, percents, seeds, num_validations = _options(kind)
    files = write_study(folder, datasets, models, inits, percents, seeds)
    # Figures of probes, and the curves that leave them out, show AUROC alone.
    measured = ["auroc"] if kind == "paper" else list(METRICS)
    metrics = evaluate(
        files, folder / "evaluation", metrics=measured, num_resamples=num_resamples, num_simulations=20
    )["metrics"]
    auroc = metrics[metrics["metric"] == "auroc"].set_index(RUN_KEYS[:-1])
    rows = []
    for dataset in datasets:
        write_manifest(folder, dataset)
        write_ledger(folder, dataset, read_table(files.cohorts[dataset], "cohort"))
        splits = read_table(files.splits[dataset], "splits")
        num_train = int((splits["split"] == "train").groupby(splits["fold"]).sum().mean())
        for key, fold in product(files.runs[dataset], splits["fold"].unique()):
            value = float(auroc.loc[(dataset, *key), "value"])
            run = Run(**dict(zip(RUN_KEYS, (dataset, *key, int(fold)), strict=True)))
            rows.append(run_row(run, num_train=num_train, auroc=value))
    write_data_manifest(folder)
    study, runs = Study(folder, list(datasets)), pd.DataFrame(rows)
    histories = histories_table(runs, num_validations, np.random.default_rng(7))
    best = histories.loc[histories.groupby(RUN_KEYS, sort=False)["validation_auroc"].idxmax()]
    for column in ("step", "windows_seen"):
        runs[f"best_{column}"] = best[column].where(runs["learning_rate"].notna().to_numpy()).to_numpy()
    write_table(runs, study.table("runs"), "runs")
    write_table(histories, study.table("histories"), "histories")
    if len(percents) == 5:
        write_table(_trials(runs), study.table("trials"), "choices")
    return study


def _trials(runs: pd.DataFrame) -> pd.DataFrame:
    """The learning rates tried on the first seed at the largest percent, of which 0.001 is taken."""
    tried = runs[(runs["percent"] == 100) & (runs["seed"] == 0) & runs["learning_rate"].notna()]
    parts = [
        tried[[*RUN_KEYS, "num_steps", "windows_seen", "seconds", "final_weights_sha256"]].assign(
            learning_rate=rate,
            validation_auroc=tried["validation_auroc"] - 0.02 * abs(np.log10(rate) + 3),
            validation_loss=0.6,
            chosen=int(rate == 0.001),
        )
        for rate in (0.01, 0.001, 0.0001, 0.00001)
    ]
    return pd.concat(parts, ignore_index=True)
