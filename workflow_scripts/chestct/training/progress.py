"""Live progress in the log, event files for TensorBoard, and what a run's record says of speed."""

import time
from pathlib import Path
from typing import Any

import torch

from chestct.errors import InputError
from chestct.log import REPORT_SECONDS
from chestct.training.machine.computation import Computation
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


class Progress:
    """Reports where a run stands, and measures it.

    Args:
        computation: the run's name, batches and processes, of which the first one reports.
        num_steps: of the run.
        loader: whose waiting time counts.
        events: for TensorBoard.
    """

    def __init__(self, computation: Computation, *, num_steps: int, loader: Loader, events: Events) -> None:
        self.computation, self.batches = computation, computation.batches
        self.num_steps, self.loader, self.events = num_steps, loader, events
        self.resumed = 0
        # Of earlier tries.
        self._seconds_before = self._waited_before = 0.0
        self._start = self._reported = time.perf_counter()

    def say(self, text: str) -> None:
        """A line in the log."""
        if self.computation.processes.first:
            print(f"{self.computation.name}: {text}", flush=True)
        self._reported = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time of training and validation, over all tries."""
        return self._seconds_before + time.perf_counter() - self._start

    @property
    def waited(self) -> float:
        """Seconds of it in which training waited for data."""
        return self._waited_before + self.loader.waited

    def speed(self, step: int) -> dict[str, float]:
        """Training windows a second of that time, and the share of it in which training waited for data."""
        seconds = max(self.seconds, 1e-9)
        return {
            "windows_per_second": step * self.batches.size / seconds,
            "data_wait_percent": 100 * self.waited / seconds,
        }

    def measured(self, step: int) -> dict[str, float]:
        """Columns of a run's record."""
        speed = {name: round(value, 2) for name, value in self.speed(step).items()}
        return {"seconds": round(self.seconds, 2), "resumed": self.resumed} | speed

    def begin(self, step: int, device: torch.device) -> None:
        """Training goes on after this step."""
        self._start = time.perf_counter()
        again = f", resumed after step {step}" if step else ""
        self.say(f"{self.num_steps} steps of {self.batches.size} windows on {device}{again}")

    def report(self, step: int, losses: list[torch.Tensor]) -> None:
        """Report a step if it is time."""
        if time.perf_counter() - self._reported < REPORT_SECONDS:
            return
        loss = float(torch.stack(losses[-self.batches.accumulate :]).mean())
        speed = self.speed(step)
        self.say(
            f"step {step}/{self.num_steps}: loss {loss:.3f}, {speed['windows_per_second']:.1f} windows/s, "
            f"{speed['data_wait_percent']:.0f} % of the time waiting for data, {self._left(step)} left"
        )
        self.events.add(step, {"train/loss": loss} | speed)

    def _left(self, step: int) -> str:
        """Time to the last step, at the mean speed so far, validations included."""
        seconds = self.seconds / max(step, 1) * (self.num_steps - step)
        for length, unit in ((3600, "h"), (60, "min")):
            if seconds >= length:
                return f"{seconds / length:.1f} {unit}"
        return f"{seconds:.0f} s"

    def during_validation(self, number: int, total: int) -> None:
        """Report a batch of a validation if it is time."""
        if time.perf_counter() - self._reported >= REPORT_SECONDS:
            self.say(f"validating, batch {number}/{total}")

    def show_validation(self, row: dict[str, float]) -> None:
        """Report a validation, given its row of the history."""
        step, auroc, loss = row["step"], row["validation_auroc"], row["validation_loss"]
        self.say(f"step {step}/{self.num_steps}: validation AUROC {auroc:.3f}, loss {loss:.3f}")
        values = {"validation/auroc": auroc, "validation/loss": loss, "train/mean_loss": row["train_loss"]}
        self.events.add(int(step), values | {"learning_rate": row["learning_rate"]})

    def state_dict(self) -> dict[str, Any]:
        """Times so far."""
        return {"resumed": self.resumed, "seconds": self.seconds, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.resumed = state["resumed"] + 1
        self._seconds_before, self._waited_before = state["seconds"], state["waited"]
