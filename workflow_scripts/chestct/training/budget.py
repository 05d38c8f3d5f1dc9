"""How long a run trains and how its batches are shared out; without torch, for the plan of a study too."""

import math
from dataclasses import dataclass
from typing import TypeVar

from chestct.errors import InputError
from chestct.training.settings import TrainingSettings

_Values = TypeVar("_Values")


def num_training_steps(num_scans: int, settings: TrainingSettings) -> int:
    """Optimisation steps of a run: max_epochs passes, at least min_steps; the same for every arm.

    Rounded up to a multiple of the number of validations, so that the last one sees the last step. With
    patience it is an upper bound.
    """
    steps = max(settings.min_steps, settings.max_epochs * math.ceil(num_scans / settings.batch_size))
    return math.ceil(steps / settings.num_validations) * settings.num_validations


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How the windows of a step are shared out: over processes, and over pieces one after another.

    A batch is cut into ``accumulate`` parts and every part into a piece a process. Random parameters are
    drawn for the whole batch in its order, so that the cut changes memory and speed, not the step.

    Attributes:
        size: windows of a step.
        accumulate: parts that a batch is computed in, gradients adding up.
        rank, world: number of this process and of all.

    Raises:
        InputError: the batch cannot be cut into equal pieces.
    """

    size: int
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.size % (self.accumulate * self.world):
            raise InputError(
                f"a batch of {self.size} windows cannot be cut into {self.accumulate} x {self.world} pieces",
                where="configuration keys 'training.batch_size' and 'training.accumulate'",
                expected="a multiple of accumulate times the number of GPUs (or processes)",
                remedy="change batch_size or accumulate for this model, or the number of GPUs",
            )

    @property
    def piece(self) -> int:
        """Windows that a process computes at once."""
        return self.size // (self.accumulate * self.world)

    @property
    def before(self) -> int:
        """Windows of a part that other processes compute before this one's, in the batch's order."""
        return self.rank * self.piece

    @property
    def after(self) -> int:
        """Windows of a part that come after this process's."""
        return (self.world - 1 - self.rank) * self.piece

    def own(self, batch: list[_Values]) -> list[list[_Values]]:
        """This process's piece of every part of a batch."""
        width = self.piece * self.world
        starts = [part * width + self.before for part in range(self.accumulate)]
        return [batch[start : start + self.piece] for start in starts]
