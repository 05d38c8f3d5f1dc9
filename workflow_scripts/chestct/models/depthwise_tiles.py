"""How much of a map a program of the depthwise kernels takes at once: chosen on each GPU by the clock.

A choice changes no number: whatever the tile, the same values are added up in the same order. So a run that
goes on elsewhere, or a process beside it, may choose otherwise. For the weights' gradients nothing is chosen.

On a GPU the candidates are timed at the first call for a size of map, once on a node: choices lie beside what
Triton compiled. Small maps, maps that are met while a CUDA graph is captured, and all maps elsewhere take the
first candidate. A compiled network calls the kernels as any other does (``depthwise_ops``).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import torch

from chestct.errors import InputError
from chestct.files import write_text

#: Patches of a program, rows of a patch in strides, and planes that a program takes one after another.
Tile = tuple[int, int, int]
#: Kernel, lengths of the map, channels, window of weights, stride, bytes of a value.
Key = tuple[str, tuple[int, ...], int, tuple[int, ...], tuple[int, ...], int]

FORWARD, INPUT = "forward", "input"
CANDIDATES: dict[str, tuple[Tile, ...]] = {
    FORWARD: ((4, 1, 8), (4, 1, 32), (4, 2, 32)),
    INPUT: ((4, 1, 8), (4, 1, 32)),
}
#: Values of a map from which on timing pays.
_LARGE = 1 << 22
_FOLDER = "chestct_tiles"
#: Changes where older choices on disk mean nothing any more.
_VERSION = 2

_chosen: dict[Key, Tile] = {}
_forced: dict[str, Tile] = {}
_timing = True


@contextmanager
def forced(**tiles: Tile) -> Iterator[None]:
    """Have kernels take these tiles, whatever was chosen, by the kernel's name."""
    before = dict(_forced)
    _forced.update(tiles)
    try:
        yield
    finally:
        _forced.clear()
        _forced.update(before)


@contextmanager
def first_candidates() -> Iterator[None]:
    """Time nothing: where all that counts is what kernels compute."""
    global _timing
    before, _timing = _timing, False
    try:
        yield
    finally:
        _timing = before


def choose(key: Key, launch: Callable[[Tile], None], like: torch.Tensor) -> Tile:
    """The tile of a kernel for a map: chosen at the first call for it, by this job or another of the node.

    Args:
        key: of the kernel and the map.
        launch: runs the kernel with a tile.
        like: the map.
    """
    if key[0] in _forced:
        return _forced[key[0]]
    if key in _chosen:
        return _chosen[key]
    first = CANDIDATES[key[0]][0]
    if not _timing or like.device.type != "cuda" or like.numel() < _LARGE:
        return first
    place = _place(key)
    tile = _read(place, key[0])
    if tile is None:
        if torch.cuda.is_current_stream_capturing():
            return first
        times = time_candidates(key[0], launch)
        tile = min(times, key=times.__getitem__)
        _write(place, tile)
    _chosen[key] = tile
    return tile


def time_candidates(kernel: str, launch: Callable[[Tile], None]) -> dict[Tile, float]:
    """Milliseconds of each candidate on the GPU, the least of some launches."""
    times = {}
    for tile in CANDIDATES[kernel]:
        for _ in range(2):  # compiled at the first
            launch(tile)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(6)]
        for event in events:
            event.record()
            launch(tile)
        events.append(torch.cuda.Event(enable_timing=True))
        events[-1].record()
        events[-1].synchronize()
        times[tile] = min(one.elapsed_time(other) for one, other in pairwise(events))
    return times


def _place(key: Key) -> Path | None:
    folder = os.environ.get("TRITON_CACHE_DIR")
    if not folder:
        return None
    what = json.dumps([_VERSION, torch.cuda.get_device_name(), CANDIDATES[key[0]], key])
    return Path(folder) / _FOLDER / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"


def _read(place: Path | None, kernel: str) -> Tile | None:
    try:
        found = json.loads(place.read_text(encoding="utf-8")) if place else None
    except (OSError, ValueError):
        return None
    return next((tile for tile in CANDIDATES[kernel] if found == [*tile]), None)


def _write(place: Path | None, tile: Tile) -> None:
    if place:
        with suppress(InputError, OSError):  # another job will time them again
            write_text(place, json.dumps(tile), durable=False)
