"""Which GPUs of this process run the project's own kernels."""

import importlib.util

import torch

#: Compute capability of the first GPUs that Triton supports (Ampere).
_LEAST_CAPABILITY = (8, 0)
#: Numbers of the GPUs that the kernels run on, once ``find_gpus`` has looked.
_gpus: set[int] = set()


def find_gpus() -> bool:
    """Look which GPUs of this process the kernels run on; whether they are all of them.

    Apart from what calls the kernels, so that this can be compiled.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found and importlib.util.find_spec("triton") is not None and torch.version.hip is None:
        _gpus.update(i for i in range(found) if torch.cuda.get_device_capability(i) >= _LEAST_CAPABILITY)
    return len(_gpus) == found


def runs_kernels(device: torch.device) -> bool:
    """Whether the kernels run on a device, as ``find_gpus`` found."""
    return device.type == "cuda" and device.index in _gpus
