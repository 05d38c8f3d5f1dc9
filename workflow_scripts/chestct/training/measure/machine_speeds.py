"""What a device reaches at best: by its vendor's data sheet, and as measured here."""

import time
from collections.abc import Callable

import torch

from chestct.training.machine.device import computing_type

#: Dense peak by the vendors' data sheets, TFLOP/s, of devices whose names begin so (SXM form).
PEAK_TFLOPS = {
    "NVIDIA A100": {"32-true": 19.5, "bf16-mixed": 312.0, "16-mixed": 312.0},
    "NVIDIA H100": {"32-true": 67.0, "bf16-mixed": 989.0, "16-mixed": 989.0},
    "NVIDIA H200": {"32-true": 67.0, "bf16-mixed": 989.0, "16-mixed": 989.0},
}
#: Bytes that a second moves to and from memory, 10**12, by the same sheets; the longest that fits counts.
MEMORY_TBPS = {
    "NVIDIA A100": 1.555,
    "NVIDIA A100-SXM4-80GB": 2.039,
    "NVIDIA H100": 3.35,
    "NVIDIA H100 PCIe": 2.0,
    "NVIDIA H200": 4.8,
}


def peak_tflops(device: str, precision: str) -> float | None:
    """Peak of a device by its data sheet, 10**12 operations a second, where it is known."""
    return next((peaks[precision] for name, peaks in PEAK_TFLOPS.items() if device.startswith(name)), None)


def memory_tbps(device: str) -> float | None:
    """Memory speed of a device by its data sheet, 10**12 bytes a second, where it is known."""
    fitting = [name for name in MEMORY_TBPS if device.startswith(name)]
    return MEMORY_TBPS[max(fitting, key=len)] if fitting else None


def product_tflops(device: torch.device, precision: str, *, size: int | None = None) -> float:
    """What the product of two large matrices reaches here, 10**12 operations a second.

    Args:
        device: a GPU or the CPU, on which it is float32.
        precision: of a training there.
        size: rows and columns; default: 8192 on a GPU, 512 on a CPU.
    """
    gpu = device.type == "cuda"
    size = size or (8192 if gpu else 512)
    dtype = computing_type(precision) if gpu else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / _least_seconds(lambda: a @ b, device) / 1e12


def copy_tbps(device: torch.device) -> float:
    """What a copy within memory reaches here, 10**12 bytes a second, read and written."""
    gpu = device.type == "cuda"
    source = torch.zeros(1 << (29 if gpu else 22), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / _least_seconds(lambda: target.copy_(source), device) / 1e12


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds: of one CPU thread those of the processor, in which other processes do not count."""
    one_thread = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if one_thread else time.perf_counter


def _least_seconds(action: Callable[[], object], device: torch.device) -> float:
    clock, gpu = clock_of(device), device.type == "cuda"
    seconds = []
    for _ in range(13 if gpu else 5):
        if gpu:
            torch.cuda.synchronize()
        start = clock()
        action()
        if gpu:
            torch.cuda.synchronize()
        seconds.append(clock() - start)
    return min(seconds)
