"""What a run asks of the machine and used of it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from chestct.errors import InputError
from chestct.models import tune_for_cpu
from chestct.models.fast_forms import ON_GPUS, apply_fast_forms, put_input, wants_fast_forms
from chestct.training.machine.compiler_caches import own_compiler_caches
from chestct.training.machine.gpu_support import check_kernels, few_gpus
from chestct.training.precision import is_mixed


def check_hardware(*, gpus: int, precision: str) -> None:
    """Stop where the machine lacks what the configuration asks for.

    Args:
        gpus: GPUs that this machine's processes use.
        precision: of the training.

    Raises:
        InputError: too few GPUs, a PyTorch or a driver that they do not work with, or a precision that the
            device cannot compute in.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > found:
        raise few_gpus(gpus, found)
    check_kernels(gpus)
    problem = None
    if precision == "16-mixed" and not gpus:
        problem = "16-mixed needs a GPU"
    elif precision == "bf16-mixed" and gpus and not torch.cuda.is_bf16_supported(including_emulation=False):
        problem = f"{torch.cuda.get_device_name()} does not compute in bf16"
    if problem:
        raise InputError(
            problem,
            where="configuration key 'training.precision'",
            expected="a precision that the device computes in",
            remedy="set training.precision to 16-mixed on older GPUs, to 32-true on CPUs",
        )


def tune(model: nn.Module, *, gpus: int, precision: str, fast_forms: str = ON_GPUS) -> tuple[str, ...]:
    """Lay a model out for the device; outputs stay what they were, to rounding.

    On GPUs in mixed precision, 3D convolutions run channels last, as tensor cores read them; depthwise
    ones, which do not use those, are left. Mixed precision also lets what stays in float32 use TF32;
    32-true is float32 throughout.

    Args:
        model: on the CPU still.
        gpus: whether it will run on a GPU.
        precision: of the training.
        fast_forms: where the model takes its faster forms (``chestct.models.fast_forms``).

    Returns:
        Names of the faster forms that it took.
    """
    mixed = is_mixed(precision)
    taken: dict[str, int] = {}
    if wants_fast_forms(fast_forms, gpus=gpus):
        if gpus:  # Triton compiles some of the forms
            own_compiler_caches()
        taken = apply_fast_forms(model, mixed=mixed)
        if gpus and put_input(model, mixed=mixed):
            taken["input"] = 1
    if gpus:
        _lay_out_for_gpu(model, mixed=mixed)
    else:
        tune_for_cpu(model)
    return tuple(taken)


def _lay_out_for_gpu(model: nn.Module, *, mixed: bool) -> None:
    torch.set_float32_matmul_precision("high" if mixed else "highest")
    torch.backends.cudnn.allow_tf32 = mixed
    if not mixed:
        return
    for module in model.modules():
        if isinstance(module, nn.Conv3d) and module.groups == 1:
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last_3d)


def computing_type(precision: str) -> torch.dtype:
    """The type that products and convolutions compute in, by the precision of the training."""
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision, torch.float32)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which models compute: in mixed precision torch chooses the type of every operation."""
    mixed = is_mixed(precision)
    return torch.autocast(device.type, dtype=computing_type(precision) if mixed else None, enabled=mixed)


def device_name(*, gpus: int, world: int) -> str:
    """What a run was computed on: the GPU's name, or cpu; with the number of processes above one."""
    name = torch.cuda.get_device_name() if gpus else "cpu"
    return name if world == 1 else f"{world} x {name}"


def cudnn_release(*, gpus: int) -> str | None:
    """Release of cuDNN that convolutions on a GPU are computed with, such as 9.20.0; None on a CPU."""
    number = torch.backends.cudnn.version() if gpus else None
    if number is None:
        return None
    first = 10_000 if number >= 90_000 else 1_000  # of the number that stands for the first part
    return f"{number // first}.{number % first // 100}.{number % 100}"


def reset_peak_memory(gpus: int) -> None:
    """Begin a new measurement on a GPU; of a process, the peak is over its whole life."""
    if gpus:
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb(gpus: int) -> float:
    """Peak memory so far, MiB: of the GPU where one is used, else of this process."""
    if gpus:
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes there, KiB on Linux


#: What libraries of a GPU say that take memory past PyTorch's allocator: CUDA, cuBLAS, cuDNN.
_LIBRARIES_WITHOUT_MEMORY = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    words = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, torch.OutOfMemoryError) or any(
        name in words for name in _LIBRARIES_WITHOUT_MEMORY
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted, of a GPU or of this machine."""
    of_machine = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
    return of_machine or _is_out_of_gpu_memory(error)


@contextmanager
def memory_errors(where: str, *, windows: int, precision: str) -> Iterator[None]:
    """Turn an out-of-memory error into one message that says what to change.

    Args:
        where: what was computed.
        windows: that were computed at once.
        precision: of the computation.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        text, on_gpu = str(error), _is_out_of_gpu_memory(error)
        mixed = "" if is_mixed(precision) else ", or set training.precision to bf16-mixed"
        more = "" if on_gpu else ", or ask for more memory (mem_mb)"
        raise InputError(
            f"out of {'GPU ' if on_gpu else ''}memory with {windows} windows at once: {text.splitlines()[0]}"
            if text
            else f"out of memory with {windows} windows at once",
            where=where,
            expected="room for the model, its gradients and the windows of one piece of a batch",
            remedy="use more GPUs, or raise accumulate for this model if it has no BatchNorm (smaller pieces "
            f"of the same batch){mixed}{more}; a smaller batch_size changes the training, so change it for "
            "all models alike",
        ) from error
