"""Which weights of a run are the best, and when a run stops early."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.loader import Loader


def copy_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's state as tensors of their own on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


class BestWeights:
    """Keeps the weights of the best validation, and knows how many windows were seen up to it.

    The best has the highest AUROC; between equals the lower loss decides.

    Args:
        patience: windows seen without a better validation after which a run stops; None: it never does.
        keep: whether this process keeps the weights, or only the numbers.
    """

    def __init__(self, *, patience: int | None, keep: bool) -> None:
        self.patience = patience
        self.keep = keep
        self.auroc, self.loss, self.step, self.windows_seen = -math.inf, math.inf, 0, 0
        self.weights: dict[str, torch.Tensor] = {}

    def update(self, model: nn.Module, row: dict[str, float]) -> bool:
        """Note a validation of the model, a row of the history; returns whether patience is at its end."""
        auroc, loss = row["validation_auroc"], row["validation_loss"]
        if (auroc, -loss) > (self.auroc, -self.loss):
            self.auroc, self.loss = auroc, loss
            self.step, self.windows_seen = int(row["step"]), int(row["windows_seen"])
            self.weights = copy_state(model) if self.keep else {}
            return False
        return self.patience is not None and row["windows_seen"] - self.windows_seen >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The best so far."""
        return {name: value for name, value in vars(self).items() if name not in ("patience", "keep")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        vars(self).update(state)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a run is validated on: whole scans, of which a score is the maximum over its windows.

    Attributes:
        labels: of the scans.
        loader: this process's share of their windows.
        input_settings: what the model sees of a window.
        every: steps between validations.
        best: keeps the best weights.
    """

    labels: torch.Tensor
    loader: Loader
    input_settings: InputSettings
    every: int
    best: BestWeights
