"""The learning rate from the first step of a run to its last."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate over a run.

    With a known end it is one cycle (Smith & Topin, 2018): up, then down to nothing at the last step.
    Where a run may stop early, its last step is unknown, and a cycle that is cut off would leave it at
    another rate than one that is not; the rate then rises until the first validation and stays constant.

    Attributes:
        learning_rate: the largest.
        weight_decay: factor of the L2 penalty that Adam adds to the gradients.
        num_steps: of the run, at most.
        warm_up_steps: steps of the rise to a rate that stays constant; None for one cycle.
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
