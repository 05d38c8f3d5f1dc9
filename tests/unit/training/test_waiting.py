"""A step of a GPU asks nothing back: it is looked at every tenth step, and in between nothing waits."""

from functools import partial
from typing import Any

import pytest
import torch
from engine_data import SETTINGS
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

from chestct.intensity import AIR_HU
from chestct.models import build_model
from chestct.training import loop as loop_module
from chestct.training.budget import Batches
from chestct.training.checkpoint import StateFile
from chestct.training.loop import Loop, Step
from chestct.training.machine.compile_trial import EXPECTED_SECONDS, CompileTrial
from chestct.training.machine.compiled import find_blocks
from chestct.training.machine.computation import Computation
from chestct.training.machine.processes import Processes
from chestct.training.schedule import Schedule
from chestct.training.windows import display_window
from chestct.training.windows.batch_order import ShuffledStream
from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.training_input import WindowInput

#: Operations whose result the CPU must have before it goes on: values, and sizes that depend on them.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique2", "_unique2"}
INPUT = InputSettings(
    crop_px=32,
    max_rotation_degrees=20,
    max_shift_px=None,
    flip=True,
    interpolation="bilinear",
    centre_hu=-600,
    width_hu=1500,
    fill=AIR_HU,
    mean=(0.45,) * 3,
    std=(0.225,) * 3,
)


class Waits(TorchDispatchMode):
    """Notes the operations that a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        # Indices that are flags are looked for first.
        flags = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITING or flags:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


class Samples(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, float]:
        return torch.full((8, 36, 36), 40 * index - 800, dtype=torch.int16), float(index % 2)


def run_steps(
    model: nn.Module, folder: Any, *, num_steps: int, accumulate: int = 1, trial: Any = None
) -> None:
    """A run without validation, which is looked at as a GPU's is."""
    batches = Batches(size=2, accumulate=accumulate)
    step = Step(
        model,
        WindowInput(INPUT, batches, seed=0),
        binary_cross_entropy_with_logits,
        Schedule(learning_rate=1e-4, weight_decay=1e-6, num_steps=num_steps),
        precision="bf16-mixed",
        gpus=0,
        batches=batches,
    )
    step.check_losses_every = loop_module._CHECK_LOSSES_EVERY
    computation = Computation(
        name="test",
        precision="bf16-mixed",
        gpus=0,
        num_workers=0,
        batches=batches,
        processes=Processes(),
        file=StateFile(folder, "key"),
        events=None,
    )
    stream = partial(ShuffledStream, 8, batches, seed=0, num_steps=num_steps)
    Loop(step, Samples(), stream, computation, trial=trial).run()


def test_twenty_steps_are_waited_for_twice(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    for method in ("tolist", "cpu", "numpy", "item", "__bool__", "__float__", "__int__"):
        plain = getattr(torch.Tensor, method)

        def noted(
            tensor: torch.Tensor, *args: Any, plain: Any = plain, method: str = method, **more: Any
        ) -> Any:
            if inside:
                asked.append(method)
            return plain(tensor, *args, **more)

        monkeypatch.setattr(torch.Tensor, method, noted)
    asked: list[str] = []
    inside: list[bool] = []
    take, check = Step.__call__, Loop.check_losses

    def step(self: Step, pieces: Any) -> Any:
        pieces = list(pieces)  # what the loader does is no part of a step
        inside.append(True)
        with Waits() as waits:
            losses = take(self, pieces)
        inside.clear()
        asked.extend(waits.found)
        return losses

    monkeypatch.setattr(Step, "__call__", step)

    def check_losses(self: Loop) -> None:
        looks.append(self.steps_done + 1)
        check(self)

    monkeypatch.setattr(Loop, "check_losses", check_losses)
    model = build_model("swin_narrow", num_slices=8, size_px=32, seed=0)
    run_steps(model, tmp_path, num_steps=20, accumulate=2)
    assert looks == [10, 20]
    assert not asked


def test_what_would_wait_is_noticed() -> None:
    values = torch.arange(3.0)
    for ask in (lambda: values.sum().item(), lambda: values[values > 1], lambda: bool((values > 1).any())):
        with Waits() as waits:
            ask()
        assert waits.found


def test_values_of_channels_are_sent_to_a_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    display_window._on_device.cache_clear()
    for _ in range(3):
        display_window.normalise(torch.zeros(1, 2, 4, 4), [0.5, 0.4, 0.3], [0.2, 0.2, 0.2])
    assert display_window._on_device.cache_info().misses == 2


class Switched:
    """Stands for a compiled network: notes how it was switched."""

    def __init__(self, failed: bool = False) -> None:
        self.switches: list[bool] = []
        self.failed = failed

    def switch(self, on: bool) -> None:
        self.switches.append(on)

    def failed_anywhere(self) -> bool:
        return self.failed


@pytest.mark.parametrize(
    ("num_steps", "seconds", "switches"),
    [
        (100_000, [0.1, 0.07], [False, True, True]),
        (100_000, [0.1, 0.11], [False, True, False]),
        (100, [0.1, 0.1], [False]),
    ],
)
def test_a_run_finds_out_whether_compiling_pays(
    num_steps: int, seconds: list[float], switches: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    compiled, lines = Switched(), []
    trial = CompileTrial(compiled, num_steps, Processes(), lines.append)  # type: ignore[arg-type]
    for done in range(10, 80, 10):
        step = seconds[0] if len(compiled.switches) == 1 else seconds[1]
        now += 10 * step + (EXPECTED_SECONDS if done == 40 and len(switches) > 1 else 0)
        if done == 20:  # a validation came before: the ten steps do not count
            now += 1000
            trial.interrupted()
        trial.look(done)
    assert compiled.switches == switches
    assert len(lines) == min(2, len(switches)) and "s" in lines[0]
    assert trial.over


def test_where_compiling_failed_no_step_is_called_compiled() -> None:
    compiled, lines = Switched(failed=True), []
    trial = CompileTrial(compiled, 10**15, Processes(), lines.append)  # type: ignore[arg-type]
    for done in (10, 20, 30, 40):
        trial.look(done)
    assert trial.over and compiled.switches == [False, True] and len(lines) == 1


def test_the_steps_of_a_trial_are_the_runs_own(tmp_path: Any) -> None:
    found: list[int] = []

    class Trial:
        look = staticmethod(found.append)
        interrupted = staticmethod(lambda: None)

    run_steps(
        nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 1)),
        tmp_path,
        num_steps=25,
        trial=Trial(),
    )
    assert found == [10, 20]
    assert SETTINGS.compile == "auto"


@pytest.mark.parametrize(
    ("name", "number"),
    [("x3d_narrow", 9), ("swin_narrow", 8), ("mvit_narrow", 5), ("penet_narrow", 8), ("dinov2_narrow", 4)],
)
def test_blocks_that_are_compiled_are_found_in_the_libraries_networks(name: str, number: int) -> None:
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    found = find_blocks(model)
    assert len(found) == number
    held = {id(weight) for block in found for weight in block.parameters()}
    share = len(held) / len(list(model.parameters()))
    assert share > 0.85, "but for the ends of the network"
