"""The training loop: ``Step`` takes one optimisation step, ``Loop.run`` takes them all.

Shape suffixes: B batch, C channel, T slices (z), H rows (y), W columns (x).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from chestct.errors import divergence
from chestct.training.adam import Adam
from chestct.training.budget import Batches
from chestct.training.checkpoint import random_state, set_random_state
from chestct.training.early_stopping import Validation
from chestct.training.machine.compile_trial import CompileTrial
from chestct.training.machine.compiled import keeps_gradients
from chestct.training.machine.computation import Computation
from chestct.training.machine.device import autocast, memory_errors
from chestct.training.machine.preemption import PreemptedError, Preemption
from chestct.training.machine.processes import distribute
from chestct.training.progress import Events, Progress
from chestct.training.schedule import Schedule
from chestct.training.scoring import scan_logits, validation_metrics
from chestct.training.windows.batch_order import BatchStream, begin_pass
from chestct.training.windows.loader import Loader

#: Steps of a GPU between checks of its losses.
_CHECK_LOSSES_EVERY = 10


class Step:
    """One optimisation step with Adam, and all that it changes.

    Args:
        model: (B, 3, T, H, W) -> logits; on the CPU still.
        prepare: turns a piece of a batch into (input_BCTHW, targets).
        loss: (logits, targets) -> scalar; computed in float32.
        schedule: learning rate and weight decay.
        precision: 32-true, bf16-mixed or 16-mixed.
        gpus: 0: CPU.
        batches: how the windows of a step are shared out.
    """

    def __init__(
        self,
        model: nn.Module,
        prepare: Callable[[Sequence[torch.Tensor]], tuple[torch.Tensor, torch.Tensor]],
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        schedule: Schedule,
        *,
        precision: str,
        gpus: int,
        batches: Batches,
    ) -> None:
        # On a CPU a run gives equal weights again; on GPUs the fastest convolutions differ by rounding.
        torch.set_deterministic_debug_mode("default" if gpus else "warn")
        torch.backends.cudnn.benchmark = bool(gpus)
        self.prepare, self.loss = prepare, loss
        self.precision, self.accumulate = precision, batches.accumulate
        self.device = torch.device("cuda", torch.cuda.current_device()) if gpus else torch.device("cpu")
        self.model = model.to(self.device)
        if batches.world > 1 and gpus:
            # Statistics over the whole batch, as one process would compute them. PyTorch has it on GPUs only.
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.model.train()
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.shared = distribute(self.model, self.device) if batches.world > 1 else self.model
        rate, decay = schedule.learning_rate, schedule.weight_decay
        self.optimizer = Adam(trained, lr=rate, weight_decay=decay, fused=True)
        self.scheduler = schedule.build(self.optimizer)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "16-mixed")
        #: Steps between checks of the losses: reading one waits for the GPU, which then waits for new work.
        self.check_losses_every = _CHECK_LOSSES_EVERY if gpus else 1

    def __call__(self, pieces: Iterable[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """Take a step on the pieces of one batch; returns the loss of each."""
        losses: list[torch.Tensor] = []
        self.optimizer.zero_grad(set_to_none=not keeps_gradients(self.model))
        for piece in pieces:
            batch = [values.to(self.device, non_blocking=True) for values in piece]
            inputs_BCTHW, targets = self.prepare(batch)
            # Gradients of the pieces add up; processes exchange them with the last one.
            last = len(losses) + 1 == self.accumulate
            with nullcontext() if last or self.shared is self.model else self.shared.no_sync():  # type: ignore
                with autocast(self.device, self.precision):
                    logits = self.shared(inputs_BCTHW)
                loss = self.loss(logits.float(), targets)
                self.scaler.scale(loss / self.accumulate).backward()
            losses.append(loss.detach())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        return losses


class Loop:
    """Trains a run to its last step, or until validation ends it; from a saved state if there is one.

    Args:
        step: takes a step.
        dataset: samples.
        make_stream: makes the stream of batches from ``first_step`` on.
        computation: where and how.
        validation: what the run is validated on, if on anything.
        record_every: steps between rows of the history without validation.
        generator: of the augmentation, if there is one.
        trial: finds out whether compiling pays, if that is not known.

    Attributes:
        steps_done: optimisation steps that were taken, over all tries.
        history: rows of the learning curve.
        progress: measurements of the run.
    """

    def __init__(
        self,
        step: Step,
        dataset: Dataset,
        make_stream: Callable[..., BatchStream],
        computation: Computation,
        *,
        validation: Validation | None = None,
        record_every: int | None = None,
        generator: torch.Generator | None = None,
        trial: CompileTrial | None = None,
    ) -> None:
        self.step, self.validation, self.generator, self.trial = step, validation, generator, trial
        self.record_every = validation.every if validation else record_every
        self.computation, self.processes = computation, computation.processes
        self.file, self.preemption = computation.file, Preemption(computation.processes)
        self.history: list[dict[str, float]] = []
        #: Of this process: since the last row of the history, and since the last check.
        self.losses: list[torch.Tensor] = []
        self.unchecked_losses: list[torch.Tensor] = []
        self.saved = self.file.load()
        self.processes.barrier()
        self.steps_done = self.saved["step"] if self.saved else 0
        self.stream = make_stream(first_step=self.steps_done)
        self.num_steps = self.stream.num_steps
        self.loader = Loader(
            dataset,
            batch_sampler=self.stream,
            num_workers=computation.num_workers,
            pin_memory=computation.gpus > 0,
        )
        events = Events(computation.events if self.processes.first else None, step=self.steps_done)
        self.progress = Progress(computation, num_steps=self.num_steps, loader=self.loader, events=events)

    def run(self) -> None:
        """Train.

        Raises:
            InputError: data, memory or the loss are not as they must be.
            SystemExit: a signal asked the run to end; its state is saved.
        """
        where, piece = f"training of {self.computation.name}", self.computation.batches.piece
        try:
            with memory_errors(where, windows=piece, precision=self.step.precision):
                self._run()
        except PreemptedError as signal:
            # At the last step its validation was cut short: then the state before it counts.
            if self.steps_done < self.num_steps:
                self.save()
            self.progress.say(f"ended by {signal}; its state is in {self.file.path}, run again to go on")
            raise SystemExit(signal.exit_code) from None
        finally:
            self.preemption.stop_listening()
            self.progress.events.close()
            self.loader.close()
            if self.validation:
                self.validation.loader.close()

    def _run(self) -> None:
        self.preemption.listen()
        # Dropout must not be the same in the processes that share a batch; the first keeps its seed.
        if self.processes.rank:
            torch.manual_seed(torch.initial_seed() + self.processes.rank)
        if self.saved:
            self.restore(self.saved)
        self.progress.begin(self.steps_done, self.step.device)
        # A saved state with losses at the time of a validation: a signal cut that validation short.
        cut_short = bool(self.saved and self.record_due and self.losses)
        stop = cut_short and self.validate_and_record()
        self.saved, pieces = None, iter(self.loader)
        while not stop and self.steps_done < self.num_steps:
            if self.steps_done % self.stream.steps_of_pass == 0:
                self.stream.begin_pass()
            self.take_step(islice(pieces, self.step.accumulate))
            self.progress.report(self.steps_done, self.losses)
            stop = self.record_due and self.validate_and_record()
            if stop or self.steps_done == self.num_steps:
                return
            if self.record_due and self.processes.any(self.processes.first and self.file.due):
                self.save()
            self.preemption.check()

    def take_step(self, pieces: Iterable[Sequence[torch.Tensor]]) -> None:
        """Take a step; a loss that is no number ends the run."""
        losses = self.step(pieces)
        self.losses += losses
        self.unchecked_losses += losses
        if (self.steps_done + 1) % self.step.check_losses_every == 0:
            self.check_losses()
            if self.trial:
                self.trial.look(self.steps_done + 1)
        self.steps_done += 1

    def check_losses(self) -> None:
        """Raise a DivergenceError if a loss since the last check is no number."""
        losses = torch.stack(self.unchecked_losses).tolist() if self.unchecked_losses else []
        wrong = [loss for loss in losses if not math.isfinite(loss)]
        if wrong:
            raise divergence(
                f"the training loss became {wrong[0]} at step {self.steps_done}", "a finite loss"
            )
        self.unchecked_losses.clear()

    @property
    def record_due(self) -> bool:
        """Whether a validation, or a row of the history, follows the last step."""
        return self.record_every is not None and self.steps_done % self.record_every == 0

    def validate_and_record(self) -> bool:
        """Validate, add a row to the history, keep the best weights; returns whether the run stops early."""
        self.check_losses()
        if self.trial:
            self.trial.interrupted()
        found = self.validate(self.validation) if self.validation else {}
        windows_seen = self.steps_done * self.computation.batches.size
        row: dict[str, float] = {"step": self.steps_done, "windows_seen": windows_seen}
        row["train_loss"] = self.processes.mean(float(torch.stack(self.losses).mean()))
        row["learning_rate"] = self.step.optimizer.param_groups[0]["lr"]
        self.history.append(row | found)
        self.losses.clear()
        if not self.validation:
            return False
        self.progress.show_validation(self.history[-1])
        best = self.validation.best
        stop = best.update(self.step.model, self.history[-1]) and self.steps_done < self.num_steps
        if stop:
            without = f"no better validation for {best.patience:,} windows"
            self.progress.say(f"step {self.steps_done}: {without}, stops")
        return stop

    def validate(self, validation: Validation) -> dict[str, float]:
        """Score the scans in the precision of the training; metrics are computed in float64.

        Raises:
            DivergenceError: scores are no numbers.
            PreemptedError: a signal came; torch's generator is then as if validation had not begun.
        """
        step, loader, labels = self.step, validation.loader, validation.labels
        model, seen = step.model, validation.input_settings

        def on_batch(number: int) -> None:
            self.preemption.check()
            self.progress.during_validation(number, len(loader))

        before = random_state(step.device)
        begin_pass()
        model.eval()
        try:
            with autocast(step.device, step.precision):
                logits = scan_logits(model, loader, len(labels), seen, device=step.device, on_batch=on_batch)
        except PreemptedError:
            set_random_state(before)
            raise
        finally:
            model.train()
        logits = self.processes.maximum(logits)
        if not torch.isfinite(logits).all():
            what = f"scores of validation scans are not finite at step {self.steps_done}"
            raise divergence(what, "finite scores", ", or replace training.precision 16-mixed")
        return validation_metrics(logits, labels)

    def _parts(self) -> dict[str, Any]:
        step, best = self.step, {"best": self.validation.best} if self.validation else {}
        parts = {"model": step.model, "optimizer": step.optimizer, "scheduler": step.scheduler}
        return parts | {"scaler": step.scaler, "progress": self.progress} | best

    def save(self) -> None:
        """Save the state; every process must call it."""
        own = random_state(self.step.device) | {"losses": [float(loss) for loss in self.losses]}
        own_of_all = self.processes.gather(own)
        if self.processes.first:
            parts = {name: part.state_dict() for name, part in self._parts().items()}
            augmentation = self.generator.get_state() if self.generator else None
            state = {"step": self.steps_done, "history": self.history, "augmentation": augmentation}
            self.file.save(state | {"own": own_of_all, "parts": parts})

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, part in self._parts().items():
            part.load_state_dict(state["parts"][name])
        self.history = state["history"]
        if self.generator:
            self.generator.set_state(state["augmentation"])
        own = state["own"][self.processes.rank]
        self.losses = [torch.tensor(loss, device=self.step.device) for loss in own["losses"]]
        set_random_state(own)
