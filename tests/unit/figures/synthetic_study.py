"""Made-up studies with all tables and manifests that figures, result tables and report read.

The numbers are drawn from a model of an evaluated study (``synthetic_evaluation``), so that they agree with
one another; nothing of the evaluation step is needed.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from synthetic_claims import claims_rows, multipliers_rows
from synthetic_details import (
    calibration_table,
    coverage_table,
    curves_table,
    histories_table,
    permuted_table,
    power_table,
)
from synthetic_evaluation import (
    Sample,
    adjust,
    comparisons_rows,
    make_sample,
    means_rows,
    metrics_rows,
)
from synthetic_files import run_row, write_cohort, write_data_manifest, write_manifest

from chestct.catalogue import MODELS
from chestct.figures.captions import TABLES
from chestct.tables import column_types, write_table

INITS = ["scratch", "video", "ct", "imagenet"]
NARROW = [name for name in MODELS if name.endswith("_narrow") and name != "videomae_narrow"]
#: Models of the default study; of the paper's, with its frozen probes; thirteen at full size.
DEFAULT = [*NARROW, "i3d", "efficientnet_lite0", "lrcn_efficientnet_lite0"]
SEVEN = [name for name, entry in MODELS.items() if entry.seven and name not in NARROW]
TWO_D = ["resnet18", "resnext101_32x8d", "lrcn_resnext101_32x8d"]
PAPER = [*SEVEN, *TWO_D, *(f"{name}_probe" for name in SEVEN)]
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
    without_ct = ("ct", "video_ct")
    phantoms = {
        "rspect_phantom": {"num_patients": 300, "without": without_ct},
        "lidc_phantom": {"num_patients": 300},
    }
    small = {"lidc_phantom": {"num_patients": 40}}
    real = {
        "rspect_pulmonary_embolism": {"num_patients": 7000, "without": without_ct},
        "lidc_idri_nodules_three_readers": {"num_patients": 1010},
    }
    nodules = {"real_nodules": {"num_patients": 93, "folds": 5, "baseline": True}}
    trio = ["slow_narrow", "i3d", "efficientnet_lite0"]
    five = [1, 10, 25, 50, 100]
    return {
        "default": (phantoms, DEFAULT, INITS, [10, 100], [0], 3),
        "full": (real, THIRTEEN, [*INITS, "video_ct"], five, [0, 1, 2], 25),
        "paper": (real, PAPER, [*INITS, "video_ct"], five, [0, 1, 2], 25),
        "own_data": (nodules, ["i3d"], INITS[:2], [100], [0], 4),
        "smoke": (small, trio, ["scratch", "video", "imagenet"], [50, 100], [0], 2),
        "bare": (small, ["efficientnet_lite0"], ["scratch"], [100], [0], 1),
        "extras": (small, ["x3d_narrow", "i3d"], ["scratch", "video"], [100], [0], 2),
    }[kind]


def make_study(kind: str, folder: Path, *, num_resamples: int = 200) -> Study:
    """Write a study of a kind.

    Args:
        kind: default; paper (as its configuration has it, long names of datasets); full (thirteen models,
            four or five inits); own_data (one model, five folds, a baseline); smoke; bare (one arm);
            extras (X3D and I3D, none of the seven).
        folder: where to write.
        num_resamples: of the draws behind all intervals.
    """
    datasets, models, inits, percents, seeds, num_validations = _options(kind)
    rng = np.random.default_rng(7)
    samples, runs = [], []
    for dataset, options in datasets.items():
        settings = dict(options)
        without = settings.pop("without", ())
        splits = write_cohort(folder, dataset, **settings)
        write_manifest(folder, dataset)
        arms = [
            (model, init, percent)
            for model in models
            for init in inits
            if init in MODELS[model].inits and init not in without and _trained(model, init)
            for percent in percents
        ]
        if options.get("baseline"):
            arms.append(("baseline", "none", 100))
        sample = _sample(dataset, splits, arms, seeds, num_resamples, rng)
        samples.append(sample)
        folds = splits["fold"].unique()
        for (model, init, percent, seed), fold in product(sample.draws, folds):
            if model != "baseline":
                auroc = min(0.995, float(sample.draws[model, init, percent, seed][0]) + 0.01)
                key = (dataset, model, init, percent, seed, int(fold))
                runs.append(run_row(*key, num_train=sample.num_train, auroc=auroc))
    write_data_manifest(folder)
    study = Study(folder, list(datasets))
    tables = _tables(samples, pd.DataFrame(runs), num_validations, rng)
    for name, table in tables.items():
        write_table(table, study.table(name), name)
    if len(percents) == 5:
        write_table(_trials(tables["runs"]), study.table("trials"), "choices")
    return study


def _trained(model: str, init: str) -> bool:
    """Frozen probes read pretrained features."""
    return not MODELS[model].frozen or init in ("video", "ct")


def _sample(
    dataset: str,
    splits: pd.DataFrame,
    arms: list[tuple[str, str, int]],
    seeds: list[int],
    num_resamples: int,
    rng: np.random.Generator,
) -> Sample:
    tested = splits[splits["split"] == "test"]
    in_training = (splits["split"] == "train").groupby(splits["fold"]).sum()
    return make_sample(
        dataset,
        num_train=int(in_training.mean()),
        num_scans=len(tested),
        num_positive=int(tested["label"].sum()),
        arms=arms,
        seeds=seeds,
        num_resamples=num_resamples,
        rng=rng,
    )


def _tables(
    samples: list[Sample], runs: pd.DataFrame, num_validations: int, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    means = pd.DataFrame([row for sample in samples for row in means_rows(sample, rng)])
    comparisons = [row for sample in samples for row in comparisons_rows(sample, rng)]
    columns = [name for name in column_types("comparisons") if name != "p_holm"]
    compared = adjust(pd.DataFrame(comparisons, columns=columns))
    multipliers = [row for sample in samples for row in multipliers_rows(sample)]
    return {
        "metrics": pd.DataFrame([row for sample in samples for row in metrics_rows(sample)]),
        "means": means,
        "comparisons": compared,
        "claims": pd.DataFrame(claims_rows(samples, rng)),
        "curves": curves_table(means),
        "calibration": calibration_table(means),
        "multipliers": pd.DataFrame(multipliers, columns=list(column_types("multipliers"))),
        "coverage": coverage_table(samples, rng),
        "power": power_table(compared, samples),
        "permuted": permuted_table(compared, rng),
        "runs": runs,
        "histories": histories_table(runs, num_validations, rng),
    }


def _trials(runs: pd.DataFrame) -> pd.DataFrame:
    """The learning rates tried on the first seed at the largest percent, of which 0.001 is taken."""
    tried = runs[(runs["percent"] == 100) & (runs["seed"] == 0)]
    keys = ["dataset", "model", "init", "percent", "seed", "fold", "num_steps", "seconds"]
    parts = [
        tried[[*keys, "final_weights_sha256"]].assign(
            learning_rate=rate,
            validation_auroc=tried["validation_auroc"] - 0.02 * abs(np.log10(rate) + 3),
            validation_loss=0.6,
            chosen=int(rate == 0.001),
        )
        for rate in (0.01, 0.001, 0.0001, 0.00001)
    ]
    return pd.concat(parts, ignore_index=True)
