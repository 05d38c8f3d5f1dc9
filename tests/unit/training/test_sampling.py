"""Streams of batches: balanced, shared out, and the same from whichever step they start."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from chestct.training.budget import Batches
from chestct.training.windows.batch_order import BalancedStream, ShuffledStream, begin_pass


def balanced(labels, *, size=8, num_steps=6, first_step=0, **shares):
    batches = Batches(size=size, **shares)
    return list(BalancedStream(labels, batches, seed=0, num_steps=num_steps, first_step=first_step))


def test_it_balances_classes_and_uses_every_scan_before_repeating():
    labels = [1] * 5 + [0] * 15
    stream = BalancedStream(labels, Batches(size=8), seed=0, num_steps=6)
    assert stream.steps_of_pass == 3
    assert len(stream) == 6
    batches = list(stream)
    positions = [position for batch in batches[:3] for _, position in batch]
    assert sum(labels[p] for p in positions) == 12
    counts = np.bincount(positions, minlength=20)
    assert set(counts[:5]) <= {2, 3}
    assert set(counts[5:]) <= {0, 1}
    assert [position for batch in batches[3:] for _, position in batch] != positions


def test_draw_numbers_never_repeat():
    draws = [draw for batch in balanced([0, 1, 0, 1], size=2, num_steps=7) for draw, _ in batch]
    assert draws == list(range(14))


@pytest.mark.parametrize("first_step", [0, 1, 3, 4, 9, 10])
def test_a_stream_starts_at_any_step(first_step):
    labels = [0, 1] * 9
    whole = balanced(labels, size=6, num_steps=10)
    stream = BalancedStream(labels, Batches(size=6), seed=0, num_steps=10, first_step=first_step)
    assert list(stream) == whole[first_step:]
    assert len(stream) == 10 - first_step
    shuffled = [
        list(ShuffledStream(20, Batches(size=6), seed=0, num_steps=10, first_step=step))
        for step in (0, first_step)
    ]
    assert shuffled[1] == shuffled[0][first_step:]


@pytest.mark.parametrize(("world", "accumulate"), [(1, 4), (2, 1), (2, 2), (4, 2)])
def test_processes_and_parts_share_every_batch_out(world, accumulate):
    labels = [0, 1] * 8
    whole = balanced(labels)
    shares = [
        balanced(labels, rank=rank, world=world, accumulate=accumulate, first_step=2) for rank in range(world)
    ]
    for rank in shares:
        assert len(rank) == 4 * accumulate
        assert {len(piece) for piece in rank} == {8 // world // accumulate}
    for step in range(4):
        pieces = [rank[step * accumulate + part] for part in range(accumulate) for rank in shares]
        # In the batch's order, part after part: random parameters are drawn in that order.
        assert [item for piece in pieces for item in piece] == whole[2 + step]


def test_shuffling_sees_every_sample_once_a_pass():
    batches = list(ShuffledStream(20, Batches(size=6), seed=1, num_steps=6))
    for start in (0, 3):
        seen = Counter(item for batch in batches[start : start + 3] for item in batch)
        assert len(seen) == 18
        assert set(seen.values()) == {1}
    assert batches[:3] != batches[3:]


def test_passes_take_random_numbers_as_a_data_loader_does():
    """Studies of earlier releases keep their numbers: same orders, and dropout draws the same."""
    dataset = TensorDataset(torch.arange(20))
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(dataset, batch_size=6, shuffle=True, drop_last=True, generator=generator)
    first = [batch.tolist() for (batch,) in loader]
    assert list(ShuffledStream(20, Batches(size=6), seed=3, num_steps=3)) == first

    torch.manual_seed(0)
    next(iter(DataLoader(dataset)))
    expected = torch.rand(3)
    torch.manual_seed(0)
    begin_pass()
    assert torch.equal(torch.rand(3), expected)
