"""What a training job is given, and what its run starts with: seeds and the model."""

import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chestct.files import sha256_file
from chestct.models import build_model, set_batchnorm_momentum
from chestct.models.load_weights import LoadReport, load_initial_weights
from chestct.run import Run
from chestct.training.machine.device import tune
from chestct.training.settings import TrainingSettings
from chestct.trusted_weights import check_trusted


@dataclass(frozen=True, kw_only=True)
class NetworkJob:
    """What every job takes in which a network that starts somewhere sees the scans of a dataset.

    Attributes:
        initial: its starting weights: path (or None), sha256 (or None), words and stand_in; of a file whose
            publisher names no digest also trusted_as, its name in the record of trusted files.
        display_window_hu: centre and width, of the dataset that the network is trained or fitted on.
        intensity: what the values of the scans are, hu or display.
        window_slices: slices that the network sees at once (``chestct.window_forms``).
        index, windows, splits: paths of the tables of the scans.
        code_digest: of the job's modules.
        gpus: of every node, a process each; 0: CPU.
        num_workers: processes that read windows, for every process that computes.
    """

    initial: dict[str, Any]
    display_window_hu: dict[str, float]
    intensity: str
    window_slices: int
    index: str
    windows: str
    splits: str
    code_digest: str
    gpus: int
    num_workers: int


@dataclass(frozen=True, kw_only=True)
class Job(NetworkJob):
    """A run to train.

    Attributes:
        run: the run.
        settings: training settings.
        subset: path of the table of the scans whose labels the run sees.
        processes: that train together where there are no GPUs.
    """

    run: Run
    settings: TrainingSettings
    subset: str
    processes: int = 1


def run_seed(run: Run) -> int:
    """Seed of a run's randomness, the same for all inits."""
    key = [run.dataset, run.model, run.percent, run.seed, run.fold]
    return zlib.crc32(repr(key).encode())


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


def build_network(
    name: str, init: str, initial: dict[str, Any], *, num_slices: int, size_px: int, seed: int
) -> tuple[nn.Module, LoadReport | None]:
    """A model with one logit and its starting weights, and what was loaded, if anything was.

    Args:
        name: of the model.
        init: its starting point.
        initial: of the starting weights (as of ``NetworkJob``).
        num_slices, size_px: of what it sees at once.
        seed: of the parameters that are not loaded.

    Raises:
        InputError: the weights are another file, or do not fit.
    """
    model = build_model(name, num_slices=num_slices, size_px=size_px, num_classes=1, seed=seed)
    if initial["path"] is None:
        return model, None
    sha256 = expected_sha256(initial)
    return model, load_initial_weights(model, name=name, init=init, path=initial["path"], sha256=sha256)


def build_start(job: Job) -> nn.Module:
    """The model of a run with its starting weights, laid out for training.

    Raises:
        InputError: the weights are another file, or do not fit.
    """
    settings, run = job.settings, job.run
    model, loaded = build_network(
        run.model,
        run.init,
        job.initial,
        num_slices=job.window_slices,
        size_px=settings.crop_px,
        seed=run_seed(run),
    )
    if loaded is not None:
        print(f"{run}: {loaded}", flush=True)
    set_batchnorm_momentum(model, settings.batchnorm_momentum)
    tune(model, gpus=job.gpus, precision=settings.precision, compiled=settings.compile)
    return model


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what libraries draw from)
    torch.manual_seed(seed)
