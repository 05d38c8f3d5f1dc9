"""What a training job is given, and what its run starts with: seeds and the model."""

import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chestct.errors import InputError
from chestct.files import sha256_file
from chestct.models import build_model, set_batchnorm_momentum
from chestct.models.load_weights import LoadReport, load_initial_weights
from chestct.run import Run
from chestct.training.machine.device import tune
from chestct.training.record import check_weights
from chestct.training.settings import TrainingSettings
from chestct.trusted_weights import check_trusted, read_trusted


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
        conversion, training_data: how scans became windows, and what they are (``chestct.jobs.data_facts``),
            which the run's weights will say.
        processes: that train together where there are no GPUs.
    """

    run: Run
    settings: TrainingSettings
    subset: str
    conversion: dict[str, Any]
    training_data: dict[str, Any]
    processes: int = 1


def run_seed(run: Run) -> int:
    """Seed of a run's randomness, the same for all inits."""
    key = [run.dataset, run.model, run.percent, run.seed, run.fold]
    return zlib.crc32(repr(key).encode())


def expected_sha256(initial: dict[str, Any]) -> str | None:
    """What the starting weights must hash to; None where nobody vouches for them yet, or for the study's own.

    Raises:
        InputError: a file without a published digest is not the one that was trusted first.
    """
    path = Path(initial["path"])
    if initial["sha256"] or not initial.get("trusted_as") or not path.is_file():
        return initial["sha256"]
    if initial["trusted_as"] not in read_trusted(path.parent):
        return None
    found = sha256_file(path)
    _trust(initial, found)
    return found


def _trust(initial: dict[str, Any], sha256: str) -> None:
    """Record a file that loaded, or compare it with the one that is recorded."""
    path = Path(initial["path"])
    check_trusted(
        path.parent, initial["trusted_as"], sha256, size_bytes=path.stat().st_size, source=str(path)
    )


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
    own = not (initial["sha256"] or initial.get("trusted_as"))
    if own and Path(initial["path"]).is_file():
        # What a run starts from may be another run, whose folder says which; pretraining says nothing.
        check_weights(initial["path"], Run.folder_in(initial["path"]))
    sha256 = expected_sha256(initial)
    unknown = sha256 is None and initial.get("trusted_as")
    try:
        loaded = load_initial_weights(model, name=name, init=init, path=initial["path"], sha256=sha256)
    except InputError as error:
        if not unknown or not Path(initial["path"]).is_file():
            raise
        offline = Path(initial["path"]).parent / "offline"
        raise InputError(
            f"weights '{initial['trusted_as']}' are not those of {name}, and not trusted: {error.what}",
            where=initial["path"],
            expected="a checkpoint that holds every parameter of the model but its head, and no other",
            remedy=f"put the right file into {offline}, under its published name (see the row of "
            f"'{initial['trusted_as']}' in chestct/download/weights.csv), and run "
            f"snakemake --forcerun {initial['path']}",
        ) from error
    if unknown:
        _trust(initial, loaded.sha256)
    return model, loaded


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
    lay_out(model, settings, gpus=job.gpus)
    return model


def lay_out(model: nn.Module, settings: TrainingSettings, *, gpus: int) -> None:
    """Make a model on the CPU what a training computes with.

    Args:
        model: changed in place.
        settings: of the training.
        gpus: 0 where it stays on the CPU.
    """
    set_batchnorm_momentum(model, settings.batchnorm_momentum)
    tune(model, gpus=gpus, precision=settings.precision, fast_forms=settings.fast_forms)


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what libraries draw from)
    torch.manual_seed(seed)
