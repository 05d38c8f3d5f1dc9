"""Compiled networks: the same numbers and names, each kind of block once, and a failure that costs a line.

The compiler's own back end takes minutes; "eager" and "aot_eager" take its way without it, and need no g++.
"""

import copy
import gc
import weakref

import pytest
import torch
from compiled_network import assert_same, batch, outcome, pair
from torch import nn

from chestct.training.compile_choice import BLOCKS, GRAPHS, WHOLE
from chestct.training.machine import compiled
from chestct.training.machine.compiled import CompiledModel, is_compiled, keeps_gradients
from chestct.training.machine.processes import Processes

pytestmark = pytest.mark.usefixtures("backend")


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
