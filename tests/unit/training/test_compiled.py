"""Compiled networks: the same numbers and names, each kind of block once, and a failure that costs a line.

The compiler's own back end takes minutes; "eager" and "aot_eager" take its way without it, and need no g++.
"""

import copy
import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine_data import SETTINGS, assert_equal_runs, make_job, record, train, windows
from torch import nn
from torch.nn import functional as F

from chestct.models import build_model, depthwise
from chestct.models.channels_last import put_depthwise
from chestct.models.fast_forms import apply_fast_forms
from chestct.training.compile_choice import ALWAYS, BLOCKS, GRAPHS, NEVER, WHOLE, wish
from chestct.training.compiling import start_compiling
from chestct.training.header import read_facts
from chestct.training.machine import compiled
from chestct.training.machine.compiled import CompiledModel, is_compiled, keeps_gradients
from chestct.training.machine.processes import Processes


class Block(nn.Module):
    """Convolution, BatchNorm, squeeze-and-excitation, dropout, residual, ReLU."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm3d(out_channels)
        self.excite = nn.Linear(out_channels, out_channels)
        self.drop = nn.Dropout(0.5)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x_BCTHW))
        x = x * torch.sigmoid(self.excite(x.mean(dim=(2, 3, 4))))[:, :, None, None, None]
        return torch.relu(self.drop(x) + x_BCTHW) if x.shape == x_BCTHW.shape else torch.relu(x)


class Network(nn.Module):
    """Three blocks of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3, 4), nn.Sequential(Block(4, 4), Block(4, 4)))
        self.head = nn.Linear(4, 1)
        self.unused = nn.Linear(2, 2)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(x_BCTHW).mean(dim=(2, 3, 4)))


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A back end that counts what is compiled; blocks are those of the network above."""
    graphs: list[int] = []

    def count(module: torch.fx.GraphModule, _: object) -> object:
        graphs.append(len(module.graph.nodes))
        return module.forward

    monkeypatch.setattr(compiled, "BACKEND", count)
    monkeypatch.setattr(compiled, "_BLOCKS", {(Block.__module__, "Block")})
    yield graphs
    torch._dynamo.reset()


def pair() -> tuple[Network, Network]:
    torch.manual_seed(0)
    plain = Network()
    return plain, copy.deepcopy(plain)


def batch(number: int = 4) -> torch.Tensor:
    return torch.randn(number, 3, 2, 5, 5, generator=torch.Generator().manual_seed(1))


def outcome(model: nn.Module, x_BCTHW: torch.Tensor, pieces: int = 1) -> dict[str, torch.Tensor]:
    """Output, gradients and running statistics of a training step in pieces, and the output in evaluation."""
    torch.manual_seed(2)
    model.train().zero_grad(set_to_none=not keeps_gradients(model))
    logits = []
    for piece in x_BCTHW.chunk(pieces):
        logits.append(model(piece))
        (logits[-1] * torch.linspace(0.5, 1, len(piece))[:, None]).sum().backward()
    found = {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }
    found |= {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        return found | {"training": torch.cat(logits).detach(), "evaluation": model.eval()(x_BCTHW)}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], limit: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        difference = (ours[name] - value).double().norm() / value.double().norm().clamp(min=1e-9)
        assert difference <= limit, f"{name} differs by {difference:.1e}"


def test_every_kind_of_block_is_compiled_once_and_is_what_it_was(backend: list[int]) -> None:
    plain, fast = pair()
    lines: list[str] = []
    CompiledModel(fast, BLOCKS, say=lines.append)
    for _ in range(2):  # the first call compiles
        assert_same(outcome(fast, batch()), outcome(plain, batch()), 0)
    assert len(backend) == 4, "two kinds, in training and in evaluation"
    assert [line.split(",")[0] for line in lines] == [
        "torch.compile: 3 blocks for training",
        "torch.compile: 3 blocks for evaluation",
    ]
    assert list(fast.state_dict()) == list(plain.state_dict()), "no _orig_mod"
    assert list(copy.deepcopy(fast).state_dict()) == list(plain.state_dict())
    assert_same(outcome(fast, batch(3)), outcome(plain, batch(3)), 0)
    assert len(backend) == 4, "a smaller last batch is computed as it is"
    CompiledModel(plain, BLOCKS, say=lines.append)
    outcome(plain, batch())
    assert len(backend) == 4, "another network of the same kind, as in prediction, compiles nothing"
    assert is_compiled(fast) and is_compiled(plain)


def test_gradients_through_the_compilers_own_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    plain, fast = pair()
    CompiledModel(fast, BLOCKS, say=lambda text: None)
    assert_same(outcome(fast, batch()), outcome(plain, batch()), 1e-5)
    assert is_compiled(fast)


def test_with_cuda_graphs_gradients_of_pieces_add_up_where_they_are() -> None:
    """What a replay gives is written over by the next: nothing of it may be kept."""
    plain, fast = pair()
    CompiledModel(fast, GRAPHS, say=lambda text: None)
    assert not keeps_gradients(plain)
    outcome(fast, batch(), pieces=2)
    assert keeps_gradients(fast)
    places = [weight.grad.data_ptr() for weight in fast.parameters() if weight.grad is not None]
    outcome(plain, batch(), pieces=2)
    assert_same(outcome(fast, batch(), pieces=2), outcome(plain, batch(), pieces=2), 1e-6)
    assert places == [weight.grad.data_ptr() for weight in fast.parameters() if weight.grad is not None]
    assert fast.unused.weight.grad is None, "Adam would move what has a gradient of zero"
    fast._compiled_call_impl.switch(False)  # type: ignore[union-attr]
    assert not keeps_gradients(fast), "plain steps are those of a run without compiling"


def test_cuda_graphs_are_checked_as_replays_and_their_absence_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call warms up, the second records; a replay is what training takes."""
    calls: list[int] = []
    wrong: list[int] = []

    def back_end(module: torch.fx.GraphModule, _: object) -> object:
        torch._dynamo.utils.counters["inductor"]["cudagraph_skips"] += 1

        def run(*values: torch.Tensor) -> object:
            calls.append(len(calls))
            found = module(*values)
            return tuple(value * 3 + 1 for value in found) if len(calls) in wrong else found

        return run

    monkeypatch.setattr(compiled, "BACKEND", back_end)
    lines: list[str] = []
    for bad in ([], [3]):
        calls.clear()
        wrong[:] = bad
        _, fast = pair()
        for part in fast.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        CompiledModel(fast, GRAPHS, say=lines.append)
        fast(batch())
        assert is_compiled(fast) == (not bad)
    assert "1 parts of it are in no CUDA graph" in lines[1]
    assert "differs from that of the plain network" in lines[-1]


def test_networks_that_leave_blocks_out_take_no_cuda_graphs() -> None:
    """Of what the first step left out, gradients would lie in a graph's own memory."""
    _, fast = pair()
    fast.blocks[0].survival = 0.5
    lines: list[str] = []
    assert CompiledModel(fast, GRAPHS, say=lines.append).form == BLOCKS and len(lines) == 1


def test_a_network_that_was_compiled_gives_its_memory_back_to_the_next() -> None:
    names = []
    gc.disable()
    try:
        for _ in range(2):
            network = pair()[0]
            CompiledModel(network, BLOCKS, say=lambda text: None)
            outcome(network, batch())
            names.append(weakref.ref(network))
    finally:
        gc.enable()
    assert names[0]() is None and names[1]() is network


def test_a_network_that_is_not_run_costs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: calls.append(call) or call)
    _, fast = pair()
    model = CompiledModel(fast, BLOCKS, say=lambda text: None)
    model.switch(False)
    fast(batch())
    assert not calls
    model.switch(True)
    fast(batch())
    assert len(calls) == 3


@pytest.mark.parametrize(("form", "where"), [(BLOCKS, "compiling"), (WHOLE, "wrong numbers")])
def test_a_failure_is_a_line_and_the_plain_network(
    form: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(module: torch.fx.GraphModule, _: object) -> object:
        if where == "compiling":
            raise RuntimeError("no compiler here\nand much more")
        return lambda *values: tuple(value * 3 + 1 for value in module(*values))

    monkeypatch.setattr(compiled, "BACKEND", fail)
    plain, fast = pair()
    for model in (plain, fast):
        for part in model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
    lines: list[str] = []
    CompiledModel(fast, form, say=lines.append)
    for _ in range(2):
        assert_same(outcome(fast, batch()), outcome(plain, batch()), 0)
    assert not is_compiled(fast)
    (line,) = lines
    assert "torch.compile failed, the network goes on as it is" in line and "\n" not in line
    assert ("no compiler here" if where == "compiling" else "differs") in line


def test_where_one_process_cannot_compile_none_does() -> None:
    class Companions(Processes):
        def any(self, flag: bool) -> bool:
            return True  # another's

    _, fast = pair()
    lines: list[str] = []
    CompiledModel(fast, BLOCKS, say=lines.append, processes=Companions())
    outcome(fast, batch())
    assert not is_compiled(fast) and "in another process" in lines[-1]


def test_a_process_that_failed_late_still_answers_its_companions() -> None:
    """They ask at the first batch of a validation; whoever did not answer would let them wait for ever."""
    asked: list[bool] = []

    class Companions(Processes):
        def any(self, flag: bool) -> bool:
            asked.append(flag)
            return flag

    _, fast = pair()
    model = CompiledModel(fast, WHOLE, say=lambda text: None, processes=Companions())
    outcome(fast, batch())
    assert asked == [False, False], "training, evaluation"
    again = copy.deepcopy(pair()[0])
    asked.clear()
    model = CompiledModel(again, WHOLE, say=lambda text: None, processes=Companions())
    again.train()(batch())
    model._whole = None  # type: ignore[assignment]
    model._compiled = lambda *_: (_ for _ in ()).throw(RuntimeError("a kernel fails"))  # type: ignore
    again(batch())
    assert model.failed and not model.on
    with torch.no_grad():
        again.eval()(batch())
    assert asked == [False, True]


def test_batchnorm_of_several_gpus_is_not_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    computation: Any = SimpleNamespace(name="a run", gpus=2, processes=Processes(0, 2))
    settings = replace(SETTINGS, compile=ALWAYS)
    arguments = "slow_r50", settings, computation
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(pair()[0])
    assert start_compiling(shared, *arguments, num_slices=8, windows=(8, 8)) is None
    assert not is_compiled(shared) and "BatchNorm exchanges statistics" in capsys.readouterr().out
    start_compiling(shared.eval(), *arguments, num_slices=8, windows=(8, 8))
    assert is_compiled(shared), "frozen layers exchange nothing"


def test_a_run_compiled_is_the_run(data, tmp_path, plain) -> None:
    short = {"budget": windows(16), "num_validations": 2}
    usual = train(make_job(data, compile=NEVER, **short), tmp_path / "usual")
    fast = train(make_job(data, compile=ALWAYS, compile_form=WHOLE, **short), tmp_path / "fast")
    assert_equal_runs(usual, fast)
    headers = [read_facts(folder / "weights.safetensors") for folder in (usual, fast)]
    assert [facts["settings"].pop("compile") for facts in headers] == [False, True]
    assert headers[0] == headers[1] and "compile_form" not in headers[0]["settings"]
    assert record(usual)["num_parameters"] == record(fast)["num_parameters"]


def test_automatically_nothing_is_compiled_on_a_cpu(data, tmp_path, plain, backend: list[int]) -> None:
    assert SETTINGS.compile == "auto"
    short = {"budget": windows(8), "num_validations": 1}
    auto = train(make_job(data, **short), tmp_path / "auto")
    off = train(make_job(data, compile=False, **short), tmp_path / "off")
    assert (auto / "weights.safetensors").read_bytes() == (off / "weights.safetensors").read_bytes()
    assert not backend


@pytest.mark.parametrize("name", ["csn_narrow", "x3d_narrow"])
def test_a_block_in_its_fast_form_is_one_graph(name: str) -> None:
    """With breaks, what lies between convolutions would go through memory once an operation."""
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    apply_fast_forms(model, mixed=True)
    block, inputs = model.get_submodule("blocks.1.res_blocks.0"), []  # of another stride than 1
    block.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 8, 32, 32))
        torch.compile(block.forward, backend="eager", fullgraph=True)(*inputs)


def test_the_compiler_takes_depthwise_kernels_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU alone they run: here PyTorch computes in their place what they would."""
    calls: list[str] = []
    lines: list[str] = []

    def convolution(x: torch.Tensor, weight: torch.Tensor, stride: Any, padding: Any) -> torch.Tensor:
        x = x.permute(0, 4, 1, 2, 3)
        y = F.conv3d(x, weight, None, stride, padding, groups=len(weight))
        return y.permute(0, 2, 3, 4, 1).contiguous()

    def convolve(*arguments: Any) -> torch.Tensor:
        calls.append("forward")
        return convolution(*arguments)

    def gradients(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, *geometry: Any) -> Any:
        calls.append("backward")
        grad, x = (values.permute(0, 4, 1, 2, 3) for values in (grad, x))
        rest = (None, *geometry[:2], (1, 1, 1), False, (0, 0, 0), len(weight), (True, True, False))
        found_x, found_weight, _ = torch.ops.aten.convolution_backward(grad, x, weight, *rest)
        return (found_x.permute(0, 2, 3, 4, 1).contiguous() if geometry[2][0] else None), found_weight

    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    monkeypatch.setattr(depthwise, "convolve", convolve)
    monkeypatch.setattr(depthwise, "gradients", gradients)
    monkeypatch.setattr(depthwise, "runs_kernels", lambda device: True)
    torch.manual_seed(0)
    first = nn.Conv3d(3, 3, 3, stride=(1, 2, 2), padding=1, groups=3)
    plain = nn.Sequential(
        first, nn.ReLU(), nn.Conv3d(3, 3, 3, padding=1, groups=3), nn.Flatten(), nn.Linear(54, 1)
    )
    fast = copy.deepcopy(plain)
    assert put_depthwise(fast, False) == 2
    CompiledModel(fast, WHOLE, say=lines.append)
    assert_same(outcome(fast, batch()), outcome(plain, batch()), 1e-5)
    assert is_compiled(fast), lines
    assert {"forward", "backward"} == set(calls)


def test_old_values_of_the_setting_stay_valid() -> None:
    assert [wish(value) for value in (True, False, "auto")] == [ALWAYS, NEVER, "auto"]
