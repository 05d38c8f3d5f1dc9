"""What a device reaches at best, as measured here; ``data_sheets`` has what its vendor says."""

import time
from collections.abc import Callable

import torch

from chestct.training.machine.device import computing_type


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
