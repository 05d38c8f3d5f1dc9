"""Measures the steps of one model on this machine: seconds, floating-point operations, memory.

Shape suffixes: B batch, T slices (z), H rows (y), W columns (x).
"""

import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.intensity import AIR_HU
from chestct.models import build_model
from chestct.models.fast_forms import ON_GPUS, input_form
from chestct.training.budget import Batches
from chestct.training.compile_choice import BLOCKS
from chestct.training.loop import Step
from chestct.training.machine.compiled import CompiledModel
from chestct.training.machine.device import autocast, memory_errors, peak_memory_mb, reset_peak_memory, tune
from chestct.training.measure.machine_speeds import clock_of
from chestct.training.precision import is_mixed
from chestct.training.schedule import Schedule
from chestct.training.settings import SCORED_PER_TRAINED
from chestct.training.windows.device_input import score_windows
from chestct.training.windows.display_window import InputSettings
from chestct.training.windows.training_input import WindowInput

#: Stored slices are this much wider than the crop that a model sees (256 for 224).
_STORED_PER_CROP = 256 / 224


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured: window (slices), size (pixels), batch (windows at once), device, precision."""

    window: int
    size: int
    batch: int
    gpus: int
    precision: str
    repeats: int
    threads: int
    compiled: bool
    plain: bool
    fast_forms: str = ON_GPUS
    compile_form: str = BLOCKS

    @property
    def device(self) -> torch.device:
        """Where models run."""
        return torch.device("cuda" if self.gpus else "cpu")

    @property
    def scored(self) -> int:
        """Windows that are scored at once, where no gradients take memory."""
        return SCORED_PER_TRAINED * self.batch


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds of every repeat, and what a window costs.

    Attributes:
        train: a training step.
        score: scoring the windows of a validation at once (``Setting.scored``), in the training's precision.
        predict: the same as it is stored (``precision.scores_in``): predictions, features of frozen probes.
        plain: a training step of the plain loop; empty where it was not asked for or lacked the memory.
        forward_flops, train_flops: of a window; a multiplication and an addition count as two.
        peak_memory_gb: of training: the GPU's, or the process's with its libraries.
        first_seconds: of the first step, in which kernels are compiled and chosen.
        forms: names of the faster forms that the model took.
        compile_seconds: that torch.compile took, for training and for scoring; None: nothing was compiled.
    """

    train: list[float]
    score: list[float]
    predict: list[float]
    plain: list[float]
    forward_flops: int
    train_flops: int
    peak_memory_gb: float
    first_seconds: float
    forms: tuple[str, ...]
    compile_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class EngineTimes:
    """What ``Measurement`` says of the engine's own steps."""

    train: list[float]
    score: list[float]
    predict: list[float]
    peak_memory_gb: float
    first_seconds: float
    forms: tuple[str, ...]
    compile_seconds: float | None = None


def build_trained(name: str, window: int, size: int) -> nn.Module:
    """A model for training."""
    model = build_model(name, num_slices=window, size_px=size, seed=0)
    if MODELS[name].frozen:
        raise InputError(
            f"'{name}' is a frozen probe: its network computes features as fast as its model scores",
            where="models",
            expected="models that are trained",
            remedy=f"measure {MODELS[name].probe_of}",
        )
    return model.train()


def _conv_backward_flops(
    grad_shape: list[int], x_shape: list[int], w_shape: list[int], *rest: Any, **_: Any
) -> int:
    # Each gradient takes the products of the forward pass. PyTorch's own formula knows no groups and counts
    # depthwise convolutions as many times over as they have channels.
    return 2 * math.prod(grad_shape) * math.prod(w_shape[1:]) * sum(rest[-1][:2])


def count_flops(name: str, *, window: int, size: int) -> tuple[int, int]:
    """Floating-point operations of a window: forward, and forward with backward."""
    model = build_trained(name, window, size)
    # In evaluation mode: in training, stochastic depth would leave some out by chance.
    model = model.to("meta").eval()
    counts = []
    # Other kernels of attention are not counted on every device.
    with sdpa_kernel(SDPBackend.MATH):
        for backward in (False, True):
            formulas = {torch.ops.aten.convolution_backward: _conv_backward_flops}
            with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
                logits = model(torch.empty(1, 3, window, size, size, device="meta"))
                if backward:
                    logits.sum().backward()
            counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def _seconds(step: Callable[[], object], setting: Setting) -> tuple[list[float], float]:
    """Seconds of every repeat, after some that warm up caches, allocators and the choice of kernels.

    Returns:
        Seconds of the repeats, and of the first step of all.
    """
    clock = clock_of(setting.device)
    seconds = []
    warm_up = 3 if setting.gpus else 1
    for _ in range(warm_up + setting.repeats):
        start = clock()
        step()
        if setting.gpus:
            torch.cuda.synchronize()
        seconds.append(clock() - start)
    return seconds[warm_up:], seconds[0]


def _input_settings(name: str, size: int) -> InputSettings:
    return InputSettings(
        crop_px=size,
        max_rotation_degrees=20,
        max_shift_px=None,
        flip=True,
        interpolation="bilinear",
        centre_hu=400,
        width_hu=1000,
        fill=AIR_HU,
        mean=MODELS[name].mean,
        std=MODELS[name].std,
    )


def _batch(setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows in memory, and labels."""
    stored = round(setting.size * _STORED_PER_CROP)
    generator = torch.Generator().manual_seed(0)
    hu_BTHW = torch.randint(-1024, 1024, (setting.batch, setting.window, stored, stored), generator=generator)
    batch = hu_BTHW.to(torch.int16), (torch.arange(setting.batch) % 2).float()
    return (batch[0].pin_memory(), batch[1].pin_memory()) if setting.gpus else batch


def _plain_seconds(name: str, setting: Setting) -> list[float]:
    """The usual loop with the same augmentation: float32, eager, memory and Adam as they come."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = False, False
    model = build_trained(name, setting.window, setting.size).to(setting.device)
    batch, batches = _batch(setting), Batches(size=setting.batch)
    prepare = WindowInput(_input_settings(name, setting.size), batches, seed=0)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.0)

    def step() -> None:
        inputs, targets = prepare([values.to(setting.device, non_blocking=True) for values in batch])
        loss = binary_cross_entropy_with_logits(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    try:
        return _seconds(step, setting)[0]
    except torch.OutOfMemoryError:
        return []


def time_engine(name: str, setting: Setting) -> EngineTimes:
    """Time the loop's own step, and scoring a batch, in this process."""
    batch, batches = _batch(setting), Batches(size=setting.batch)
    input_settings = _input_settings(name, setting.size)
    model = build_trained(name, setting.window, setting.size)
    forms = tune(
        model,
        gpus=setting.gpus,
        precision=setting.precision,
        fast_forms=setting.fast_forms,
    )
    form = input_form(model)
    step = Step(
        model,
        WindowInput(input_settings, batches, seed=0, form=form, precision=setting.precision),
        binary_cross_entropy_with_logits,
        # A rate of next to nothing: weights that random labels pull about would change what is measured.
        Schedule(learning_rate=1e-30, weight_decay=0.0, num_steps=1_000_000, warm_up_steps=1),
        precision=setting.precision,
        gpus=setting.gpus,
        batches=batches,
    )
    compiled = CompiledModel(model, setting.compile_form, say=print) if setting.compiled else None

    reset_peak_memory(setting.gpus)
    train, first_seconds = _seconds(lambda: step([batch]), setting)
    peak_memory_gb = peak_memory_mb(setting.gpus) * 2**20 / 1e9
    score, predict, compile_seconds = _time_scoring(model, input_settings, setting, compiled)
    if compiled is not None and compiled.failed:
        raise InputError(
            f"'{name}' does not compile here: the lines above say why",
            where="--compile",
            expected="a network that torch.compile takes",
            remedy="measure it without --compile",
        )
    return EngineTimes(
        train=train,
        score=score,
        predict=predict,
        compile_seconds=compile_seconds,
        peak_memory_gb=round(peak_memory_gb, 2),
        first_seconds=first_seconds,
        forms=forms,
    )


def _time_scoring(
    model: nn.Module, input_settings: InputSettings, setting: Setting, compiled: CompiledModel | None
) -> tuple[list[float], list[float], float | None]:
    """Time scoring in the training's precision, and as it is stored.

    Returns:
        Seconds of the repeats of both; and of compiling for training and the first, as a job does.
    """
    hu_BTHW = _batch(replace(setting, batch=setting.scored))[0]

    def score_batch() -> None:
        with torch.no_grad():
            score_windows(model, hu_BTHW.to(setting.device, non_blocking=True), input_settings)

    def validate_batch() -> None:
        with autocast(setting.device, setting.precision):
            score_batch()

    model.eval()
    score = _seconds(validate_batch, setting)[0]
    compile_seconds = round(compiled.seconds, 2) if compiled is not None else None
    if not is_mixed(setting.precision):
        return score, score, compile_seconds
    # Prediction does not search for the fastest convolutions, so that its scores repeat.
    torch.backends.cudnn.benchmark = False
    return score, _seconds(score_batch, setting)[0], compile_seconds


def measure(name: str, setting: Setting) -> Measurement:
    """Measure a model in this process.

    Raises:
        InputError: the window does not fit the model, or the device lacks memory.
    """
    torch.set_num_threads(setting.threads)
    forward_flops, train_flops = count_flops(name, window=setting.window, size=setting.size)
    with memory_errors(f"throughput of {name}", windows=setting.batch, precision=setting.precision):
        engine = time_engine(name, setting)
    return Measurement(
        **vars(engine),
        plain=_plain_seconds(name, setting) if setting.plain else [],
        forward_flops=forward_flops,
        train_flops=train_flops,
    )


def measure_or_explain(name: str, setting: Setting) -> Measurement | str:
    """As ``measure``; an error comes as text, since an InputError does not travel between processes."""
    try:
        return measure(name, setting)
    except InputError as error:
        return str(error)


def measure_apart(name: str, setting: Setting) -> Measurement | str:
    """Measure a model in a process of its own, where peaks and leftovers of other models stay out.

    Returns:
        The measurement, or why there is none.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure_or_explain, name, setting).result()
        except BrokenProcessPool:
            return f"its process was killed, most likely for lack of memory; lower --batch ({setting.batch})"
