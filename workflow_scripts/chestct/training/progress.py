"""Live progress in the log, event files for TensorBoard, and what a run's record says of speed."""

import time
from pathlib import Path
from typing import Any

import torch

from chestct.errors import InputError
from chestct.log import REPORT_SECONDS
from chestct.training.budget import Batches
from chestct.training.lean import pl
from chestct.training.machine.processes import Processes
from chestct.training.module import TrainingModule
from chestct.training.windows.loader import Loader


class Events:
    """Event files of one run; nothing where they are not wanted.

    Args:
        folder: of the event files, or None.
        step: steps that were done before; events of later ones, from a try that was killed, are hidden.

    Raises:
        InputError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path | None, *, step: int = 0) -> None:
        self.writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                f"TensorBoard cannot be imported: {error}",
                where="configuration key 'training.tensorboard'",
                expected="the package tensorboard in the environment of the training step",
                remedy="install it, or set training.tensorboard to false; history.csv has the same curves",
            ) from error
        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Write numbers by name."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is waiting."""
        if self.writer is not None:
            self.writer.close()


class Progress(pl.Callback):
    """Reports where a run stands, and measures it.

    Args:
        name: of the run, before every line.
        num_steps: of the run.
        batches: windows of a step.
        loader: whose waiting time counts.
        processes: the first one reports.
        events: for TensorBoard.
    """

    def __init__(
        self,
        name: str,
        *,
        num_steps: int,
        batches: Batches,
        loader: Loader,
        processes: Processes,
        events: Events,
    ) -> None:
        self.name = name
        self.num_steps = num_steps
        self.batches = batches
        self.loader = loader
        self.processes = processes
        self.events = events
        self.resumed = 0
        # Of earlier tries.
        self._seconds_before = self._waited_before = 0.0
        self._start = self._reported = time.perf_counter()

    def say(self, text: str) -> None:
        """A line in the log."""
        if self.processes.first:
            print(f"{self.name}: {text}", flush=True)
        self._reported = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time of training and validation, over all tries."""
        return self._seconds_before + time.perf_counter() - self._start

    @property
    def waited(self) -> float:
        """Seconds of it in which training waited for data."""
        return self._waited_before + self.loader.waited

    def windows_per_second(self, steps: int) -> float:
        """Training windows a second of that time."""
        return steps * self.batches.size / max(self.seconds, 1e-9)

    @property
    def waited_percent(self) -> float:
        """Share of that time in which training waited for data."""
        return 100 * self.waited / max(self.seconds, 1e-9)

    def measured(self, steps: int) -> dict[str, float]:
        """Columns of a run's record."""
        return {
            "seconds": round(self.seconds, 2),
            "windows_per_second": round(self.windows_per_second(steps), 2),
            "data_wait_percent": round(self.waited_percent, 2),
            "resumed": self.resumed,
        }

    def begin(self, module: TrainingModule) -> None:
        """Training goes on from here."""
        self._start = time.perf_counter()
        again = f", resumed after step {module.first_step}" if module.first_step else ""
        self.say(f"{self.num_steps} steps of {self.batches.size} windows on {module.device}{again}")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report if it is time."""
        if time.perf_counter() - self._reported < REPORT_SECONDS or not module.losses:
            return
        loss = float(torch.stack(module.losses[-self.batches.accumulate :]).mean())
        speed = self.windows_per_second(module.step)
        self.say(
            f"step {module.step}/{self.num_steps}: loss {loss:.3f}, {speed:.1f} windows/s, "
            f"{self.waited_percent:.0f} % of the time waiting for data, {self._left(module.step)} left"
        )
        values = {"windows_per_second": speed, "data_wait_percent": self.waited_percent}
        self.events.add(module.step, {"train/loss": loss} | values)

    def _left(self, step: int) -> str:
        """Time to the last step, at the mean speed so far, validations included."""
        seconds = self.seconds / max(step, 1) * (self.num_steps - step)
        for length, unit in ((3600, "h"), (60, "min")):
            if seconds >= length:
                return f"{seconds / length:.1f} {unit}"
        return f"{seconds:.0f} s"

    def during_validation(self, number: int, total: int) -> None:
        """Report if it is time."""
        if time.perf_counter() - self._reported >= REPORT_SECONDS:
            self.say(f"validating, batch {number}/{total}")

    def show_validation(self, module: TrainingModule, auroc: float, loss: float) -> None:
        """Report a validation."""
        self.say(f"step {module.step}/{self.num_steps}: validation AUROC {auroc:.3f}, loss {loss:.3f}")
        row = module.history[-1]
        values = {"validation/auroc": auroc, "validation/loss": loss, "train/mean_loss": row["train_loss"]}
        self.events.add(module.step, values | {"learning_rate": row["learning_rate"]})

    def get_state(self) -> dict[str, Any]:
        """Times so far."""
        return {"resumed": self.resumed, "seconds": self.seconds, "waited": self.waited}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.resumed = state["resumed"] + 1
        self._seconds_before, self._waited_before = state["seconds"], state["waited"]
