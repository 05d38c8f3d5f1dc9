"""Where and how a run is computed."""

from dataclasses import dataclass
from pathlib import Path

from chestct.training.budget import Batches
from chestct.training.checkpoint import StateFile
from chestct.training.machine.processes import Processes


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
