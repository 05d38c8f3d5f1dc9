"""Measures the steps of one model on this machine: seconds, floating-point operations, memory.

Shape suffixes: B batch, T slices (z), H rows (y), W columns (x).
"""

import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model, is_head
from chestct.training.budget import Batches
from chestct.training.machine.device import memory_errors, peak_memory_mb, reset_peak_memory, tune
from chestct.training.module import WindowInput, freeze
from chestct.training.windows.augmentation import InputSettings, score_windows

#: Stored slices are this much wider than the crop that a model sees (256 for 224).
_STORED_PER_CROP = 256 / 224
_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


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

    @property
    def device(self) -> torch.device:
        """Where models run."""
        return torch.device("cuda" if self.gpus else "cpu")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds of every repeat, and what a window costs.

    Attributes:
        train, score: a training step, and scoring a batch.
        plain: a training step of the plain loop; empty where it was not asked for or lacked the memory.
        forward_flops, train_flops: of a window; a multiplication and an addition count as two.
        peak_memory_gb: of training: the GPU's, or the process's with its libraries.
    """

    train: list[float]
    score: list[float]
    plain: list[float]
    forward_flops: int
    train_flops: int
    peak_memory_gb: float


def _build(name: str, window: int, size: int) -> tuple[nn.Module, list[nn.Module]]:
    """A model for training, and its modules that are not trained."""
    model = build_model(name, num_slices=window, size_px=size, seed=0)
    still = freeze(model, partial(is_head, name=name)) if MODELS[name].frozen else []
    return _set_training(model, still), still


def _set_training(model: nn.Module, still: Sequence[nn.Module]) -> nn.Module:
    model.train()
    for module in still:
        module.training = False
    return model


def _conv_backward_flops(
    grad_shape: list[int], x_shape: list[int], w_shape: list[int], *rest: Any, **_: Any
) -> int:
    # Each gradient takes the products of the forward pass. PyTorch's own formula knows no groups and counts
    # depthwise convolutions as many times over as they have channels.
    return 2 * math.prod(grad_shape) * math.prod(w_shape[1:]) * sum(rest[-1][:2])


def count_flops(name: str, *, window: int, size: int) -> tuple[int, int]:
    """Floating-point operations of a window: forward, and forward with backward."""
    model, _ = _build(name, window, size)
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


def _seconds(step: Callable[[], object], setting: Setting) -> list[float]:
    """Seconds of every repeat, after some that warm up caches, allocators and the choice of kernels.

    Of a single CPU thread they are processor seconds, in which other processes do not count.
    """
    clock = time.process_time if not setting.gpus and setting.threads == 1 else time.perf_counter
    seconds = []
    warm_up = 3 if setting.gpus else 1
    for repeat in range(warm_up + setting.repeats):
        start = clock()
        step()
        if setting.gpus:
            torch.cuda.synchronize()
        if repeat >= warm_up:
            seconds.append(clock() - start)
    return seconds


def _input_settings(name: str, size: int, *, augmented: bool) -> InputSettings:
    return InputSettings(
        crop_px=size,
        max_rotation_degrees=20 if augmented else 0,
        flip=augmented,
        interpolation="bilinear",
        centre_hu=400,
        width_hu=1000,
        mean=MODELS[name].mean,
        std=MODELS[name].std,
    )


def _training_step(name: str, model: nn.Module, setting: Setting, *, plain: bool) -> Callable[[], None]:
    """A step on windows in memory: the engine's, or a plain float32 loop's with the same augmentation."""
    stored = round(setting.size * _STORED_PER_CROP)
    generator = torch.Generator().manual_seed(0)
    hu_BTHW = torch.randint(-1024, 1024, (setting.batch, setting.window, stored, stored), generator=generator)
    hu_BTHW = hu_BTHW.to(torch.int16)
    labels = (torch.arange(setting.batch) % 2).float()
    if setting.gpus:
        hu_BTHW, labels = hu_BTHW.pin_memory(), labels.pin_memory()
    settings = _input_settings(name, setting.size, augmented=True)
    prepare = WindowInput(settings, Batches(size=setting.batch), seed=0)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # A rate of nothing: weights that random labels pull about would change what is measured.
    optimizer = torch.optim.Adam(parameters, lr=0.0, fused=None if plain else True)
    dtype = None if plain else _AUTOCAST.get(setting.precision)
    scaler = torch.amp.GradScaler(setting.device.type, enabled=dtype is torch.float16)

    def step() -> None:
        batch = (hu_BTHW.to(setting.device, non_blocking=True), labels.to(setting.device, non_blocking=True))
        inputs, targets = prepare(batch)
        with torch.autocast(setting.device.type, dtype=dtype, enabled=dtype is not None):
            logits = model(inputs)
        loss = binary_cross_entropy_with_logits(logits.float(), targets)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def _scoring_step(name: str, model: nn.Module, setting: Setting) -> Callable[[], torch.Tensor]:
    settings = _input_settings(name, setting.size, augmented=False)
    hu_BTHW = torch.zeros((setting.batch, setting.window, setting.size, setting.size), dtype=torch.int16)
    dtype = _AUTOCAST.get(setting.precision)

    def step() -> torch.Tensor:
        with torch.no_grad(), torch.autocast(setting.device.type, dtype=dtype, enabled=dtype is not None):
            return score_windows(model, hu_BTHW.to(setting.device, non_blocking=True), settings)

    return step


def _plain_seconds(name: str, setting: Setting) -> list[float]:
    """The loop that needs no engine: float32 throughout, memory as it comes, eager, Adam as it comes."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = False, False
    model, _ = _build(name, setting.window, setting.size)
    try:
        return _seconds(_training_step(name, model.to(setting.device), setting, plain=True), setting)
    except torch.OutOfMemoryError:
        return []


def measure(name: str, setting: Setting) -> Measurement:
    """Measure a model in this process.

    Raises:
        InputError: the window does not fit the model, or the device lacks memory.
    """
    torch.set_num_threads(setting.threads)
    forward_flops, train_flops = count_flops(name, window=setting.window, size=setting.size)
    model, _ = _build(name, setting.window, setting.size)
    tune(model, gpus=setting.gpus, precision=setting.precision, compiled=setting.compiled)
    torch.backends.cudnn.benchmark = bool(setting.gpus)
    model = model.to(setting.device)
    with memory_errors(f"throughput of {name}", windows=setting.batch, precision=setting.precision):
        reset_peak_memory(setting.gpus)
        train = _seconds(_training_step(name, model, setting, plain=False), setting)
        peak_memory_gb = peak_memory_mb(setting.gpus) * 2**20 / 1e9
        score = _seconds(_scoring_step(name, model.eval(), setting), setting)
    del model
    return Measurement(
        train=train,
        score=score,
        plain=_plain_seconds(name, setting) if setting.plain else [],
        forward_flops=forward_flops,
        train_flops=train_flops,
        peak_memory_gb=round(peak_memory_gb, 2),
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
            return f"its process was killed, for want of memory most likely; lower --batch ({setting.batch})"
