"""What the machine code of the depthwise kernels costs, on a GPU that need not be here.

python benchmarks/gpu/machine_code.py [--capability 90]    (a minute or two; needs Triton, which brings ptxas)

Triton compiles for any GPU. Of every kernel that a step of 16 windows takes, the table says registers of a
thread, bytes that did not fit into them, instructions for each product of a value and a tap, and milliseconds
on an H200: of whichever pipe of its processors is busy longest (issue of instructions, products, other
arithmetic, reading and writing), and the least that memory allows. That leaves out waiting. One measurement
can be held against it: a first, plain kernel took 2.02, 0.90 and 0.57 ms on an H200 where this gives 1.51,
0.63 and 0.41 (54, 64 and 216 channels). So expect 1.4 times as long.
"""

import argparse
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from chestct.models import depthwise, depthwise_kernels
from chestct.models.depthwise import Triple

#: Of an H200: processors, cycles a second, bytes a second that memory gives.
PROCESSORS, HERTZ, MEMORY = 132, 1.755e9, 4.3e12
_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
_KERNELS = ("forward_kernel", "input_gradient_kernel", "weight_gradient_kernel")
_TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
_PRODUCTS = ("FFMA", "FMUL", "FADD")
_FLOW = ("BRA", "EXIT", "BAR", "NOP", "BSSY", "BSYNC", "CALL", "RET", "WARPSYNC")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A kernel as the project launches it.

    Attributes:
        values: of its arguments, by name.
    """

    kernel: Any
    programs: int
    values: dict[str, Any]
    options: dict[str, int]

    @property
    def trips(self) -> list[int]:
        """How often its loops run, outermost first."""
        at = self.values
        if self.kernel.__name__ == "input_gradient_kernel":
            return [min(at["PLANES"], at["T"]) // at["ST"] + -(-(at["KT"] - 1) // at["ST"])]
        steps = min(at["PLANES"], at["TO"]) + -(-at["KT"] // at["ST"]) - 1
        return [at["items_each"], steps] if "items_each" in at else [steps]


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a kernel was compiled to.

    Attributes:
        registers: of a thread.
        spilled: bytes of a thread that lie in memory instead.
        instructions: that a warp executes, by kind.
        bytes_each: that a thread reads and writes.
    """

    registers: int
    spilled: int
    instructions: Counter[str]
    bytes_each: float

    def milliseconds(self, launch: Launch) -> dict[str, float]:
        """How long each pipe of an H200 is busy with all programs."""
        count, warps = self.instructions, launch.options["num_warps"]
        cycles = {
            "issue": count.total() * warps / 4,
            "products": count["product"] * warps / 4,
            "arithmetic": count["other"] * warps / 2,
            "memory instructions": (count["read"] + count["write"] + count["shared"]) * warps,
            "bytes": self.bytes_each * 32 * warps / 128,
        }
        return {pipe: 1e3 * launch.programs * each / PROCESSORS / HERTZ for pipe, each in cycles.items()}


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """The launches of the depthwise kernels, none of which runs."""
    launches: list[Launch] = []
    kernels = {name: getattr(depthwise_kernels, name) for name in _KERNELS}

    class Recorder:
        def __init__(self, kernel: Any) -> None:
            self.kernel = kernel

        def __getitem__(self, grid: tuple[int]) -> Any:
            def launch(*values: Any, **options: int) -> None:
                named = dict(zip(self.kernel.arg_names, values, strict=True))
                launches.append(Launch(kernel=self.kernel, programs=grid[0], values=named, options=options))

            return launch

    try:
        for name, kernel in kernels.items():
            setattr(depthwise_kernels, name, Recorder(kernel))
        yield launches
    finally:
        for name, kernel in kernels.items():
            setattr(depthwise_kernels, name, kernel)


def launches_of(batch: int, channels: int, lengths: Triple, kernel: Triple, stride: Triple) -> list[Launch]:
    """The launches for the output of a bfloat16 map, the gradient of its input and that of the weight."""
    padding = tuple(k // 2 for k in kernel)
    x_BTHWC = torch.empty((batch, *lengths, channels), dtype=torch.bfloat16, device="meta")
    weight = torch.empty((channels, 1, *kernel), device="meta")
    with recorded() as launches:
        y_BTHWC = depthwise.convolve(x_BTHWC, weight, stride, padding)
        depthwise.gradients(y_BTHWC, x_BTHWC, weight, stride, padding, (True, True))
    return launches


def compile_for(launch: Launch, capability: int) -> Code:
    """Compile a kernel for GPUs of a compute capability, as 90, and read its machine code."""
    signature, constants, attributes = {}, {}, {}
    for number, parameter in enumerate(launch.kernel.params):
        value = launch.values[parameter.name]
        if parameter.is_constexpr:
            signature[parameter.name], constants[parameter.name] = "constexpr", value
            continue
        signature[parameter.name] = _TYPES[value.dtype] if isinstance(value, torch.Tensor) else "i32"
        if isinstance(value, torch.Tensor) or (not parameter.do_not_specialize and value % 16 == 0):
            attributes[(number,)] = [["tt.divisibility", 16]]
    source = ASTSource(launch.kernel, signature, constants, attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=launch.options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = _output_of("cuobjdump", "-res-usage", file.name)
        lines = _output_of("nvdisasm", "-c", file.name).splitlines()
    registers, stack = (int(re.search(rf"{name}:(\d+)", usage)[1]) for name in ("REG", "STACK"))  # type: ignore[index]
    instructions, bytes_each = _counted(lines, launch.trips)
    return Code(registers=registers, spilled=stack, instructions=instructions, bytes_each=bytes_each)


def _output_of(tool: str, *arguments: str) -> str:
    return subprocess.run([_TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def _counted(lines: Sequence[str], trips: Sequence[int]) -> tuple[Counter[str], float]:
    """Instructions by kind, and bytes read and written; what is in a loop counts as often as it runs."""
    places: dict[str, int] = {}
    names: list[str] = []
    back: list[tuple[int, int]] = []
    for line in lines:
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            places[label[1]] = len(names)
        elif found := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?);", line):
            target = re.search(r"\.L_x_\d+", found[2])
            if found[1].startswith("BRA") and target and target[0] in places:
                back.append((places[target[0]], len(names)))
            names.append(found[1])
    times = [1.0] * len(names)
    # The longest are the kernel's own; what goes back to itself ends the code.
    for (begin, end), trip in zip(sorted(back, key=lambda ends: ends[0] - ends[1]), trips, strict=False):
        for place in range(begin, end + 1):
            times[place] *= trip
    kinds: Counter[str] = Counter()
    moved = 0.0
    for name, often in zip(names, times, strict=True):
        kind = _kind(name)
        kinds[kind] += often  # type: ignore[assignment]
        moved += often * _width(name) if kind in ("read", "write") else 0
    return kinds, moved


def _kind(name: str) -> str:
    first = name.split(".")[0]
    if first in _PRODUCTS:
        return "product"
    for kind, names in (("read", ("LDG", "LD")), ("write", ("STG", "ST")), ("shared", ("LDS", "STS"))):
        if first in names:
            return kind
    if first in _FLOW or first.startswith("U"):
        return "flow"
    return "whole products" if first == "IMAD" else "other"


def _width(name: str) -> int:
    """Bytes that a thread reads or writes at once."""
    widths = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}
    return next((widths[part] for part in name.split(".") if part in widths), 4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of all shapes of the GPU check."""
    sys.path.insert(0, str(Path(__file__).parent))
    from kernels import BATCH, SHAPES, title

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--capability", type=int, default=90, help="compute capability (default: 90)")
    given = parser.parse_args(arguments)
    names = ("map", "kernel", "registers", "spilled", "per product", "busiest pipe", "its ms", "memory's ms")
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    for shape in SHAPES:
        _, channels, lengths, kernel, stride = shape
        for launch in launches_of(BATCH, channels, lengths, kernel, stride):
            code = compile_for(launch, given.capability)
            cells = (title(shape), *_cells(launch, code, channels, lengths, kernel, BATCH))
            print(f"| {' | '.join(cells)} |", flush=True)


def _cells(
    launch: Launch, code: Code, channels: int, lengths: Triple, kernel: Triple, batch: int
) -> tuple[str, ...]:
    outputs = math.prod(launch.values[name] for name in ("TO", "HO", "WO"))
    products = batch * channels * outputs * math.prod(kernel)
    executed = code.instructions.total() * 32 * launch.options["num_warps"] * launch.programs
    pipes = code.milliseconds(launch)
    busiest = max(pipes, key=pipes.__getitem__)
    least = 1e3 * 2 * batch * channels * (math.prod(lengths) + outputs) / MEMORY
    name = launch.kernel.__name__.removesuffix("_kernel").replace("_", " ")
    ours = (name, str(code.registers), str(code.spilled), f"{executed / products:.2f}")
    return (*ours, busiest, f"{pipes[busiest]:.3f}", f"{least:.3f}")


if __name__ == "__main__":
    main()
