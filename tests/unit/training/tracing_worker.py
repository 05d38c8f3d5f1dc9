"""The worker of the training step with a small plain model, writing down what every process reads.

Lines of ``TRACE``/rank-N.txt are "train DRAW SCAN" and "score SCAN"; ``KILL_AT_STEP`` names a step at which
the second process gets SIGTERM, ``FAIL_AT_STEP`` one at which it raises an error that a user can mend, and
``WAIT_AT_STEP`` one at which it writes "waits" and goes on once a signal came.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from chestct.errors import InputError
from chestct.training import loop, start
from chestct.training.machine import worker
from chestct.training.windows import dataset as data


class Plain(nn.Module):
    """Convolutions without statistics over the batch and without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 8, 3, stride=2)
        self.second = nn.Conv3d(8, 8, 3, stride=2)
        self.head = nn.Linear(8, 1)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        features = self.second(self.first(x_BCTHW).relu())
        return self.head(features.mean(dim=(2, 3, 4)).tanh())


def build_plain(*_: object, seed: int, **__: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Plain()


def _note(*words: object) -> None:
    if "TRACE" in os.environ:
        with open(Path(os.environ["TRACE"]) / f"rank-{os.environ.get('RANK', 0)}.txt", "a") as file:
            print(*words, file=file)


def trace() -> None:
    """Change what the engine calls."""
    train, score = data.TrainingWindows.__getitem__, data.ScoringWindows.__getitem__
    step = loop.Loop.take_step
    data.TrainingWindows.__getitem__ = lambda self, key: _note("train", *key) or train(self, key)
    data.ScoringWindows.__getitem__ = lambda self, key: _note("score", self.items[key][0]) or score(self, key)

    def take_step(self, pieces):
        if os.environ.get("RANK") == "1" and self.steps_done == int(os.environ.get("KILL_AT_STEP", -1)):
            os.kill(os.getpid(), signal.SIGTERM)
        if os.environ.get("RANK") == "1" and self.steps_done == int(os.environ.get("FAIL_AT_STEP", -1)):
            raise InputError("the second process failed", where="here", expected="none", remedy="try")
        if os.environ.get("RANK") == "1" and self.steps_done == int(os.environ.get("WAIT_AT_STEP", -1)):
            _note("waits")
            while not self.preemption.received:
                time.sleep(0.01)
        step(self, pieces)

    loop.Loop.take_step = take_step
    start.build_model = build_plain


def main(place: str | Path) -> None:
    """Do what the request in a folder says, and write it down."""
    trace()
    worker.main(Path(place))


if __name__ == "__main__":
    main(sys.argv[1])
