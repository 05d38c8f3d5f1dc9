"""A training step of the engine with its real loader, beside the same step on samples already in memory.

Both go through ``chestct.training.loop``; only the dataset differs. On a GPU the job's own workers read.
"""

import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from conversion import convert_ours
from model_input import training_input
from setting import emit, real_series, scratch
from torch import nn
from torch.utils.data import Dataset

from chestct.catalogue import MODELS
from chestct.models import build_model
from chestct.training.budget import Batches
from chestct.training.checkpoint import StateFile
from chestct.training.loop import Loop, Step
from chestct.training.machine.computation import Computation
from chestct.training.machine.device import tune
from chestct.training.machine.processes import Processes
from chestct.training.schedule import Schedule
from chestct.training.windows.batch_order import BalancedStream
from chestct.training.windows.dataset import Scan, TrainingWindows
from chestct.training.windows.training_input import WindowInput
from chestct.volume_store import list_scans, read_volume

#: The model of least operations at the paper's size: where a loader shows most.
_MODEL = "x3d_m"
_SLICES, _CROP_PX = 32, 224
_STEPS, _REPEATS = 3, 3


class InMemory(Dataset):
    """The same sample at every place, read once."""

    def __init__(self, dataset: TrainingWindows) -> None:
        self.dataset = dataset
        self.sample = dataset[0, 0]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: object) -> object:
        return self.sample


class Timed(Step):
    """Notes when every step ends."""

    ends: list[tuple[float, float]]  # by the clock, of the processor

    def __call__(self, pieces: Iterable[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        losses = super().__call__(pieces)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.append((time.perf_counter(), time.process_time()))
        return losses


def scans_of(shard: Path) -> list[Scan]:
    """The scan of a shard twice, once as a positive one."""
    (study_id,) = list_scans(shard)
    starts = tuple(range(0, len(read_volume(shard, study_id).hu) - _SLICES, _SLICES // 2))
    return [
        Scan(
            patient_id="p",
            study_id=study_id,
            label=label,
            store=str(shard),
            starts=starts,
            stops=tuple(start + _SLICES for start in starts),
            window_labels=(label,) * len(starts),
        )
        for label in (0, 1)
    ]


def step_seconds(model: nn.Module, dataset: Dataset, folder: Path, gpus: int) -> tuple[float, float]:
    """Least (seconds, processor seconds) of a step, the first of a run left out."""
    batches = Batches(size=8 if gpus else 2)
    settings = training_input(_MODEL, _CROP_PX)
    steps = 10 * _STEPS if gpus else _STEPS
    precision = "bf16-mixed" if gpus else "32-true"
    step = Timed(
        model,
        WindowInput(settings, batches, seed=0),
        nn.functional.binary_cross_entropy_with_logits,
        Schedule(learning_rate=1e-6, weight_decay=0.0, num_steps=steps),
        precision=precision,
        gpus=gpus,
        batches=batches,
    )
    step.ends = []
    computation = Computation(
        name=_MODEL,
        precision=precision,
        gpus=gpus,
        num_workers=6 if gpus else 0,
        batches=batches,
        processes=Processes(),
        file=StateFile(folder, "benchmark"),
        events=None,
    )
    stream = partial(BalancedStream, [0, 1], batches, seed=0, num_steps=steps)
    Loop(step, dataset, stream, computation).run()
    times = [
        (after[0] - before[0], after[1] - before[1])
        for before, after in zip(step.ends, step.ends[1:], strict=False)
    ]
    if gpus:  # workers read ahead: single steps tell nothing, their mean does
        return tuple(sum(values) / len(values) for values in zip(*times[_STEPS:], strict=True))  # type: ignore
    return tuple(min(values) for values in zip(*times, strict=True))  # type: ignore[return-value]


def main() -> None:
    torch.set_num_threads(1)
    gpus = int(torch.cuda.is_available())
    with scratch() as folder:
        series, words = real_series(folder)
        real = TrainingWindows(scans_of(convert_ours([series], folder)), seed=0)
        model = build_model(_MODEL, num_slices=_SLICES, size_px=_CROP_PX, seed=0)
        tune(model, gpus=gpus, precision="bf16-mixed" if gpus else "32-true")
        seconds: dict[str, list[tuple[float, float]]] = {"memory": [], "real": []}
        for _ in range(_REPEATS):
            for way, dataset in (("memory", InMemory(real)), ("real", real)):
                seconds[way].append(step_seconds(model, dataset, folder, gpus))
        memory, ours = (tuple(map(min, zip(*seconds[way], strict=True))) for way in ("memory", "real"))
        emit(
            f"Training step of {MODELS[_MODEL].title} with the real loader",
            baseline="the same step, samples in memory",
            ours="windows read from the store",
            baseline_value=memory[0],
            our_value=ours[0],
            unit="s",
            ratio=memory[0] / ours[0],
            must=0.9,
            aim=0.95,
            processor_ratio=memory[1] / ours[1],
            data=f"{words}; {'a GPU, bf16' if gpus else 'CPU'}, {8 if gpus else 2} windows of "
            f"{_SLICES} x {_CROP_PX} x {_CROP_PX}",
        )


if __name__ == "__main__":
    main()
