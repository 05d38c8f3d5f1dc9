"""Video pretraining of a model without published weights, on generated motion clips.

The clips stand in for Kinetics: the job is real (a 3D model learns to tell motions), its data are
not, and whatever starts from its weights is marked as a stand-in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import TensorDataset

from chestct.catalogue import MODELS
from chestct.models import build_model
from chestct.tables import write_table
from chestct.training.budget import check_parts
from chestct.training.checkpoint import clear
from chestct.training.early_stopping import copy_state
from chestct.training.loop import Loop, Step
from chestct.training.machine.computation import Computation
from chestct.training.machine.device import check_hardware
from chestct.training.machine.launch import launch
from chestct.training.make_ready import make_ready
from chestct.training.record import save_weights
from chestct.training.schedule import Schedule
from chestct.training.settings import PretrainingSettings, TrainingSettings
from chestct.training.start import lay_out, seed_everything
from chestct.training.windows.batch_order import ShuffledStream
from chestct.training.windows.display_window import normalise
from chestct.training.windows.generated_clips import CLASS_NAMES, make_clips

#: Rows of the learning curve, and states that an interrupted run can go on from.
_NUM_RECORDS = 20


@dataclass(frozen=True, kw_only=True)
class PretrainingJob:
    """A model to pretrain, with all that it takes.

    Attributes:
        model_name: in the catalogue.
        settings: of the model's training.
        pretraining: clips, passes and seed.
        window_slices: frames of a clip, as many as slices later.
        gpus: of every node, a process each; 0: CPU.
        code_digest: of the modules that train.
        processes: that train together where there are no GPUs.
    """

    model_name: str
    settings: TrainingSettings
    pretraining: PretrainingSettings
    window_slices: int
    gpus: int
    code_digest: str = ""
    processes: int = 1


def pretrain(job: PretrainingJob, folder: str, *, threads: int) -> None:
    """Train a model to name the motion of generated clips; write weights.safetensors and history.csv.

    Args:
        job: the model and what its pretraining takes.
        folder: where to write.
        threads: CPU threads that torch may use.

    Raises:
        InputError: the machine lacks what the settings ask for, the model takes no batch in parts, or the
            loss is no number.
        SystemExit: a signal asked the job to end; its state is saved.
    """
    place = Path(folder)
    check_parts(job.model_name, job.settings, gpus=job.gpus, processes=job.processes)
    if launch("pretrain", job, place, threads=threads):
        return
    torch.set_num_threads(threads)
    check_hardware(gpus=job.gpus, precision=job.settings.precision)
    key = repr(replace(job, gpus=0, processes=1))
    computation = Computation.of_run(
        f"pretraining {job.model_name}", job.settings, place, key, gpus=job.gpus, num_workers=0
    )
    loop = _train(job, computation)
    if computation.processes.first:
        save_weights(copy_state(loop.step.model), place / "weights.safetensors")
        nothing = dict.fromkeys(("validation_loss", "validation_auroc", "l2_strength"), np.nan)
        rows = pd.DataFrame(loop.history).assign(**nothing)
        print(rows.to_string(), flush=True)
        # The curve shows whether the model left chance.
        print(f"chance {np.log(len(CLASS_NAMES)):.2f}", flush=True)
        write_table(rows, place / "history.csv", "history")
        clear(place)
    computation.processes.barrier()


def _train(job: PretrainingJob, computation: Computation) -> Loop:
    settings, pretraining, batches = job.settings, job.pretraining, computation.batches
    seed, entry = pretraining.seed, MODELS[job.model_name]
    seed_everything(seed)
    clips, labels = make_clips(
        pretraining.num_clips, job.window_slices, settings.crop_px, np.random.default_rng(seed)
    )
    model = build_model(
        job.model_name,
        num_slices=job.window_slices,
        size_px=settings.crop_px,
        num_classes=len(CLASS_NAMES),
        seed=seed,
    )
    lay_out(model, settings, gpus=job.gpus)

    def prepare(batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        clips_BTHW, targets = batch
        return normalise(clips_BTHW.float(), entry.mean, entry.std), targets

    num_steps = pretraining.epochs * (len(clips) // settings.batch_size)
    schedule = Schedule(
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, num_steps=num_steps
    )
    step = Step(
        model,
        prepare,
        nn.functional.cross_entropy,
        schedule,
        precision=settings.precision,
        gpus=job.gpus,
        batches=batches,
    )
    trial = make_ready(
        step,
        job.model_name,
        settings,
        computation,
        num_slices=job.window_slices,
        windows=(num_steps * batches.size, 0),
        where=f"start of the pretraining of {job.model_name}",
    )
    loop = Loop(
        step,
        TensorDataset(torch.from_numpy(clips), torch.from_numpy(labels.astype(np.int64))),
        partial(ShuffledStream, len(clips), batches, seed=seed, num_steps=num_steps),
        computation,
        record_every=max(1, num_steps // _NUM_RECORDS),
        trial=trial,
    )
    loop.run()
    return loop
