"""Fine-tuning: trains the runs of a job one after another and writes a folder a run.

Arms differ in their starting weights only: the seed that draws the fresh head, the order of windows,
augmentation and dropout depends on dataset, model, percent, seed and fold, never on the init.
"""

import math
import platform
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
import yaml
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from chestct.catalogue import MODELS
from chestct.files import atomic_path, digest_object, sha256_file, write_text
from chestct.models import build_model, set_batchnorm_momentum, tune_for_cpu
from chestct.models.weights import load_initial_weights
from chestct.tables import read_table, write_table
from chestct.training.data import BalancedSampler, Scan, TrainingWindows, collect_scans, scoring_loader
from chestct.training.hardware import peak_memory_mb
from chestct.training.module import ScanClassifier, fit
from chestct.training.transforms import InputSettings
from chestct.trusted import check_trusted


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the runs of a job share.

    Attributes:
        settings: training settings of the model (see ``configuration.training_settings``).
        display_window_hu: centre and width, of the dataset.
        window_slices: slices a model sees.
        index, windows, splits: paths of the tables.
        subsets: path of the training subset by (percent, seed).
        code_digest: of the modules that train.
    """

    settings: dict[str, Any]
    display_window_hu: dict[str, float]
    window_slices: int
    index: str
    windows: str
    splits: str
    subsets: dict[tuple[int, int], str]
    code_digest: str
    gpus: int
    num_workers: int


def run_seed(run: dict[str, Any]) -> int:
    """Seed of a run's randomness, the same for all inits."""
    key = [run[name] for name in ("dataset", "model", "percent", "seed", "fold")]
    return zlib.crc32(repr(key).encode())


def num_training_steps(num_scans: int, settings: dict[str, Any]) -> int:
    """Optimisation steps of a run: max_epochs passes, at least min_steps; the same for every arm.

    Rounded up to a multiple of the number of validations, so that the last one sees the last step.
    """
    steps = max(settings["min_steps"], settings["max_epochs"] * math.ceil(num_scans / settings["batch_size"]))
    return math.ceil(steps / settings["num_validations"]) * settings["num_validations"]


def _load_scans(job: Job, run: dict[str, Any]) -> tuple[list[Scan], list[Scan], str]:
    """Training and validation scans of a run, and the digest of the data they stand for."""
    index, windows = read_table(job.index, "index"), read_table(job.windows, "windows")
    splits = read_table(job.splits, "splits")
    splits = splits[splits["fold"] == run["fold"]]
    subset = read_table(job.subsets[run["percent"], run["seed"]], "subset")
    training = subset[subset["fold"] == run["fold"]]
    validation = splits[splits["split"] == "validation"]
    labels = dict(zip(splits["study_id"], splits["label"].astype(int), strict=True))
    used = [*training["study_id"], *validation["study_id"]]
    voxels = index[index["study_id"].isin(used)].sort_values("study_id")["sha256"]
    digest = digest_object(
        [sorted(training["study_id"]), sorted(validation["study_id"]), labels, list(voxels)]
    )
    return (
        collect_scans(training, index, windows, labels),
        collect_scans(validation, index, windows, labels),
        digest,
    )


def expected_sha256(initial: dict[str, Any]) -> str | None:
    """What the starting weights must hash to; None for the study's own, whose digest is recorded only.

    Raises:
        InputError: a file without a published digest is not the one that was seen first.
    """
    path = Path(initial["path"])
    if initial["sha256"] or not initial.get("trusted_as") or not path.is_file():
        return initial["sha256"]
    found = sha256_file(path)
    check_trusted(path.parent, initial["trusted_as"], found, size_bytes=path.stat().st_size, source=str(path))
    return found


def finetune_run(job: Job, run: dict[str, Any], initial: dict[str, Any], folder: Path) -> None:
    """Train one run and write weights.safetensors, history.csv, run.csv and config.yaml.

    Args:
        job: what it shares with the other runs.
        run: its key columns.
        initial: path (or None), sha256 (or None), words and stand_in of the starting weights; of a file
            whose publisher names no digest also trusted_as, its name in the record of trusted files.
        folder: where to write.

    Raises:
        InputError: the weights are another file, they do not fit, or the loss is no number.
    """
    settings, entry, seed = job.settings, MODELS[run["model"]], run_seed(run)
    name = "/".join(str(value) for value in run.values())
    training, validation, data_digest = _load_scans(job, run)
    pl.seed_everything(seed, verbose=False)
    model = build_model(
        run["model"], num_slices=job.window_slices, size_px=settings["crop_px"], num_classes=1, seed=seed
    )
    if initial["path"] is not None:
        loaded = load_initial_weights(
            model, name=run["model"], init=run["init"], path=initial["path"], sha256=expected_sha256(initial)
        )
        print(f"{name}: {loaded}")
    set_batchnorm_momentum(model, settings["batchnorm_momentum"])
    if not job.gpus:
        tune_for_cpu(model)

    num_steps = num_training_steps(len(training), settings)
    module = ScanClassifier(
        model,
        input_settings=InputSettings.from_settings(
            settings, job.display_window_hu, mean=entry.mean, std=entry.std
        ),
        validation_scans=validation,
        seed=seed,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        num_steps=num_steps,
        report=lambda text: print(f"{name}: {text}", flush=True),
    )
    labels = [scan.label for scan in training]
    sampler = BalancedSampler(labels, batch_size=settings["batch_size"], seed=seed)
    loader = DataLoader(
        TrainingWindows(training, seed=seed),
        batch_size=settings["batch_size"],
        sampler=sampler,
        num_workers=job.num_workers,
    )
    start = time.perf_counter()
    fit(
        module,
        loader,
        scoring_loader(validation, batch_size=2 * settings["batch_size"], num_workers=job.num_workers),
        num_steps=num_steps,
        validate_every=num_steps // settings["num_validations"],
        precision=settings["precision"],
        gpus=job.gpus,
    )
    seconds = time.perf_counter() - start

    weights_path = folder / "weights.safetensors"
    with atomic_path(weights_path) as temporary:
        save_file({key: value.contiguous() for key, value in module.best_state.items()}, temporary)
    write_table(pd.DataFrame(module.history), folder / "history.csv", "history")
    resolved: dict[str, Any] = {"run": run, "settings": settings, "display_window_hu": job.display_window_hu}
    resolved |= {"window_slices": job.window_slices, "initial": initial}
    write_text(folder / "config.yaml", yaml.safe_dump(resolved, sort_keys=False))
    row = run | {
        "num_scans": len(training),
        "num_positive": sum(labels),
        "num_steps": num_steps,
        "best_epoch": module.best_epoch,
        "validation_auroc": module.best[0],
        "seconds": round(seconds, 2),
        "windows_per_second": round(num_steps * settings["batch_size"] / seconds, 2),
        "peak_memory_mb": peak_memory_mb(job.gpus),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "initial_weights": initial["words"],
        "initial_weights_sha256": sha256_file(initial["path"]) if initial["path"] else None,
        "initial_stand_in": int(initial["stand_in"]),
        "final_weights_sha256": sha256_file(weights_path),
        "config_digest": digest_object({key: resolved[key] for key in resolved if key != "initial"}),
        "code_digest": job.code_digest,
        "data_digest": data_digest,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    write_table(pd.DataFrame([row]), folder / "run.csv", "runs")


def finetune(job: Job, runs: Sequence[dict[str, Any]], folders: Sequence[str], *, threads: int) -> None:
    """Train the runs of a job, in order.

    Args:
        job: what the runs share.
        runs: a mapping each, with keys ``run`` (key columns) and ``initial`` (starting weights).
        folders: output folder of every run.
        threads: CPU threads that torch may use.
    """
    torch.set_num_threads(threads)
    for number, (spec, folder) in enumerate(zip(runs, folders, strict=True), start=1):
        print(f"run {number} of {len(runs)}: {spec['run']}", flush=True)
        finetune_run(job, spec["run"], spec["initial"], Path(folder))
