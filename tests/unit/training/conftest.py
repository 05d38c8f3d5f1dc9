"""Fixtures of the training step's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import tracing_worker
from compiled_network import Block
from engine_data import make_job, train, write_data

from chestct.training import start
from chestct.training.machine import compiled

# At its first backward pass autograd counts the kinds of device. torch.compile and torch.export bring more,
# and a process that had more then cannot train once it is forked, as some tests' processes are.
torch.ones(1, requires_grad=True).sum().backward()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Equal weights need an equal number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of tables and a shard of 24 scans."""
    return write_data(tmp_path_factory.mktemp("engine"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small plain model in place of the catalogue's."""
    monkeypatch.setattr(start, "build_model", tracing_worker.build_plain)


@pytest.fixture(scope="session")
def trained(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one finished run that nothing interrupted."""
    return train(make_job(data), tmp_path_factory.mktemp("run"))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A back end that counts what is compiled; blocks are those of compiled_network."""
    graphs: list[int] = []

    def count(module: torch.fx.GraphModule, _: object) -> object:
        graphs.append(len(module.graph.nodes))
        return module.forward

    monkeypatch.setattr(compiled, "BACKEND", count)
    monkeypatch.setattr(compiled, "_BLOCKS", {(Block.__module__, "Block")})
    yield graphs
    torch._dynamo.reset()
