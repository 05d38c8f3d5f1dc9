"""Depthwise kernels against PyTorch's convolution: run with TRITON_INTERPRET=1, which computes on the CPU.

By ``test_depthwise.py``, in a process of its own: Triton looks at the variable as it is imported.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from chestct.models import depthwise
from chestct.models.kernel_trial import count_on

KERNELS = [(3, 3, 3), (5, 1, 1), (1, 3, 3), (2, 3, 1), (1, 2, 4)]
#: As on a GPU, and so small that maps of a few positions take several programs.
SMALL: dict[str, Any] = {
    "_CHANNELS": 4, "_PATCHES": 2, "_PLANES": (2,), "_PROGRAMS": 2, "_COLUMNS": 3, "_COLUMNS_APART": 2,
}  # fmt: skip
SIZES: list[dict[str, Any]] = [{name: getattr(depthwise, name) for name in SMALL}, SMALL]


@contextmanager
def sizes(number: int) -> Iterator[None]:
    """Have kernels share a map so among programs."""
    for name, value in SIZES[number].items():
        setattr(depthwise, name, value)
    yield
    for name, value in SIZES[0].items():
        setattr(depthwise, name, value)


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(st.sampled_from(KERNELS))
    axis = st.integers(1, 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    lengths = tuple(max(draw(axis), k - 2 * p) for k, p in zip(kernel, padding, strict=True))
    stride = draw(st.sampled_from([(1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 3, 8), (3, 1, 2)]))
    return {
        "shape": (draw(st.integers(1, 2)), *lengths, draw(st.sampled_from([1, 3, 6]))),
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "sizes": draw(st.sampled_from([0, 1])),
    }


def check(problem: dict[str, Any], dtype: torch.dtype, limit: float) -> None:
    shape, kernel = problem["shape"], problem["kernel"]
    generator = torch.Generator().manual_seed(0)
    channels, gap = shape[-1], 3  # samples lie apart, as tokens behind a class token do
    memory = torch.randn(shape[0], math.prod(shape[1:]) + gap, generator=generator).to(dtype)
    x_BTHWC = memory[:, gap:].unflatten(1, shape[1:]).requires_grad_()
    weight = torch.randn((channels, 1, *kernel), generator=generator).requires_grad_()
    x64, weight64 = (values.detach().double().requires_grad_() for values in (x_BTHWC, weight))
    expected = F.conv3d(
        x64.permute(0, 4, 1, 2, 3), weight64, None, problem["stride"], problem["padding"], groups=channels
    ).permute(0, 2, 3, 4, 1)
    arriving = torch.randn(expected.shape, generator=generator).to(dtype)
    with sizes(problem["sizes"]):
        found = depthwise.Depthwise.apply(x_BTHWC, weight, problem["stride"], problem["padding"])
        gradients = torch.autograd.grad(found, (x_BTHWC, weight), arriving)
    expected_gradients = torch.autograd.grad(expected, (x64, weight64), arriving.double())
    assert found.dtype == gradients[0].dtype == dtype and gradients[1].dtype == weight.dtype
    for name, ours, theirs in zip(
        ("output", "input", "weight"), (found, *gradients), (expected, *expected_gradients), strict=True
    ):
        difference = (ours.double() - theirs).norm() / theirs.norm().clamp(min=1e-3)
        assert ours.shape == theirs.shape and difference < limit, f"{name} differs by {difference:.1e}"


OF_X3D = {
    "shape": (1, 2, 3, 4, 54),
    "kernel": (3, 3, 3),
    "stride": (1, 2, 2),
    "padding": (1, 1, 1),
    "sizes": 0,
}


@settings(
    max_examples=3, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(problems())
@example(OF_X3D)
@example({**OF_X3D, "stride": (1, 1, 1)})
@example({**OF_X3D, "shape": (1, 1, 3, 10, 3), "kernel": (1, 3, 3), "padding": (0, 1, 1), "sizes": 1})
@example({**OF_X3D, "shape": (1, 1, 1, 10, 3), "stride": (1, 1, 2), "sizes": 1})
@example(
    {"shape": (1, 5, 1, 2, 3), "kernel": (1, 3, 3), "stride": (3, 1, 1), "padding": (0, 1, 1), "sizes": 1}
)
def kernels_compute_what_pytorch_does(problem: dict[str, Any]) -> None:
    check(problem, torch.float32, 1e-5)


def sizes_change_no_bit(stride: tuple[int, int, int]) -> None:
    """However programs share a map, outputs and gradients of the input are equal to the last bit."""
    generator = torch.Generator().manual_seed(0)
    x_BTHWC = torch.randn((1, 3, 4, 5, 6), generator=generator).requires_grad_()
    weight = torch.randn((6, 1, 2, 3, 3), generator=generator).requires_grad_()
    outcomes = []
    for number in range(2):
        with sizes(number):
            y_BTHWC = depthwise.Depthwise.apply(x_BTHWC, weight, stride, (1, 1, 1))
            (gradient,) = torch.autograd.grad(y_BTHWC, x_BTHWC, y_BTHWC.detach().cos())
        outcomes.append((y_BTHWC.detach(), gradient))
    for one, other in zip(*outcomes, strict=True):
        assert torch.equal(one, other)


def second_derivatives_are_refused() -> None:
    """They would be without the kernels' part."""
    x_BTHWC = torch.randn((1, 1, 2, 2, 3)).requires_grad_()
    y_BTHWC = depthwise.Depthwise.apply(x_BTHWC, torch.randn((3, 1, 1, 1, 1)), (1, 1, 1), (0, 0, 0))
    (slope,) = torch.autograd.grad(y_BTHWC.square().sum(), x_BTHWC, create_graph=True)
    try:
        (slope.square().sum() + x_BTHWC.sum()).backward()
    except RuntimeError as error:
        assert "once_differentiable" in str(error)
    else:
        raise AssertionError("no error")


if __name__ == "__main__":
    assert os.environ["TRITON_INTERPRET"] == "1"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # what is not written is no number
    assert count_on(torch.device("cpu"))
    kernels_compute_what_pytorch_does()
    check(OF_X3D, torch.bfloat16, 1e-2)
    sizes_change_no_bit((1, 1, 1))
    sizes_change_no_bit((1, 2, 2))
    second_derivatives_are_refused()
