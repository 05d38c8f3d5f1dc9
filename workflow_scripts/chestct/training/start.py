"""What a run starts with: seeds, and the model with its starting weights."""

import random
import zlib
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
from chestct.training.job import TrainingJob
from chestct.training.machine.device import tune
from chestct.training.record import check_weights
from chestct.training.settings import TrainingSettings
from chestct.trusted_weights import check_trusted, read_trusted


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
        initial: of the starting weights (as in ``job.NetworkJob``).
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
            f"snakemake --cores all --forcerun {initial['path']}",
        ) from error
    if unknown:
        _trust(initial, loaded.sha256)
    return model, loaded


def build_start(job: TrainingJob) -> nn.Module:
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
