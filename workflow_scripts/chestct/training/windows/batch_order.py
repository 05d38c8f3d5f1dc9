"""Order of training samples: one stream of batches for a whole run, which can start at any step.

Passes over the data follow one another without a break, so that worker processes never stop, and a
resumed run goes on in the middle of a pass. An item of a batch is what the dataset is indexed with.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from chestct.training.budget import Batches


def begin_pass() -> None:
    """Take one number from torch's generator, as a pass over a DataLoader does where it has no other.

    Dropout draws from the same generator. With the number taken here, and the loaders given generators of
    their own, what is trained depends neither on the number of workers nor on how passes are joined.
    """
    torch.empty((), dtype=torch.int64).random_()


class BatchStream(Sampler[list[Any]]):
    """Pieces of batches, from one step of a run to its last.

    Args:
        num_samples: samples of a pass, a multiple of the batch size.
        batches: size of the batches, and this process's piece of them.
        num_steps: of the whole run.
        first_step: steps that were done before.
    """

    def __init__(self, num_samples: int, batches: Batches, *, num_steps: int, first_step: int = 0) -> None:
        assert num_samples % batches.size == 0
        self.batches = batches
        self.num_steps = num_steps
        self.first_step = first_step
        self.steps_of_pass = num_samples // batches.size

    @abstractmethod
    def order(self, number: int) -> Sequence[Any]:
        """Items of one pass in their order; called for one pass after the other, from 0 on."""

    def begin_pass(self) -> None:
        """To be called before the first step of every pass."""
        begin_pass()

    def __len__(self) -> int:
        return (self.num_steps - self.first_step) * self.batches.accumulate

    def __iter__(self) -> Iterator[list[Any]]:
        for number in range(math.ceil(self.num_steps / self.steps_of_pass)):
            items, first = self.order(number), number * self.steps_of_pass
            for step in range(max(first, self.first_step), min(first + self.steps_of_pass, self.num_steps)):
                start = (step - first) * self.batches.size
                yield from self.batches.own(list(items[start : start + self.batches.size]))


class BalancedStream(BatchStream):
    """Draws as many positive as negative scans; every scan of a class before any repeats.

    A pass is as many draws as there are scans, rounded up to full batches. An item is (draw, scan index);
    draws are numbered over the run.
    """

    def __init__(self, labels: list[int], batches: Batches, *, seed: int, **steps: int) -> None:
        self.classes = [np.flatnonzero(np.asarray(labels) == value) for value in (0, 1)]
        self.num_draws = math.ceil(len(labels) / batches.size) * batches.size
        self.seed = seed
        super().__init__(self.num_draws, batches, **steps)

    def order(self, number: int) -> list[tuple[int, int]]:
        """Items of one pass."""
        rng = np.random.default_rng([self.seed, 1, number])
        half = math.ceil(self.num_draws / 2)
        drawn = []
        for members in self.classes:
            rounds = math.ceil(half / len(members))
            drawn.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:half])
        order = rng.permutation(np.concatenate(drawn))[: self.num_draws]
        first = number * self.num_draws
        return [(first + i, int(position)) for i, position in enumerate(order)]


class ShuffledStream(BatchStream):
    """Every sample once a pass, in random order; what does not fill a batch is left out of the pass."""

    def __init__(self, num_samples: int, batches: Batches, *, seed: int, **steps: int) -> None:
        self.num_samples = num_samples
        self.generator = torch.Generator()
        self.seed = seed
        super().__init__(num_samples // batches.size * batches.size, batches, **steps)

    def begin_pass(self) -> None:
        """Torch's generator is not asked: the order has one of its own."""

    def order(self, number: int) -> list[int]:
        """Items of one pass."""
        if number == 0:
            self.generator.manual_seed(self.seed)
        # A DataLoader that shuffles takes a number before each pass: the same orders as with one.
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        return torch.randperm(self.num_samples, generator=self.generator).tolist()
