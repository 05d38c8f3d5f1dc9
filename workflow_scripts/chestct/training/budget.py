"""How long a run trains and how its batches are shared out; without torch, for the plan of a study too."""

import math
from dataclasses import dataclass
from typing import TypeVar

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.training.settings import TrainingSettings

_Values = TypeVar("_Values")


def steps_between_validations(num_scans: int, settings: TrainingSettings) -> int:
    """Optimisation steps from one validation to the next: the budget's share, rounded up to whole steps.

    It does not depend on the budget factor: an arm that trains longer is validated after the same steps, and
    more often.
    """
    windows = settings.budget.of(num_scans)
    return math.ceil(windows / (settings.batch_size * settings.num_validations))


def count_validations(settings: TrainingSettings) -> int:
    """Validations of a run that does not stop early."""
    return math.ceil(settings.num_validations * settings.budget_factor)


def num_training_steps(num_scans: int, settings: TrainingSettings) -> int:
    """Optimisation steps of a run, at most: the windows of its budget, rounded up to steps and validations.

    So the last validation sees the last step. With patience a run may end before.
    """
    return steps_between_validations(num_scans, settings) * count_validations(settings)


def patience_windows(num_scans: int, settings: TrainingSettings) -> int | None:
    """Windows seen without a better validation after which a run stops; None: it does not stop early."""
    if settings.patience is None:
        return None
    return math.ceil(settings.patience.of(num_scans) * settings.budget_factor)


def check_parts(model: str, settings: TrainingSettings, *, gpus: int, processes: int = 1) -> None:
    """Stop where a model with BatchNorm would see a batch in parts: its statistics would be those of a part.

    Args:
        model: name in the catalogue, which says whether it has BatchNorm that is trained.
        settings: of its training.
        gpus: of every node, which share their statistics; 0: CPU.
        processes: of every node where there are no GPUs, which share none (PyTorch has it on GPUs only).

    Raises:
        InputError: names the model and what to change.
    """
    if not MODELS[model].batchnorm:
        return
    if settings.accumulate > 1:
        raise InputError(
            f"'{model}' has BatchNorm: {settings.accumulate} parts of a batch, each normalised by its "
            "own statistics, do not give the step of the whole batch",
            where="configuration key 'training.accumulate'",
            expected="1 for this model (models without BatchNorm may accumulate)",
            remedy="set accumulate: 1 for this model, and so for all its arms; where memory is short, take a "
            "GPU with more, more GPUs (training.gpus; they share statistics), or a smaller batch_size for "
            "all models alike",
        )
    num_processes = processes * settings.nodes
    if not gpus and num_processes > 1:
        raise InputError(
            f"'{model}' has BatchNorm, whose statistics {num_processes} processes share on GPUs only",
            where="configuration keys 'training.nodes' and 'training.gpus'",
            expected="GPUs, or one process",
            remedy="set training.nodes to 1, or train on GPUs",
        )


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How the windows of a step are shared out: over processes, and over pieces one after another.

    A batch is cut into ``accumulate`` parts and every part into a piece (micro-batch) a process. Parameters
    of the augmentation are drawn for the whole batch in its order, and the gradients of all pieces make the
    batch's, so that the cut changes memory and speed, not the step. This holds for models that see every
    window by itself. Models with BatchNorm do not: they take no parts (``check_parts``), and GPUs share their
    statistics. Dropout and stochastic depth are drawn anew for every piece.

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
