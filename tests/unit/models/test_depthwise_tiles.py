"""Tiles of the depthwise kernels are timed once a node for large maps on a GPU, and nowhere else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chestct.models import depthwise_tiles
from chestct.models.depthwise_tiles import (
    CANDIDATES,
    ROWS,
    WEIGHT,
    Key,
    chosen,
    find,
    first_candidates,
    forced,
)

KEY: Key = (ROWS, (32, 56, 56), 54, (3, 3, 3), (1, 1, 1), 2)


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
    monkeypatch.setattr(depthwise_tiles, "_looked_for", set())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return names


def a_map(kind: str = "cuda", values: int = 1 << 24) -> Any:
    return SimpleNamespace(device=torch.device(kind, 0), numel=lambda: values)


def test_the_quickest_is_chosen_once_a_node(timed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(KEY) == CANDIDATES[ROWS][0]
    for _ in range(2):
        find(KEY, lambda tile: None, a_map())
    assert timed == [ROWS] and chosen(KEY) == CANDIDATES[ROWS][1]
    monkeypatch.setattr(depthwise_tiles, "_chosen", {})  # the next job
    find(KEY, lambda tile: None, a_map())
    assert timed == [ROWS] and chosen(KEY) == CANDIDATES[ROWS][1]
    # A network that is compiled first finds what another job chose.
    monkeypatch.setattr(depthwise_tiles, "_chosen", {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(depthwise_tiles, "_looked_for", set())
    assert chosen(KEY) == CANDIDATES[ROWS][1]
    other: Key = (WEIGHT, *KEY[1:])
    find(other, lambda tile: None, a_map())
    assert timed == [ROWS, WEIGHT] and chosen(other) == CANDIDATES[WEIGHT][1]


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": 1}', "[0, 0, 0]"])
def test_a_file_that_is_no_choice_is_not_read(timed: list[str], tmp_path: Path, content: str) -> None:
    find(KEY, lambda tile: None, a_map())
    (file,) = tmp_path.rglob("*.json")
    file.write_text(content)
    depthwise_tiles._chosen.clear()
    find(KEY, lambda tile: None, a_map())
    assert timed == [ROWS, ROWS]


def test_where_nothing_is_timed(timed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find(KEY, lambda tile: None, a_map("cpu"))
    find(KEY, lambda tile: None, a_map(values=1000))
    with first_candidates():
        find(KEY, lambda tile: None, a_map())
    with forced(rows=(64, 8, 4)):
        find(KEY, lambda tile: None, a_map())
        assert chosen(KEY) == (64, 8, 4)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    find(KEY, lambda tile: None, a_map())
    assert timed == [] and chosen(KEY) == CANDIDATES[ROWS][0]


def test_a_folder_that_cannot_be_written_to_is_no_error(
    timed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "file"))
    find(KEY, lambda tile: None, a_map())
    monkeypatch.delenv("TRITON_CACHE_DIR")
    find((*KEY[:5], 4), lambda tile: None, a_map())
    assert timed == [ROWS, ROWS] and chosen(KEY) == CANDIDATES[ROWS][1]
