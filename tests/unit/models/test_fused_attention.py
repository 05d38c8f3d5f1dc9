"""Attention in fused kernels is the published attention: outputs and gradients, by size and mode."""

import copy

import pytest
import torch
from model_sets import make_windows
from torch import nn
from torchvision.models.video import swin_transformer

from chestct.models import build_model, fused_attention
from chestct.models.fast_forms import ALWAYS, NEVER, ON_GPUS, apply_fast_forms, wants_fast_forms
from chestct.training.machine.device import tune

#: Largest relative difference that rounding in float32 explains.
LIMIT = 1e-5


def shifting_swin() -> nn.Module:
    """A Swin transformer that shifts its windows along all axes; the narrow one does so along z alone."""
    torch.manual_seed(0)
    return swin_transformer.SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=8,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[4, 4, 4],
        stochastic_depth_prob=0.5,
        num_classes=3,
    )


def build(name: str, num_slices: int, size_px: int) -> nn.Module:
    """A model of this test, the same at every call."""
    if name == "swin":
        return shifting_swin()
    return build_model(name, num_slices=num_slices, size_px=size_px, num_classes=3, seed=0)


def computed(model: nn.Module, x_BCTHW: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits and the gradients of all parameters and of the input, of one draw of stochastic depth."""
    x_BCTHW = x_BCTHW.clone().requires_grad_()
    torch.manual_seed(3)
    logits = model(x_BCTHW)
    names = [name for name, _ in model.named_parameters()]
    weights = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    inputs = [*model.parameters(), x_BCTHW]
    found = torch.autograd.grad((weights * logits).sum(), inputs, allow_unused=True, materialize_grads=True)
    return {"logits": logits.detach(), **dict(zip([*names, "input"], found, strict=True))}


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Relative to a tensor's own length; of gradients that are zero but for rounding, to a part of all."""
    assert one.keys() == other.keys()
    whole = torch.stack([value.norm() for name, value in one.items() if name != "logits"]).norm()
    return max(
        float(
            (value - other[name]).norm() / (value.norm() if name == "logits" else value.norm() + 0.01 * whole)
        )
        for name, value in one.items()
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "num_slices", "size_px"),
    [
        ("mvit_narrow", 8, 32),
        ("mvit_narrow", 10, 36),
        ("swin_narrow", 16, 32),
        ("swin", 16, 32),  # windows fit and are shifted
        ("swin", 10, 36),  # they do not fit, and one covers z in part
        ("swin", 8, 16),  # one window covers all
    ],
)
def test_outputs_and_gradients_are_the_plain_ones(name, num_slices, size_px, training, liven):
    model = build(name, num_slices, size_px)
    x_BCTHW = make_windows(num_slices, size_px)
    liven(model, x_BCTHW)
    fused = copy.deepcopy(model)
    assert apply_fast_forms(fused, mixed=False)["attention"] >= 4
    model.train(training), fused.train(training)
    assert largest_difference(computed(model, x_BCTHW), computed(fused, x_BCTHW)) < LIMIT


def test_names_and_values_of_parameters_stay():
    plain, fused = shifting_swin(), shifting_swin()
    apply_fast_forms(fused, mixed=False)
    fused(make_windows(8, 32))  # what is kept for a size is no part of the state
    one, other = plain.state_dict(), fused.state_dict()
    assert list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)
    fused.load_state_dict(plain.state_dict(), strict=True)


def test_a_mask_is_made_once_a_size(monkeypatch):
    usual, made = fused_attention.make_mask, []
    monkeypatch.setattr(fused_attention, "make_mask", lambda *size: made.append(size[:3]) or usual(*size))
    model = shifting_swin().eval()
    apply_fast_forms(model, mixed=False)
    with torch.inference_mode():
        first = model(make_windows(16, 32))
    model.train()(make_windows(16, 32)).sum().backward()  # what inference kept serves training
    assert len(made) == len(set(made)) == 2, "one for every stage"
    copied = copy.deepcopy(model.eval())
    model(make_windows(8, 32))
    assert len(made) == len(set(made)) == 3
    with torch.no_grad():
        torch.testing.assert_close(copied(make_windows(16, 32)), first)


@pytest.mark.parametrize("shift", [(0, 2, 2), (2, 0, 0), (1, 2, 3)])
def test_masks_are_torchvisions(shift):
    size, window = (8, 12, 4), (4, 4, 4)
    x = torch.zeros(1)
    expected = swin_transformer._compute_attention_mask_3d(x, size, window, shift)
    assert torch.equal(fused_attention.make_mask(size, window, shift, x.device), expected)


def test_attention_with_dropout_stays():
    model = shifting_swin()
    for module in model.modules():
        if isinstance(module, swin_transformer.ShiftedWindowAttention3d):
            module.attention_dropout = 0.1
    assert "attention" not in apply_fast_forms(model, mixed=False)


def test_the_setting_says_where():
    assert [wants_fast_forms(ON_GPUS, gpus=gpus) for gpus in (0, 1)] == [False, True]
    assert all(
        wants_fast_forms(ALWAYS, gpus=gpus) and not wants_fast_forms(NEVER, gpus=gpus) for gpus in (0, 1)
    )
    kinds = {type(module) for module in shifting_swin().modules()}
    for setting, taken in [(ON_GPUS, ()), (NEVER, ()), (ALWAYS, ("attention",))]:
        model = shifting_swin()
        assert tune(model, gpus=0, precision="32-true", fast_forms=setting) == taken
        assert ({type(module) for module in model.modules()} == kinds) == (not taken)


def test_mixed_precision_differs_by_its_rounding(liven):
    model, x_BCTHW = shifting_swin().eval(), make_windows(16, 32)
    liven(model, x_BCTHW)
    with torch.no_grad():
        exact = model(x_BCTHW)
        apply_fast_forms(model, mixed=True)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(x_BCTHW).float()
    assert 0 < (found - exact).norm() / exact.norm() < 0.03
