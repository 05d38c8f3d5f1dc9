"""What the installed PyTorch needs of a GPU and of its driver, and whether they give it.

A wheel holds compiled kernels for some generations of GPUs (compute capabilities), and libraries of one CUDA
release, which need a driver of a least version. docs/full_study.md has the table of both.
"""

import re
import sys

import torch

from chestct.errors import InputError

#: Least driver for Linux of CUDA's releases of a first number (their notes, "Minor version compatibility").
LEAST_DRIVER = {"11": "450.80", "12": "525.60", "13": "580.65"}
_OTHER_BUILD = "install the build of PyTorch for this machine (docs/full_study.md, GPUs and drivers)"
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)")


def is_mac() -> bool:
    """Whether this is macOS, for which no PyTorch has CUDA."""
    return sys.platform == "darwin"


def why_no_gpu() -> str:
    """Why PyTorch finds no GPU or fewer than asked for, in a few words; empty where nothing stands out."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        text = str(error)
        found = re.search(r"too old \(found version (\d+)\)", text)
        if found:
            release = f"{int(found[1]) // 1000}.{int(found[1]) % 1000 // 10}"
            least = LEAST_DRIVER.get(torch.version.cuda.split(".")[0])
            needed = f", from {least} on" if least else ""
            return (
                f"the NVIDIA driver is for CUDA {release}, and PyTorch {torch.__version__} needs one for "
                f"CUDA {torch.version.cuda}{needed}"
            )
        return text.split(". ")[0].splitlines()[0].rstrip(".")
    return ""


def has_kernels(capability: tuple[int, int], architectures: list[str]) -> bool:
    """Whether kernels compiled for these architectures run on a GPU.

    Machine code (``sm_86``) runs on its own capability and on later ones of the same first number, code for a
    special feature (``sm_90a``) on its own alone; an intermediate form (``compute_90``) on all later ones.

    Args:
        capability: of the GPU, such as (8, 6).
        architectures: as ``torch.cuda.get_arch_list`` gives them; what is none of CUDA's counts for nothing.
    """
    for kind, *numbers, special in map(_parts, architectures):
        own = (int(numbers[0]), int(numbers[1]))
        if own == capability or (kind == "compute" and not special and own <= capability):
            return True
        if kind == "sm" and not special and own[0] == capability[0] and own <= capability:
            return True
    return False


def _parts(architecture: str) -> tuple[str, ...]:
    found = _ARCHITECTURE.fullmatch(architecture)
    return found.groups() if found else ("", "0", "0", "")


def check_kernels(gpus: int) -> None:
    """Stop where the installed PyTorch has no kernels for one of the GPUs that this process sees.

    Args:
        gpus: how many of them are used.

    Raises:
        InputError: it has none; the first computation would fail.
    """
    architectures = torch.cuda.get_arch_list()
    for number in range(gpus):
        first, second = torch.cuda.get_device_capability(number)
        if has_kernels((first, second), architectures):
            continue
        raise InputError(
            f"{torch.cuda.get_device_name(number)} has compute capability {first}.{second}, for which "
            f"PyTorch {torch.__version__} has no kernels",
            where="configuration key 'training.gpus'",
            expected=f"a GPU of one of the architectures {', '.join(architectures)}, or of a later one with "
            "the same first number",
            remedy=f"{_OTHER_BUILD}, or set training.gpus to 0 to train on the CPU",
        )


def few_gpus(wanted: int, found: int) -> InputError:
    """The error where a job asks for more GPUs than there are, with the reason where it is known."""
    if is_mac():
        return InputError(
            f"training asks for {wanted} GPU(s), and this is a Mac, whose own GPU (MPS) is not used: 3D "
            "networks were never compared on it with the CPU",
            where="configuration key 'training.gpus'",
            expected="0 on a Mac",
            remedy="set training.gpus to 0 to train on the CPU, or run where there are NVIDIA GPUs",
        )
    reason = why_no_gpu()
    return InputError(
        f"training asks for {wanted} GPU(s), and this machine has {found}{reason and f': {reason}'}",
        where="configuration key 'training.gpus'",
        expected="as many CUDA devices, visible to the job, and a driver that this PyTorch works with",
        remedy="set training.gpus to 0 to train on the CPU, or run the job where GPUs are "
        "(on a cluster: is the resource gpu in the profile?); where a driver or PyTorch is the reason, "
        f"{_OTHER_BUILD} or update the driver",
    )
