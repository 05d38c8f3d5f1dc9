"""What is particular to single models."""

import itertools
from collections.abc import Callable

import pytest
import torch
from model_sets import make_windows
from torch import nn

from chestct.models import build_model
from chestct.models.i3d import pad_same
from chestct.models.lrcn import with_differences
from chestct.models.slices import select_slices

# --- LRCN


@pytest.fixture
def lrcn(liven: Callable[[nn.Module, torch.Tensor], None]) -> nn.Module:
    model = build_model("lrcn_efficientnet_lite0", num_slices=8, size_px=32, seed=0)
    liven(model, make_windows(num_windows=6))
    return model


@pytest.mark.parametrize("training", [False, True])
def test_lrcn_score_does_not_depend_on_batch_mates(lrcn: nn.Module, training: bool) -> None:
    lrcn.double().train(training)  # in float32 rounding depends on them
    x_BCTHW = make_windows(num_windows=4).double()
    together = lrcn(x_BCTHW)
    alone = torch.cat([lrcn(window) for window in x_BCTHW.split(1)])
    shuffled = lrcn(x_BCTHW[[2, 0, 3, 1]])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(together[[2, 0, 3, 1]], shuffled, rtol=1e-9, atol=1e-10)
    assert together.std() > 1e-4, "windows that score alike would show nothing"


def test_lrcn_recurs_along_slices(lrcn: nn.Module) -> None:
    lrcn.eval()
    x_BCTHW = make_windows(num_windows=2)
    swapped = x_BCTHW[:, :, [0, 1, 5, 3, 4, 2, 6, 7]]
    assert (lrcn(x_BCTHW) - lrcn(swapped)).abs().max() > 1e-5
    # The sequence axis is the slices': a change in the first slice reaches the state at the last.
    features_BTF = lrcn.features(x_BCTHW)
    changed = features_BTF.clone()
    changed[:, 0] += 1
    states, _ = lrcn.gru(with_differences(features_BTF))
    other, _ = lrcn.gru(with_differences(changed))
    assert ((states - other)[:, -1].abs().amax(dim=1) > 1e-6).all()


def test_lrcn_backbone_stays_as_it_was_loaded(lrcn: nn.Module) -> None:
    lrcn.train()
    assert lrcn.gru.training
    assert not any(module.training for module in lrcn.backbone.modules())
    before = {key: tensor.clone() for key, tensor in lrcn.backbone.state_dict().items()}
    lrcn(make_windows(num_windows=2)).sum().backward()
    assert all(torch.equal(before[key], tensor) for key, tensor in lrcn.backbone.state_dict().items())
    trainable = {key.split(".")[0] for key, p in lrcn.named_parameters() if p.requires_grad}
    assert trainable == {"gru", "head"}
    assert all(parameter.grad is None for parameter in lrcn.backbone.parameters())


def test_differences_to_both_neighbours() -> None:
    features_BTF = torch.tensor([[[1.0], [4.0], [6.0]]])
    expected = torch.tensor([[[1.0, 0.0, -3.0], [4.0, 3.0, -2.0], [6.0, 2.0, 0.0]]])
    assert torch.equal(with_differences(features_BTF), expected)


# --- EfficientNet on slices


@pytest.mark.parametrize(
    ("num_slices", "step", "expected"),
    [(5, 1, [0, 1, 2, 3, 4]), (5, 2, [0, 2, 4]), (8, 3, [0, 3, 6]), (9, 3, [1, 4, 7]), (10, 4, [0, 4, 8])],
)
def test_slices_are_chosen_around_the_middle(num_slices: int, step: int, expected: list[int]) -> None:
    x_BCTHW = torch.arange(num_slices).view(1, 1, num_slices, 1, 1)
    chosen = select_slices(x_BCTHW, step).flatten().tolist()
    assert chosen == expected
    assert abs(chosen[0] - (num_slices - 1 - chosen[-1])) <= 1


def test_2d_model_pools_slices_without_order() -> None:
    model = build_model("efficientnet_lite0", num_slices=8, size_px=32, seed=0).eval()
    assert model.slice_step == 2
    x_BCTHW = make_windows(num_windows=2)
    with torch.no_grad():
        assert model.features(x_BCTHW).shape == (2, 4, 1280)
        reordered = model(x_BCTHW[:, :, [6, 1, 4, 3, 2, 5, 0, 7]])
        torch.testing.assert_close(model(x_BCTHW), reordered, rtol=1e-4, atol=1e-5)


# --- I3D


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "before", "after"),
    [(224, 7, 2, 2, 3), (5, 3, 2, 1, 1), (4, 3, 2, 0, 1), (7, 2, 2, 0, 1), (6, 2, 2, 0, 0), (5, 3, 1, 1, 1)],
)
def test_padding_is_tensorflows_same(length: int, kernel: int, stride: int, before: int, after: int) -> None:
    x = torch.ones(1, 1, length, 1, 1)
    padded = pad_same(x, (kernel, 1, 1), (stride, 1, 1))
    assert padded.flatten().tolist() == [0] * before + [1] * length + [0] * after


# --- PENet


def test_penet_drops_whole_blocks_in_training_only() -> None:
    model = build_model("penet_narrow", num_slices=8, size_px=32, seed=0)
    survivals = [block.survival for encoder in model.encoders for block in encoder.penet_blocks]
    steps = [a - b for a, b in itertools.pairwise(survivals)]
    assert survivals[0] == 1
    assert steps == pytest.approx([0.5 / 8] * 7)
    block = model.encoders[3].penet_blocks[1]
    x_BCTHW = torch.randn(2, 256, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    with torch.no_grad():
        kept = sum(not torch.equal(block.train()(x_BCTHW), x_BCTHW) for _ in range(400))
        assert kept / 400 == pytest.approx(block.survival, abs=0.08)
        full = [block.eval()(x_BCTHW) for _ in range(5)]
    assert all(torch.equal(full[0], other) for other in full)
    assert not torch.equal(full[0], x_BCTHW)


# --- SlowFast


def test_slowfast_slow_pathway_sees_every_fourth_slice() -> None:
    model = build_model("slowfast_narrow", num_slices=16, size_px=32, seed=0).eval()
    seen: list[torch.Tensor] = []
    stems = model.blocks[0].multipathway_blocks
    for stem in stems:
        stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x_BCTHW = make_windows(num_slices=16, num_windows=1)
    with torch.no_grad():
        model(x_BCTHW)
    slow, fast = seen
    assert torch.equal(slow, x_BCTHW[:, :, [0, 4, 8, 12]])
    assert torch.equal(fast, x_BCTHW)
