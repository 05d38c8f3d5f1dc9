"""Fine-tuning: trains a run and writes its folder.

Arms differ in their starting weights only: the seed that draws the fresh head, the order of windows,
augmentation and dropout depends on dataset, model, percent, seed and fold, never on the init.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chestct.files import digest_object, sha256_file
from chestct.models.fast_forms import input_form
from chestct.training.budget import (
    check_parts,
    count_validations,
    num_training_steps,
    patience_windows,
    steps_between_validations,
)
from chestct.training.checkpoint import clear
from chestct.training.compiling import start_compiling
from chestct.training.early_stopping import BestWeights, Validation
from chestct.training.loop import Loop, Step
from chestct.training.machine.bf16_check import check_bf16
from chestct.training.machine.compiled import is_compiled
from chestct.training.machine.computation import Computation
from chestct.training.machine.device import (
    check_hardware,
    cudnn_release,
    device_name,
    peak_memory_mb,
    reset_peak_memory,
)
from chestct.training.machine.launch import launch
from chestct.training.record import write_results
from chestct.training.run_facts import run_facts
from chestct.training.schedule import Schedule
from chestct.training.scoring import scoring_loader
from chestct.training.start import Job, build_start, run_seed, seed_everything
from chestct.training.windows.batch_order import BalancedStream
from chestct.training.windows.dataset import Scan, TrainingWindows, drawn_parts
from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.scans import load_scans
from chestct.training.windows.training_input import WindowInput


def _train(
    job: Job, scans: Sequence[list[Scan]], computation: Computation
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor], dict[str, Any], bool]:
    """Train one run; returns learning curve, best weights, columns of its record, and if it was compiled."""
    run, settings, seed = job.run, job.settings, run_seed(job.run)
    batches, processes = computation.batches, computation.processes
    training, held_out = scans
    num_steps = num_training_steps(len(training), settings)
    validate_every = steps_between_validations(len(training), settings)
    patience = patience_windows(len(training), settings)
    seed_everything(seed)
    reset_peak_memory(job.gpus)
    model = build_start(job)
    input_settings = InputSettings.of_model(run.model, settings, job.display_window_hu, job.intensity)
    schedule = Schedule(
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        num_steps=num_steps,
        warm_up_steps=None if patience is None else validate_every,
    )
    prepare = WindowInput(
        input_settings, batches, seed=seed, form=input_form(model), precision=settings.precision
    )
    step = Step(
        model,
        prepare,
        nn.functional.binary_cross_entropy_with_logits,
        schedule,
        precision=settings.precision,
        gpus=job.gpus,
        batches=batches,
    )
    if job.gpus:
        shape_BCTHW = (batches.piece, 3, job.window_slices, settings.crop_px, settings.crop_px)
        where = f"start of the training of {run}"
        check_bf16(model, shape_BCTHW, device=step.device, precision=settings.precision, where=where)
    windows_scored = count_validations(settings) * sum(len(scan.starts) for scan in held_out)
    trial = start_compiling(
        model,
        run.model,
        settings,
        computation,
        num_slices=job.window_slices,
        windows=(num_steps * batches.size, windows_scored),
    )
    validation = Validation(
        labels=torch.tensor([scan.label for scan in held_out]),
        loader=scoring_loader(
            held_out,
            batch_size=2 * batches.piece,
            num_workers=job.num_workers,
            pin_memory=job.gpus > 0,
            processes=processes,
        ),
        input_settings=input_settings,
        every=validate_every,
        best=BestWeights(patience=patience, keep=processes.first),
    )
    drawn = drawn_parts(training, run.model, settings.negative_windows)
    loop = Loop(
        step,
        TrainingWindows(drawn, seed=seed),
        partial(BalancedStream, [scan.label for scan in drawn], batches, seed=seed, num_steps=num_steps),
        computation,
        validation=validation,
        generator=prepare.generator,
        trial=trial,
    )
    loop.run()
    best = validation.best
    measured = {
        "num_scans": len(training),
        "num_positive": sum(scan.label for scan in training),
        "num_steps": loop.done,
        "windows_seen": loop.done * batches.size,
        "budget_windows": num_steps * batches.size,
        "patience_windows": patience,
        "stopped_early": int(loop.done < num_steps),
        "best_step": best.step,
        "best_windows_seen": best.windows_seen,
        "validation_auroc": best.auroc,
        "learning_rate": settings.learning_rate,
        "accumulate": settings.accumulate,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "peak_memory_mb": peak_memory_mb(job.gpus),
        "device": device_name(gpus=job.gpus, world=processes.world),
        "cudnn": cudnn_release(gpus=job.gpus),
    }
    return loop.history, best.weights, measured | loop.progress.measured(loop.done), is_compiled(model)


def finetune(job: Job, folder: str, *, threads: int) -> None:
    """Train a run, with a process a GPU, and write weights.safetensors, history.csv, run.csv and config.yaml.

    A run that an interrupted job began goes on where it was.

    Args:
        job: the run and what its training takes.
        folder: where to write.
        threads: CPU threads that torch may use.

    Raises:
        InputError: the machine lacks what the job asks for, the model takes no batch in parts, the weights
            are another file or do not fit, a set of scans has one class only, or the loss is no number
            (DivergenceError).
        SystemExit: a signal asked the job to end; the run's state is saved.
    """
    place = Path(folder)
    check_parts(job.run.model, job.settings, gpus=job.gpus, processes=job.processes)
    if launch("finetune", job, place, threads=threads):
        return
    torch.set_num_threads(threads)
    run, initial, settings = job.run, job.initial, job.settings
    check_hardware(gpus=job.gpus, precision=settings.precision)
    tables = {"index": job.index, "windows": job.windows, "splits": job.splits}
    *scans, data_digest = load_scans(tables, job.subset, run, job.window_slices)
    resolved: dict[str, Any] = {"run": run.asdict(), "settings": asdict(settings)}
    resolved |= {
        "display_window_hu": job.display_window_hu,
        "intensity": job.intensity,
        "window_slices": job.window_slices,
        "conversion": job.conversion,
        "training_data": job.training_data,
    }
    started_from = initial["path"] if initial["path"] and Path(initial["path"]).is_file() else None
    row = run.asdict() | {
        "initial_weights": initial["words"],
        "initial_weights_sha256": sha256_file(started_from) if started_from else None,
        "initial_stand_in": int(initial["stand_in"]),
        "config_digest": digest_object(resolved),
        "code_digest": job.code_digest,
        "data_digest": data_digest,
    }
    computation = Computation.of_run(
        str(run), settings, place, row, gpus=job.gpus, num_workers=job.num_workers
    )
    history, weights, measured, compiled = _train(job, scans, computation)
    if computation.processes.first:
        row = row | measured
        facts = run_facts(job, row, compiled=compiled)
        write_results(place, weights, history, resolved | {"initial": initial}, row, facts)
        clear(place)
    computation.processes.barrier()
