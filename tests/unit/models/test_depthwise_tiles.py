"""Tiles of the depthwise kernels are timed once a node for large maps on a GPU, and nowhere else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chestct.models import depthwise_tiles
from chestct.models.depthwise_tiles import (
    CANDIDATES,
    FORWARD,
    INPUT,
    Key,
    Tile,
    choose,
    first_candidates,
    forced,
)

KEY: Key = (FORWARD, (32, 56, 56), 54, (3, 3, 3), (1, 1, 1), 2)


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kernels whose candidates were timed, on a GPU where the second is the quickest; a new process."""
    names: list[str] = []

    def time_candidates(kernel: str, _: object) -> dict[Any, float]:
        names.append(kernel)
        return {tile: abs(number - 1) for number, tile in enumerate(CANDIDATES[kernel])}

    monkeypatch.setattr(depthwise_tiles, "time_candidates", time_candidates)
    monkeypatch.setattr(depthwise_tiles, "_chosen", {})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return names


def a_map(kind: str = "cuda", values: int = 1 << 24) -> Any:
    return SimpleNamespace(device=torch.device(kind, 0), numel=lambda: values)


def tile_of(key: Key = KEY, like: Any = None) -> Tile:
    return choose(key, lambda tile: None, like or a_map())


def test_the_quickest_is_chosen_once_a_node(timed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quickest = CANDIDATES[FORWARD][1]
    assert [tile_of(), tile_of()] == [quickest, quickest] and timed == [FORWARD]
    assert tile_of(like=a_map(values=1000)) == quickest, "a smaller batch of the same map"
    monkeypatch.setattr(depthwise_tiles, "_chosen", {})  # the next job
    # What another job chose is found while kernels are captured, too.
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert tile_of() == quickest and timed == [FORWARD]
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert tile_of((INPUT, *KEY[1:])) == CANDIDATES[INPUT][1] and timed == [FORWARD, INPUT]


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": 1}', "[0, 0, 0]"])
def test_a_file_that_is_no_choice_is_not_read(timed: list[str], tmp_path: Path, content: str) -> None:
    tile_of()
    (file,) = tmp_path.rglob("*.json")
    file.write_text(content)
    depthwise_tiles._chosen.clear()
    tile_of()
    assert timed == [FORWARD, FORWARD]


def test_where_nothing_is_timed(timed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = CANDIDATES[FORWARD][0]
    assert tile_of(like=a_map("cpu")) == tile_of(like=a_map(values=1000)) == first
    with first_candidates():
        assert tile_of() == first
    with forced(forward=(64, 8, 4)):
        assert tile_of() == (64, 8, 4)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert tile_of() == first and timed == []


def test_a_folder_that_cannot_be_written_to_is_no_error(
    timed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "file"))
    tile_of()
    monkeypatch.delenv("TRITON_CACHE_DIR")
    tile_of((*KEY[:5], 4))
    assert timed == [FORWARD, FORWARD] and tile_of() == CANDIDATES[FORWARD][1]
