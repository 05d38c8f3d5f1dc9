"""Fine-tuning: trains a run and writes its folder.

Arms differ in their starting weights only: the seed that draws the fresh head, the order of windows,
augmentation and dropout depends on dataset, model, percent, seed and fold, never on the init.
"""

from dataclasses import asdict, dataclass
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
from chestct.training.early_stopping import BestWeights, Validation
from chestct.training.job import TrainingJob
from chestct.training.loop import Loop, Step
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
from chestct.training.make_ready import make_ready
from chestct.training.precision import scores_in
from chestct.training.record import write_results
from chestct.training.run_facts import run_facts
from chestct.training.schedule import Schedule
from chestct.training.scoring import scoring_loader
from chestct.training.settings import SCORED_PER_TRAINED, TrainingSettings
from chestct.training.start import build_start, run_seed, seed_everything
from chestct.training.windows.batch_order import BalancedStream
from chestct.training.windows.dataset import Scan, TrainingWindows, drawn_parts
from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.scans import load_scans
from chestct.training.windows.training_input import WindowInput


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """What the training of a run gives.

    Attributes:
        history: rows of the learning curve.
        weights: of the best validation; empty in all processes but the first.
        measured: columns of the run's record.
        compiled: whether the network was compiled.
    """

    history: list[dict[str, float]]
    weights: dict[str, torch.Tensor]
    measured: dict[str, Any]
    compiled: bool


def _train(
    job: TrainingJob, training: list[Scan], held_out: list[Scan], computation: Computation
) -> _Trained:
    """Train a run on the training scans, and keep the weights that are best on the held-out ones."""
    run, settings, batches = job.run, job.settings, computation.batches
    seed, num_steps = run_seed(run), num_training_steps(len(training), settings)
    seed_everything(seed)
    reset_peak_memory(job.gpus)
    model = build_start(job)
    input_settings = InputSettings.of_model(run.model, settings, job.display_window_hu, job.intensity)
    window_input = WindowInput(
        input_settings, batches, seed=seed, form=input_form(model), precision=settings.precision
    )
    step = Step(
        model,
        window_input,
        nn.functional.binary_cross_entropy_with_logits,
        _schedule(settings, len(training)),
        precision=settings.precision,
        gpus=job.gpus,
        batches=batches,
    )
    windows_scored = count_validations(settings) * sum(len(scan.starts) for scan in held_out)
    trial = make_ready(
        step,
        run.model,
        settings,
        computation,
        num_slices=job.window_slices,
        windows=(num_steps * batches.size, windows_scored),
        where=f"start of the training of {run}",
    )
    drawn = drawn_parts(training, run.model, settings.negative_windows)
    loop = Loop(
        step,
        TrainingWindows(drawn, seed=seed),
        partial(BalancedStream, [scan.label for scan in drawn], batches, seed=seed, num_steps=num_steps),
        computation,
        validation=_validation(settings, len(training), held_out, input_settings, computation),
        generator=window_input.generator,
        trial=trial,
    )
    loop.run()
    assert loop.validation is not None
    return _Trained(
        history=loop.history,
        weights=loop.validation.best.weights,
        measured=_measured(job, training, loop),
        compiled=is_compiled(model),
    )


def _schedule(settings: TrainingSettings, num_scans: int) -> Schedule:
    """The learning rate of a run: one cycle, or constant after a rise where the run may stop early."""
    may_stop_early = settings.patience is not None
    return Schedule(
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        num_steps=num_training_steps(num_scans, settings),
        warm_up_steps=steps_between_validations(num_scans, settings) if may_stop_early else None,
    )


def _validation(
    settings: TrainingSettings,
    num_scans: int,
    held_out: list[Scan],
    input_settings: InputSettings,
    computation: Computation,
) -> Validation:
    """What a run with so many training scans is validated on, how often, and with what patience."""
    processes = computation.processes
    return Validation(
        labels=torch.tensor([scan.label for scan in held_out]),
        loader=scoring_loader(
            held_out,
            # Without gradients twice as many windows fit in memory.
            batch_size=SCORED_PER_TRAINED * computation.batches.piece,
            num_workers=computation.num_workers,
            pin_memory=computation.gpus > 0,
            processes=processes,
        ),
        input_settings=input_settings,
        every=steps_between_validations(num_scans, settings),
        best=BestWeights(patience=patience_windows(num_scans, settings), keep=processes.first),
    )


def _measured(job: TrainingJob, training: list[Scan], loop: Loop) -> dict[str, Any]:
    """Columns of a run's record that its training decided or measured (schema ``runs``)."""
    assert loop.validation is not None
    best, settings, batch_size = loop.validation.best, job.settings, loop.computation.batches.size
    return {
        "num_scans": len(training),
        "num_positive": sum(scan.label for scan in training),
        "num_steps": loop.steps_done,
        "windows_seen": loop.steps_done * batch_size,
        "budget_windows": loop.num_steps * batch_size,
        "patience_windows": best.patience,
        "stopped_early": int(loop.steps_done < loop.num_steps),
        "best_step": best.step,
        "best_windows_seen": best.windows_seen,
        "validation_auroc": best.auroc,
        "learning_rate": settings.learning_rate,
        "accumulate": settings.accumulate,
        "precision": settings.precision,
        "scores_in": scores_in(settings.precision, gpus=job.gpus),
        "num_parameters": sum(parameter.numel() for parameter in loop.step.model.parameters()),
        "peak_memory_mb": peak_memory_mb(job.gpus),
        "device": device_name(gpus=job.gpus, world=loop.processes.world),
        "cudnn": cudnn_release(gpus=job.gpus),
        **loop.progress.measured(loop.steps_done),
    }


def finetune(job: TrainingJob, folder: str, *, threads: int) -> None:
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
    training, held_out, data_digest = load_scans(tables, job.subset, run, job.window_slices)
    resolved: dict[str, Any] = {
        "run": run.asdict(),
        "settings": asdict(settings),
        "display_window_hu": job.display_window_hu,
        "intensity": job.intensity,
        "window_slices": job.window_slices,
        "conversion": job.conversion,
        "training_data": job.training_data,
    }
    started_from = initial["path"] if initial["path"] and Path(initial["path"]).is_file() else None
    decided_by = run.asdict() | {
        "initial_weights": initial["words"],
        "initial_weights_sha256": sha256_file(started_from) if started_from else None,
        "initial_stand_in": int(initial["stand_in"]),
        "config_digest": digest_object(resolved),
        "code_digest": job.code_digest,
        "data_digest": data_digest,
    }
    computation = Computation.of_run(
        str(run), settings, place, decided_by, gpus=job.gpus, num_workers=job.num_workers
    )
    trained = _train(job, training, held_out, computation)
    if computation.processes.first:
        row = decided_by | trained.measured
        facts = run_facts(job, row, compiled=trained.compiled)
        write_results(place, trained.weights, trained.history, resolved | {"initial": initial}, row, facts)
        clear(place)
    computation.processes.barrier()
