"""A run that SIGTERM ends goes on to the weights of one that was let be; exhausted memory is told."""

import os
import signal
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from findings import Report
from machine import Machine
from torch import nn
from torch.utils.data import Dataset

from chestct.errors import InputError
from chestct.intensity import AIR_HU
from chestct.models import build_model
from chestct.training.budget import Batches
from chestct.training.checkpoint import StateFile
from chestct.training.loop import Loop, Step
from chestct.training.machine.computation import Computation
from chestct.training.machine.device import memory_errors, tune
from chestct.training.machine.processes import Processes
from chestct.training.measure.speed import Setting, time_engine
from chestct.training.schedule import Schedule
from chestct.training.windows.batch_order import BalancedStream
from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.training_input import WindowInput

MODEL, SLICES, SIZE_PX, STORED_PX, BATCH, STEPS, ENDED_AT = "x3d_narrow", 8, 32, 40, 4, 8, 3


class Samples(Dataset):
    """Windows of noise, the positive ones brighter."""

    labels = (0, 1) * 4

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, float]:
        draw, position = key
        generator = torch.Generator().manual_seed(draw)
        hu_THW = torch.randint(-900, 400, (SLICES, STORED_PX, STORED_PX), generator=generator)
        return (hu_THW + 200 * self.labels[position]).to(torch.int16), float(self.labels[position])


class Ended(Step):
    """Sends its process a SIGTERM at one step, as a scheduler does that wants the machine back."""

    at: int | None = None
    taken = 0

    def __call__(self, pieces: Iterable[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        losses = super().__call__(pieces)
        self.taken += 1
        if self.taken == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses


def train(machine: Machine, folder: Path, *, end_at: int | None = None) -> tuple[torch.Tensor, int]:
    """Train, or go on; all weights in one row, and the steps that this try took."""
    torch.manual_seed(0)
    model = build_model(MODEL, num_slices=SLICES, size_px=SIZE_PX, seed=0)
    tune(model, gpus=machine.gpus, precision=machine.precision)
    batches = Batches(size=BATCH)
    settings = InputSettings(
        crop_px=SIZE_PX, max_rotation_degrees=20.0, max_shift_px=None, flip=True, interpolation="bilinear",
        centre_hu=-600.0, width_hu=1500.0, fill=AIR_HU, mean=(0.45,) * 3, std=(0.225,) * 3,
    )  # fmt: skip
    prepare = WindowInput(settings, batches, seed=0)
    step = Ended(
        model,
        prepare,
        nn.functional.binary_cross_entropy_with_logits,
        Schedule(learning_rate=1e-3, weight_decay=0.0, num_steps=STEPS),
        precision=machine.precision,
        gpus=machine.gpus,
        batches=batches,
    )
    step.at = end_at
    computation = Computation(
        name=MODEL,
        precision=machine.precision,
        gpus=machine.gpus,
        num_workers=0,
        batches=batches,
        processes=Processes(),
        file=StateFile(folder, "gpu check"),
        events=None,
    )
    stream = partial(BalancedStream, list(Samples.labels), batches, seed=0, num_steps=STEPS)
    Loop(step, Samples(), stream, computation, generator=prepare.generator).run()
    return torch.cat([p.detach().float().flatten().cpu() for p in step.model.parameters()]), step.taken


def check_resume(report: Report, machine: Machine) -> None:
    """A resumed run ends no further from an uninterrupted one than two of these from each other."""
    start = build_model(MODEL, num_slices=SLICES, size_px=SIZE_PX, seed=0)
    begun = torch.cat([p.detach().flatten() for p in start.parameters()])
    with TemporaryDirectory() as first, TemporaryDirectory() as second, TemporaryDirectory() as third:
        whole, _ = train(machine, Path(first))
        again, _ = train(machine, Path(second))
        try:
            train(machine, Path(third), end_at=ENDED_AT)
            code = 0
        except SystemExit as end:
            code = end.code
        resumed, taken = train(machine, Path(third))
    way = (whole - begun).norm()
    apart, usual = float((resumed - whole).norm() / way), float((again - whole).norm() / way)
    report.add(
        "recovery",
        f"SIGTERM after step {ENDED_AT} of {STEPS}",
        f"exit code {code}, {taken} steps after it; weights differ by {apart:.1e} of what training changed "
        f"(two whole runs: {usual:.1e})",
        code == 128 + signal.SIGTERM and taken == STEPS - ENDED_AT and apart <= 3 * usual + 1e-3,
    )


def check_memory_message(report: Report, machine: Machine) -> None:
    """Exhausted memory ends in one message that says what to change."""
    message = "no error"
    try:
        with memory_errors("the check of memory", windows=BATCH, precision=machine.precision):
            if not machine.gpus:
                torch.empty(1 << 60, dtype=torch.uint8)
            torch.cuda.set_per_process_memory_fraction(0.02)
            time_engine(
                "slow_r50",
                Setting(
                    window=32, size=224, batch=8, gpus=1, precision=machine.precision, repeats=1, threads=1,
                    compiled=False, plain=False,
                ),
            )  # fmt: skip
    except InputError as error:
        message = " ".join(str(error).split())
    finally:
        if machine.gpus:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
    report.add("recovery", "memory exhausted", message[:160], "out of" in message and "accumulate" in message)


def check_recovery(report: Report, machine: Machine) -> None:
    """Both."""
    report.run("recovery", "SIGTERM", 20, lambda: check_resume(report, machine))
    report.run("recovery", "memory exhausted", 15, lambda: check_memory_message(report, machine))
