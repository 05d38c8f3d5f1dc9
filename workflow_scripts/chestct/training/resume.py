"""Saves the whole state of a run at validations and before it is preempted, and goes on from it."""

from typing import Any, Protocol

import torch

from chestct.training.checkpoint import StateFile
from chestct.training.lean import pl
from chestct.training.machine.preemption import PreemptedError, Preemption
from chestct.training.machine.processes import Processes
from chestct.training.module import TrainingModule
from chestct.training.progress import Progress
from chestct.training.validation import Validation
from chestct.training.windows.batch_order import BatchStream


class Part(Protocol):
    """Something with a state; torch's generators are such."""

    def get_state(self) -> Any:
        """Plain data and tensors."""

    def set_state(self, state: Any) -> Any:
        """Go on from them."""


def _random_state() -> dict[str, Any]:
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {"cpu": torch.get_rng_state(), "gpu": torch.cuda.get_rng_state() if on_gpu else None}


class Steps(pl.Callback):
    """What happens around the steps of a run: passes, validation or a row of the history, saving, ending.

    Args:
        file: where states are saved.
        state: to go on from, or None.
        parts: what else has a state, by name.
        validation: or None, where only the training loss is recorded.
        record_every: steps between rows of the history without validation.
        stream: of the training batches.
    """

    def __init__(
        self,
        file: StateFile,
        state: dict[str, Any] | None,
        parts: dict[str, Part],
        *,
        validation: Validation | None,
        record_every: int | None,
        stream: BatchStream,
        processes: Processes,
        preemption: Preemption,
        progress: Progress,
    ) -> None:
        self.file = file
        self.state = state
        self.parts = parts
        self.validation = validation
        self.record_every = record_every
        self.stream = stream
        self.accumulate = stream.batches.accumulate
        self.processes = processes
        self.preemption = preemption
        self.progress = progress

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Restore the state, if there is one."""
        self.preemption.listen()
        # Dropout must not be the same in the processes that share a batch; the first keeps its seed.
        if self.processes.rank:
            torch.manual_seed(torch.initial_seed() + self.processes.rank)
        if self.state is not None:
            self._restore(trainer, module, self.state)
        self.progress.begin(module)
        state, self.state = self.state, None
        if state is not None and self._due(module) and module.losses:
            self._look(trainer, module)  # the validation that a signal cut short

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Begin a pass over the data."""
        if batch_idx % self.accumulate == 0 and module.step % self.stream.steps_of_pass == 0:
            self.stream.begin_pass()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Validate and save where a step is complete and it is time, end if asked to."""
        if (batch_idx + 1) % self.accumulate:
            return
        due = self._due(module)
        if due:
            self._look(trainer, module)
        if trainer.should_stop or module.step == module.schedule.num_steps:
            return
        if due and self.processes.any(self.processes.first and self.file.due):
            self.save(trainer, module)
        self.preemption.check()

    def _due(self, module: TrainingModule) -> bool:
        every = self.validation.every if self.validation else self.record_every
        return every is not None and module.step % every == 0

    def _look(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        epoch = (module.step - 1) // self.stream.steps_of_pass
        if self.validation:
            self.validation.run(trainer, module, epoch)
            return
        module.look_at_losses()
        module.record(self.processes.mean(float(torch.stack(module.losses).mean())), epoch=epoch)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Save before the end that a signal asks for.

        In the last validation there is no step left to go on from: the state before counts.
        """
        if isinstance(exception, PreemptedError) and module.step < module.schedule.num_steps:
            self.save(trainer, module)

    def save(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Save the state; every process must call it."""
        own = self.processes.gather({"random": _random_state(), "losses": [float(v) for v in module.losses]})
        if not self.processes.first:
            return
        self.file.save(
            {
                "step": module.step,
                "model": module.model.state_dict(),
                "optimizer": trainer.optimizers[0].state_dict(),
                "scheduler": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
                "precision": trainer.precision_plugin.state_dict(),
                "own": own,
                "parts": {name: part.get_state() for name, part in self.parts.items()},
            }
        )

    def _restore(self, trainer: pl.Trainer, module: TrainingModule, state: dict[str, Any]) -> None:
        module.first_step = state["step"]
        module.model.load_state_dict(state["model"])
        trainer.optimizers[0].load_state_dict(state["optimizer"])
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(state["scheduler"])
        trainer.precision_plugin.load_state_dict(state["precision"])
        for name, part in self.parts.items():
            part.set_state(state["parts"][name])
        own = state["own"][self.processes.rank]
        module.set_losses(own["losses"])
        random = own["random"]
        torch.set_rng_state(random["cpu"])
        if random["gpu"] is not None:
            torch.cuda.set_rng_state(random["gpu"])
