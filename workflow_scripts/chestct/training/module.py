"""The Lightning module: one optimiser, one schedule, one loss, alike for every arm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from chestct.errors import DivergenceError
from chestct.training.budget import Batches
from chestct.training.lean import pl
from chestct.training.windows.augmentation import InputSettings
from chestct.training.windows.cpu_input import TrainingInput

Prepare = Callable[[Any], tuple[torch.Tensor, torch.Tensor]]

#: Steps of a GPU between looks at its losses: a look waits for the GPU, which then waits for new work.
_LOOK_EVERY = 10
#: Random numbers that a window's augmentation takes.
_NUMBERS_OF_A_WINDOW = 4


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate over a run.

    With a known end it is one cycle (Smith & Topin, 2018): up, then down to nothing at the last step.
    Where a run may stop early, its last step is unknown, and a cycle that is cut off would leave it at
    another rate than one that is not; the rate then rises until the first validation and stays.

    Attributes:
        learning_rate: the largest.
        weight_decay: of Adam.
        num_steps: of the run, at most.
        warm_up_steps: steps until the rate is reached that then stays; None for one cycle.
    """

    learning_rate: float
    weight_decay: float
    num_steps: int
    warm_up_steps: int | None = None

    def build(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """The scheduler, to be stepped after every step."""
        if self.warm_up_steps is None:
            return torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.learning_rate, total_steps=self.num_steps + 1
            )
        return torch.optim.lr_scheduler.LinearLR(
            optimizer, start_factor=1 / self.warm_up_steps, total_iters=self.warm_up_steps - 1
        )


class TrainingModule(pl.LightningModule):
    """Trains a model with Adam.

    Args:
        model: (B, 3, T, H, W) -> logits.
        loss: (logits, targets) -> scalar; computed in float32.
        prepare: turns a training batch into (input_BCTHW, targets).
        schedule: learning rate and number of steps.
        still: modules that stay in evaluation mode, so that neither statistics nor dropout touch them.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        prepare: Prepare,
        *,
        schedule: Schedule,
        still: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self._still = tuple(still)
        self.model = model
        self.loss = loss
        self.prepare = prepare
        self.schedule = schedule
        #: Steps that were done before this process began.
        self.first_step = 0
        self.history: list[dict[str, float]] = []
        self.losses: list[torch.Tensor] = []
        self._looked = 0
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but what stays still."""
        super().train(mode)
        for module in self._still:
            module.training = False  # not eval(): it would reach the head inside
        return self

    @property
    def has_still_parts(self) -> bool:
        """Whether a part of the model is not trained and stays in evaluation mode."""
        return bool(self._still)

    @property
    def step(self) -> int:
        """Optimisation steps of the run that are done."""
        return self.first_step + self.global_step

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Loss of one piece of a batch; a loss that is no number stops the run."""
        inputs, targets = self.prepare(batch)
        loss = self.loss(self.model(inputs).float(), targets)
        self.losses.append(loss.detach())
        if loss.device.type == "cpu" or len(self.losses) - self._looked >= _LOOK_EVERY:
            self.look_at_losses()
        return loss

    def look_at_losses(self) -> None:
        """Stop the run if a loss since the last look is no number.

        Raises:
            DivergenceError: it is not.
        """
        losses = torch.stack(self.losses[self._looked :]) if self.losses[self._looked :] else torch.zeros(1)
        self._looked = len(self.losses)
        wrong = losses[~torch.isfinite(losses)]
        if len(wrong):
            raise DivergenceError(
                f"the training loss became {wrong[0].item()} at step {self.step}",
                where="training",
                expected="a finite loss",
                remedy="lower learning_rate for this model in the configuration",
            )

    def record(self, mean_loss: float, *, epoch: int, **values: float) -> None:
        """Add a row to the history and forget the losses that it stands for."""
        row: dict[str, float] = {"step": self.step, "epoch": epoch, "train_loss": mean_loss}
        row["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.losses.clear()
        self._looked = 0
        self.history.append(row | values)

    def configure_optimizers(self) -> Any:
        """Adam over what has gradients, the learning rate stepped every step."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(
            parameters,
            lr=self.schedule.learning_rate,
            weight_decay=self.schedule.weight_decay,
            fused=True,
        )
        scheduler = self.schedule.build(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def get_state(self) -> dict[str, Any]:
        """What was recorded."""
        return {"history": self.history}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.history = state["history"]

    def set_losses(self, losses: list[float]) -> None:
        """Put back this process's losses since the last row of the history."""
        self.losses = [torch.tensor(loss, device=self.device) for loss in losses]
        self._looked = len(self.losses)


class WindowInput:
    """Turns a piece of a batch of windows into the model's input and targets, on the windows' device.

    The generator lies on the CPU and draws for the whole batch, whatever piece of it is computed here.

    Args:
        settings: sizes and limits.
        batches: this process's piece of a batch.
        seed: of the augmentation.
    """

    def __init__(self, settings: InputSettings, batches: Batches, *, seed: int) -> None:
        self.batches = batches
        self.generator = torch.Generator().manual_seed(seed)
        self.training_input = TrainingInput(settings, self.generator)

    def _pass_over(self, num_windows: int) -> None:
        torch.rand((num_windows, _NUMBERS_OF_A_WINDOW), generator=self.generator)

    def __call__(self, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (input_BCTHW, targets of shape (B, 1))."""
        hu_BTHW, labels = batch
        self._pass_over(self.batches.before)
        inputs = self.training_input(hu_BTHW)
        self._pass_over(self.batches.after)
        return inputs, labels.to(inputs.dtype).unsqueeze(1)


def freeze(model: nn.Module, is_head: Callable[[str], bool]) -> list[nn.Module]:
    """Take the gradients of all but the head away; returns the modules that are to stay still.

    Args:
        model: the model.
        is_head: whether a parameter or module of this name belongs to the head.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_head(name))
    heads = [module for name, module in model.named_modules() if is_head(name)]
    return [module for module in model.modules() if not any(module is head for head in heads)]
