"""Runs the Lightning loop over a stream of batches, from the step where an earlier try ended."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from chestct.training.budget import Batches
from chestct.training.checkpoint import StateFile
from chestct.training.lean import DDPStrategy, LightningEnvironment, TorchElasticEnvironment, pl
from chestct.training.machine.device import memory_errors
from chestct.training.machine.preemption import PreemptedError, Preemption
from chestct.training.machine.processes import Processes
from chestct.training.module import TrainingModule
from chestct.training.progress import Events, Progress
from chestct.training.resume import Part, Steps
from chestct.training.validation import Validation
from chestct.training.windows.batch_order import BatchStream
from chestct.training.windows.loader import Loader


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a run is computed, whatever it computes.

    Attributes:
        name: of the run, in the log.
        precision: 32-true, bf16-mixed or 16-mixed.
        gpus: of every node; 0: CPU.
        nodes: machines.
        num_workers: processes that read samples.
        batches: how the windows of a step are shared out.
        processes: that train together.
        file: where states of the run are saved.
        events: folder of event files, or None.
    """

    name: str
    precision: str
    gpus: int
    nodes: int
    num_workers: int
    batches: Batches
    processes: Processes
    file: StateFile
    events: Path | None


def _trainer(setting: Setting, module: TrainingModule, num_steps: int, steps: Steps) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its greetings fill every log
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # on purpose
    # Snakemake's executor starts the job on its nodes, and the launcher the processes; srun is not missed.
    warnings.filterwarnings("ignore", message=".*srun. command is available.*")
    together = setting.processes.world > 1
    # Named, not guessed: inside a Slurm job Lightning would take the job for its own launcher.
    alone = {"plugins": [LightningEnvironment()]}
    shared = {
        "strategy": DDPStrategy(
            cluster_environment=TorchElasticEnvironment(),
            gradient_as_bucket_view=True,
            # Stochastic depth leaves whole blocks out of a step, others in every process.
            find_unused_parameters=any(getattr(part, "survival", 1) < 1 for part in module.modules()),
        )
    }
    per_node = setting.processes.world // setting.nodes
    return pl.Trainer(
        accelerator="gpu" if setting.gpus else "cpu",
        devices=per_node,
        num_nodes=setting.nodes,
        # Statistics over the whole batch, as one process would compute them. PyTorch has it on GPUs only.
        sync_batchnorm=bool(together and setting.gpus and not module.has_still_parts),
        precision=setting.precision,  # type: ignore[arg-type]
        max_steps=num_steps,
        max_epochs=-1,
        accumulate_grad_batches=setting.batches.accumulate,
        callbacks=[steps.progress, steps],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        # On a CPU a run gives equal weights again; on GPUs the fastest convolutions differ by rounding.
        deterministic=False if setting.gpus else "warn",
        benchmark=bool(setting.gpus),
        use_distributed_sampler=False,
        **(shared if together else alone),  # type: ignore[arg-type]
    )


def fit(
    module: TrainingModule,
    dataset: Dataset,
    make_stream: Callable[..., BatchStream],
    setting: Setting,
    parts: dict[str, Part],
    *,
    validation: Validation | None = None,
    record_every: int | None = None,
) -> Progress:
    """Train to the last step, or until the validation ends the run, from a saved state if there is one.

    Args:
        module: model, loss and schedule.
        dataset: samples.
        make_stream: makes the stream of batches from ``first_step`` on.
        setting: where and how.
        parts: what has a state beside the module, by name.
        validation: what keeps the best weights, if anything does.
        record_every: steps between rows of the history without validation.

    Returns:
        Measurements of the run.

    Raises:
        InputError: data, memory or the loss are not as they must be.
        SystemExit: a signal asked the run to end; its state is saved.
    """
    processes, preemption = setting.processes, Preemption(setting.processes)
    state = setting.file.load()
    processes.barrier()
    module.first_step = 0 if state is None else state["step"]
    stream = make_stream(first_step=module.first_step)
    loader = Loader(
        dataset, batch_sampler=stream, num_workers=setting.num_workers, pin_memory=setting.gpus > 0
    )
    num_steps = module.schedule.num_steps
    events = Events(setting.events if processes.first else None, step=module.first_step)
    progress = Progress(
        setting.name,
        num_steps=num_steps,
        batches=setting.batches,
        loader=loader,
        processes=processes,
        events=events,
    )
    parts = {"module": module, "progress": progress, **parts}
    if validation is not None:
        validation.progress, validation.preemption = progress, preemption
        parts["validation"] = validation
    steps = Steps(
        setting.file,
        state,
        parts,
        validation=validation,
        record_every=record_every,
        stream=stream,
        processes=processes,
        preemption=preemption,
        progress=progress,
    )
    try:
        with memory_errors(
            f"training of {setting.name}", windows=setting.batches.piece, precision=setting.precision
        ):
            _trainer(setting, module, num_steps - module.first_step, steps).fit(module, loader)
    except PreemptedError as signal:
        progress.say(f"ended by {signal}; its state is in {setting.file.path}, run again to go on")
        raise SystemExit(signal.exit_code) from None
    finally:
        preemption.stop_listening()
        events.close()
        loader.close()
        if validation is not None:
            validation.loader.close()
    return progress
