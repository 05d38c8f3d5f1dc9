"""Which GPUs of this process run the project's own kernels."""

import importlib.util
from functools import cache

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
    able = {i for i in range(found) if torch.cuda.get_device_capability(i) >= _LEAST_CAPABILITY}
    if able and len(able) == found and _triton_runs():
        _gpus.update(able)
    return len(_gpus) == found


@cache
def _triton_runs() -> bool:
    """Whether a Triton kernel runs on the GPU of this process; if not, a line in the log says why.

    Triton comes without the C compiler that it calls before it first launches a kernel, and containers and
    nodes of a cluster need not have one: then a run goes on without the kernels.
    """
    if importlib.util.find_spec("triton") is None or torch.version.hip is not None:
        return False
    try:
        from chestct.models.kernel_trial import count_on

        if count_on(torch.device("cuda", torch.cuda.current_device())):
            return True
        why = "a kernel computes other numbers"
    except Exception as error:  # of Triton, of the C compiler, of the driver
        why = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    print(f"Triton does not run here, PyTorch computes in the place of our kernels ({why})", flush=True)
    return False


def runs_kernels(device: torch.device) -> bool:
    """Whether the kernels run on a device, as ``find_gpus`` found."""
    return device.type == "cuda" and device.index in _gpus
