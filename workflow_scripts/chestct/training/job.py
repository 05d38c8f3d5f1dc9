"""What the jobs of the training step are given, as their rules say it."""

from dataclasses import dataclass
from typing import Any

from chestct.run import Run
from chestct.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class NetworkJob:
    """What every job takes in which a network that starts somewhere sees the scans of a dataset.

    Attributes:
        initial: its starting weights: path (or None), sha256 (or None), words and stand_in; of a file whose
            publisher names no digest also trusted_as, its name in the record of trusted files.
        display_window_hu: centre and width, of the dataset that the network is trained or fitted on.
        intensity: what the values of the scans are, hu or display.
        window_slices: slices that the network sees at once (``chestct.window_forms``).
        index, windows, splits: paths of the tables of the scans.
        code_digest: of the job's modules.
        gpus: of every node, a process each; 0: CPU.
        num_workers: processes that read windows, for every process that computes.
    """

    initial: dict[str, Any]
    display_window_hu: dict[str, float]
    intensity: str
    window_slices: int
    index: str
    windows: str
    splits: str
    code_digest: str
    gpus: int
    num_workers: int


@dataclass(frozen=True, kw_only=True)
class TrainingJob(NetworkJob):
    """A run to train.

    Attributes:
        run: the run.
        settings: training settings.
        subset: path of the table of the scans whose labels the run sees.
        conversion, training_data: how scans became windows, and what they are (``chestct.jobs.data_facts``),
            which the run's weights will say.
        processes: that train together where there are no GPUs.
    """

    run: Run
    settings: TrainingSettings
    subset: str
    conversion: dict[str, Any]
    training_data: dict[str, Any]
    processes: int = 1
