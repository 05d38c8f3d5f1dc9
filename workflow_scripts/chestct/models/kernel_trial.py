"""A Triton kernel of next to nothing: whether it runs tells whether the project's kernels can."""

import torch
import triton
import triton.language as tl

_NUMBERS = 32


@triton.jit
def count_kernel(out, NUMBERS: tl.constexpr):
    """Write 0, 1, 2, ... in one program."""
    place = tl.arange(0, NUMBERS)
    tl.store(out + place, place)


def count_on(device: torch.device) -> bool:
    """Whether the kernel writes on a device what it should; raises whatever Triton does where it cannot."""
    out = torch.zeros(_NUMBERS, dtype=torch.int32, device=device)
    count_kernel[(1,)](out, _NUMBERS)
    return out.tolist() == list(range(_NUMBERS))
