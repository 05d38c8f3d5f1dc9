"""The least time that a training step can take: what it must compute, and what it must move through memory.

The floor takes perfect kernels for granted: what lies between matrix products and convolutions (activations,
sums, dropout, attention's softmax) is computed with them and moves nothing of its own; a layer that
normalises reads its values twice more in the backward pass, since its gradient needs sums over them first;
the optimiser reads weights, gradients and two moments, and writes all but the gradients, in float32. No step
is faster. ``python -m chestct.training.measure.floor MODEL...`` prints a table.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chestct.training.measure.data_sheets import SHEETS, memory_tbps, peak_tflops
from chestct.training.measure.speed import build_trained, count_flops

_ADAM_BYTES = 28
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_BATCHED_PRODUCTS = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)
_PRODUCTS = (
    torch.ops.aten.convolution,
    torch.ops.aten.convolution_backward,
    torch.ops.aten.mm,
    torch.ops.aten.addmm,
    *_BATCHED_PRODUCTS,
)


class _Moved(TorchDispatchMode):
    """Counts the values that products read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if function.overloadpacket in _PRODUCTS:
            leaves = tree_leaves((args, out))
            sizes = sorted(leaf.numel() for leaf in leaves if isinstance(leaf, torch.Tensor))
            # Of attention's products the largest, query by key, need never be in memory.
            self.values += sum(sizes[:2] if function.overloadpacket in _BATCHED_PRODUCTS else sizes)
        return out


def _values_moved(name: str, batch: int, *, window: int, size: int) -> tuple[int, int]:
    """Values that products and layers that normalise move in a step; and parameters that are trained."""
    # In evaluation mode: in training, stochastic depth would leave some out by chance.
    model = build_trained(name, window, size).to("meta").eval()
    normalised = 0

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
        nonlocal normalised
        normalised += inputs[0].numel()

    for module in model.modules():
        if isinstance(module, _NORMS):
            module.register_forward_hook(note)
    with sdpa_kernel(SDPBackend.MATH), _Moved() as moved:
        model(torch.empty(batch, 3, window, size, size, device="meta")).sum().backward()
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return moved.values + 2 * normalised, trained


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a training step must do at least.

    Attributes:
        flops: floating-point operations of a window, forward and backward.
        window_values: values that a window moves, each of the precision's size.
        step_values: values that a step moves beside, however many windows it has: the weights.
        parameters: that are trained.
    """

    flops: int
    window_values: int
    step_values: int
    parameters: int

    @classmethod
    def of(cls, name: str, *, window: int, size: int) -> "Floor":
        """The floor of a model's step, from shapes alone.

        Args:
            name: a model of the catalogue.
            window: slices that the model sees at once.
            size: rows and columns.
        """
        one, parameters = _values_moved(name, 1, window=window, size=size)
        two, _ = _values_moved(name, 2, window=window, size=size)
        _, flops = count_flops(name, window=window, size=size)
        return cls(flops=flops, window_values=two - one, step_values=2 * one - two, parameters=parameters)

    def bytes(self, batch: int, *, value_bytes: int) -> int:
        """Bytes that a step of so many windows moves."""
        return value_bytes * (batch * self.window_values + self.step_values) + _ADAM_BYTES * self.parameters

    def seconds(self, batch: int, *, value_bytes: int, tflops: float, tbps: float) -> tuple[float, float]:
        """Least seconds of a step by its operations, and by what it moves; the larger is the floor.

        Args:
            batch: windows of the step.
            value_bytes: of a value: 2 in mixed precision, else 4.
            tflops: what the device computes, 10**12 operations a second.
            tbps: what it moves, 10**12 bytes a second.
        """
        moved = self.bytes(batch, value_bytes=value_bytes)
        return batch * self.flops / tflops / 1e12, moved / tbps / 1e12


def describe_floor(name: str, floor: Floor, batch: int, *, tflops: float, tbps: float) -> str:
    """A row of a table in Markdown: what a step in mixed precision must do, what binds, windows a second."""
    compute, memory = floor.seconds(batch, value_bytes=2, tflops=tflops, tbps=tbps)
    fastest = batch / max(compute, memory)
    cells = [
        name,
        f"{batch * floor.flops / 1e12:.3g}",
        f"{1e3 * compute:.3g}",
        f"{floor.bytes(batch, value_bytes=2) / 1e9:.3g}",
        f"{1e3 * memory:.3g}",
        "operations" if compute > memory else "memory",
        f"{fastest:,.0f}",
        f"{0.9 * fastest:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the floors of models on a device whose data sheet is known."""
    parser = argparse.ArgumentParser(prog="python -m chestct.training.measure.floor", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="names in the catalogue")
    known = [name for name, sheet in SHEETS.items() if sheet.bf16 and sheet.memory_tbps]
    parser.add_argument("--device", choices=known, default="NVIDIA H200")
    parser.add_argument("--window", type=int, default=32, help="slices")
    parser.add_argument("--size", type=int, default=224, help="rows and columns")
    parser.add_argument("--batch", type=int, default=16, help="windows at once")
    given = parser.parse_args(arguments)
    tflops, tbps = peak_tflops(given.device, "bf16-mixed"), memory_tbps(given.device)
    assert tflops and tbps
    print("| model | TFLOP | ms | GB | ms | binds | windows/s at most | nine tenths |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in given.models:
        floor = Floor.of(name, window=given.window, size=given.size)
        print(describe_floor(name, floor, given.batch, tflops=tflops, tbps=tbps), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
