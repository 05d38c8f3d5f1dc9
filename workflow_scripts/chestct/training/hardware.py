"""What a run used of the machine."""

import resource
import sys

import torch


def peak_memory_mb(gpus: int) -> float:
    """Peak memory so far, MiB: of the GPU where one is used, else of this process."""
    if gpus:
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes there, KiB on Linux
