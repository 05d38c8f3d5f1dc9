"""torch.compile of networks, such that a network whose compilation fails goes on as it was.

Three forms (``compile_choice.FORMS``). In the first, blocks are compiled that a network repeats, each kind of
them once, which takes seconds where the whole network takes a minute or more: BatchNorm, ReLU, residuals and
squeeze-and-excitation of a block then move through memory once. Parameters, their names and state_dict stay;
random numbers are those of PyTorch without a compiler. Compiled is what has the shape of the first batch, in
training and in evaluation; other batches (the last of a validation) are computed as they are.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from chestct.training.checkpoint import random_state, set_random_state
from chestct.training.compile_choice import BLOCKS, FORMS, GRAPHS, WHOLE
from chestct.training.machine.compiler_caches import own_compiler_caches
from chestct.training.machine.device import is_out_of_memory
from chestct.training.machine.processes import Processes, leaves_blocks_out

#: What compiles; tests take one that needs no C++ compiler.
BACKEND = "inductor"
#: Blocks that networks repeat: module and name of their classes.
_BLOCKS = {
    ("pytorchvideo.models.resnet", "ResBlock"),
    ("pytorchvideo.models.stem", "ResNetBasicStem"),
    ("pytorchvideo.models.slowfast", "FuseFastToSlow"),
    ("pytorchvideo.models.x3d", "ProjectedPool"),
    ("pytorchvideo.layers.attention", "MultiScaleBlock"),
    ("torchvision.models.swin_transformer", "SwinTransformerBlock"),
    ("torchvision.models.swin_transformer", "PatchMerging"),
    ("torchvision.models.resnet", "BasicBlock"),
    ("torchvision.models.resnet", "Bottleneck"),
    ("transformers.models.dinov2.modeling_dinov2", "Dinov2Layer"),
    ("transformers.models.videomae.modeling_videomae", "VideoMAELayer"),
    ("efficientnet_lite_pytorch.model", "MBConvBlock"),
    ("chestct.models.penet", "PENetBottleneck"),
    ("chestct.models.i3d", "Unit3D"),
    ("chestct.models.i3d", "Mixed"),
    ("chestct.models.shufflenet3d", "ShuffleUnit"),
}
#: Kinds of one class of blocks, in training and in evaluation, at most: PyTorch's own limit is 8.
_MOST_KINDS = 64
#: Largest difference of the first compiled output from the plain one, relative to its length: what shows that
#: a kernel is wrong. Rounding of bf16 stays far below.
_LIMIT = 0.2
#: Calls until what runs is what later steps run: CUDA graphs are warmed up, recorded, and then replayed.
_CALLS = {BLOCKS: 1, WHOLE: 1, GRAPHS: 3}


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """The outermost blocks of a network that are compiled each by itself."""
    found: list[nn.Module] = []
    for child in model.children():
        if any((kind.__module__, kind.__name__) in _BLOCKS for kind in type(child).__mro__):
            found.append(child)
        else:
            found += find_blocks(child)
    return found


def keeps_gradients(model: nn.Module) -> bool:
    """Whether gradients of a network must stay where they are in memory, and be set to zero in place."""
    return is_compiled(model) and getattr(model._compiled_call_impl, "keeps_gradients", False)


def is_compiled(model: nn.Module) -> bool:
    """Whether a network is called as compiled code."""
    return getattr(model._compiled_call_impl, "on", False)


class CompiledModel:
    """What is called in the place of a network's own forward pass.

    Args:
        model: on its device; changed in place.
        form: what is compiled; a network without blocks is compiled as a whole.
        say: takes a line for the log.
        processes: that train together: where one cannot compile, none goes on compiled, so that what they
            exchange (statistics of BatchNorm) keeps one order.

    Attributes:
        on: whether compiled code is used.
        seconds: that compiling took so far.
        keeps_gradients: whether gradients must stay where they are in memory: with CUDA graphs, whose own
            memory the next replay writes over. A network that leaves blocks out has no gradients of them in
            some steps, and is compiled by blocks.
    """

    def __init__(
        self,
        model: nn.Module,
        form: str,
        *,
        say: Callable[[str], None],
        processes: Processes = Processes(),  # noqa: B008 (frozen)
    ) -> None:
        assert form in FORMS, form
        if form == GRAPHS and leaves_blocks_out(model):
            say("CUDA graphs do not go with blocks that are left out by chance: blocks are compiled")
            form = BLOCKS
        self.model, self.form, self._say, self._processes = model, form, say, processes
        self.on, self.failed, self.seconds, self.keeps_gradients = True, False, 0.0, False
        self._blocks: list[nn.Module] = []
        self._calls: list[Callable[..., Any]] = []
        self._whole: Callable[..., Any] | None = None
        self._shapes: dict[tuple[bool, bool, bool], torch.Size] = {}
        model._compiled_call_impl = self  # type: ignore[assignment]

    def _prepare(self) -> None:
        # At the first batch: importing the compiler takes seconds, and a trial may not come so far.
        own_compiler_caches()
        import torch._dynamo

        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_KINDS)
        self._blocks = find_blocks(self.model) if self.form == BLOCKS else []
        self._calls = [self._compile(block.forward) for block in self._blocks]
        self._whole = None if self._blocks else self._compile(self.model._call_impl)

    def _compile(self, call: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": self.form == GRAPHS}
        return torch.compile(
            call, dynamic=False, backend=BACKEND, options=options if BACKEND == "inductor" else None
        )

    def switch(self, on: bool) -> None:
        """Use compiled code, or not; after a failure it is not used any more."""
        self.on = on and not self.failed

    def failed_anywhere(self) -> bool:
        """Whether compiling failed in any process, in which case it has in all; all must call it together."""
        failed = self._processes.any(self.failed)
        if failed and not self.failed:
            self._give_up("it failed in another process")
        return failed

    def __call__(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """The network's output."""
        kind = (
            self.model.training,
            torch.is_grad_enabled(),
            torch.is_autocast_enabled(x_BCTHW.device.type),
        )
        if (self.on or self.failed) and kind not in self._shapes:
            # One that has failed takes part: its companions ask it here.
            self._shapes[kind] = x_BCTHW.shape
            if self.on:
                self._begin(x_BCTHW)
            self.failed_anywhere()
            # What compiling leaves behind refers to itself, and so does a network that was compiled before.
            gc.collect()
        if not self.on or x_BCTHW.shape != self._shapes[kind]:
            return self._plain(x_BCTHW)
        try:
            return self._compiled(x_BCTHW)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self._give_up(f"{type(error).__name__}: {error}")
            return self._plain(x_BCTHW)

    def _plain(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        for block in self._blocks:
            block._compiled_call_impl = None
        return self.model._call_impl(x_BCTHW)

    def _compiled(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        for block, call in zip(self._blocks, self._calls, strict=True):
            block._compiled_call_impl = call  # type: ignore[assignment]
        if self._whole is None:
            return self.model._call_impl(x_BCTHW)
        if self.form != GRAPHS:
            return self._whole(x_BCTHW)
        torch.compiler.cudagraph_mark_step_begin()
        # Out of the graphs' memory.
        return self._whole(x_BCTHW).clone()

    def _begin(self, x_BCTHW: torch.Tensor) -> None:
        """Compile for batches like this one; network, gradients and random states stay as they are."""
        begun, state = time.perf_counter(), _State(self.model, x_BCTHW.device)
        expected = self._plain(x_BCTHW).detach()
        drawn = state.restore()
        try:
            if not self._calls and self._whole is None:
                self._prepare()
            graphs_left_out = -_graphs_left_out()
            for _ in range(_CALLS[self.form]):
                state.restore()
                found = self._compiled(x_BCTHW)
                if found.requires_grad:
                    self._compile_backward(found)
                found = found.detach()
            graphs_left_out += _graphs_left_out()
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
            return
        finally:
            state.restore()
        # Where random numbers are drawn, code that is compiled as a whole may draw them in another order.
        self._compare(found, expected, by_numbers=not drawn)
        seconds = time.perf_counter() - begun
        self.seconds += seconds
        if self.on:
            what = f"{len(self._blocks)} blocks" if self._blocks else "the network"
            mode = "training" if self.model.training else "evaluation"
            self._say(f"torch.compile: {what} for {mode}, {seconds:.1f} s")
            if self.form == GRAPHS and graphs_left_out:
                self._say(
                    f"torch.compile: {graphs_left_out} parts of it are in no CUDA graph: their kernels are "
                    "launched one by one (TORCH_LOGS=cudagraphs says why)"
                )

    def _compare(self, found: torch.Tensor, expected: torch.Tensor, *, by_numbers: bool) -> None:
        """Give up if compiled code computes something else than the plain network."""
        difference = float((found - expected).float().norm()) if by_numbers else 0.0
        if not torch.isfinite(found).all() and torch.isfinite(expected).all():
            self._give_up("its output is no number, and that of the plain network is")
        elif difference > _LIMIT * float(expected.float().norm()) + 0.01:
            self._give_up(f"its output differs from that of the plain network by {difference:.2g}")

    def _compile_backward(self, found: torch.Tensor) -> None:
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        # Not backward(): nothing is added to gradients, and no other process is told of them.
        gradients = torch.autograd.grad(found.float().sum(), trained, allow_unused=True)
        if self.form != GRAPHS:
            return
        self.keeps_gradients = True
        for weight, gradient in zip(trained, gradients, strict=True):
            if gradient is not None and weight.grad is None:
                weight.grad = torch.zeros_like(weight)

    def _give_up(self, why: str) -> None:
        self.on, self.failed = False, True
        text = "torch.compile failed, the network goes on as it is, with the same results: "
        text += " ".join(why.split()[:40])
        if self._processes.first:
            self._say(text)
        else:  # the others say nothing else, and the first does not know the reason
            print(f"process {self._processes.rank}: {text}", flush=True)


def _graphs_left_out() -> int:
    """Parts of all networks so far that PyTorch put into no CUDA graph; it only counts them."""
    return torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]


class _State:
    """What a forward pass changes: running statistics, and the states of random generators."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        self._device, self._random = device, random_state(device)

    def restore(self) -> bool:
        """Put it back; returns whether random numbers were drawn."""
        now = random_state(self._device)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)
        set_random_state(self._random)
        torch.clear_autocast_cache()  # of weights, which a pass without gradients may have filled
        return any(not torch.equal(state, self._random[name]) for name, state in now.items())
