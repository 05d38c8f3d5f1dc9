"""Where and how a run is computed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chestct.files import digest_object
from chestct.training.budget import Batches
from chestct.training.checkpoint import StateFile
from chestct.training.machine.processes import Processes
from chestct.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Computation:
    """Where and how a run is computed, whatever it computes.

    Attributes:
        name: of the run, in the log.
        precision: 32-true, bf16-mixed or 16-mixed.
        gpus: of every node; 0: CPU.
        num_workers: processes that read samples.
        batches: how the windows of a step are shared out.
        processes: that train together.
        file: where states of the run are saved.
        events: folder of event files for TensorBoard, or None.
    """

    name: str
    precision: str
    gpus: int
    num_workers: int
    batches: Batches
    processes: Processes
    file: StateFile
    events: Path | None

    @classmethod
    def of_run(
        cls, name: str, settings: TrainingSettings, folder: Path, key: Any, *, gpus: int, num_workers: int
    ) -> "Computation":
        """The computation of a run by this process and its companions.

        Args:
            name: of the run, in the log.
            settings: of its training.
            folder: of its results, with its saved states.
            key: all that decides its result, but the machine.
            gpus: of every node; 0: CPU.
            num_workers: processes that read samples.
        """
        processes = Processes.current()
        return cls(
            name=name,
            precision=settings.precision,
            gpus=gpus,
            num_workers=num_workers,
            batches=Batches(
                size=settings.batch_size,
                accumulate=settings.accumulate,
                rank=processes.rank,
                world=processes.world,
            ),
            processes=processes,
            file=StateFile(folder, digest_object([key, torch.__version__, gpus > 0, processes.world])),
            events=folder / "tensorboard" if settings.tensorboard else None,
        )
