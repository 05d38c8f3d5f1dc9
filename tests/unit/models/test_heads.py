"""Features of frozen probes: what a head sees, and the head on it, are the network."""

import pytest
import torch
from model_sets import make_windows
from torch import nn

from chestct import catalogue
from chestct.catalogue import MODELS
from chestct.models import build_model
from chestct.models.heads import HeadInput, head_of

PROBES = [name for name, entry in MODELS.items() if entry.frozen]


@pytest.mark.parametrize("name", PROBES)
def test_the_head_on_its_input_gives_the_logits_of_the_network(name):
    num_slices, size_px = MODELS[name].slices[0], MODELS[name].size_px[0]
    model = build_model(name, num_slices=num_slices, size_px=size_px, seed=0).eval()
    prefix, head = head_of(model, name)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        windows = make_windows(num_slices, size_px, num_windows=2)
        with HeadInput(head) as kept:
            logits = torch.cat([model(window[None]) for window in windows])
    assert set(head.state_dict()) == {"weight", "bias"}
    assert {key for key in model.state_dict() if key.startswith(f"{prefix}.")} == {
        f"{prefix}.weight",
        f"{prefix}.bias",
    }
    features = kept.features
    assert features.shape == (2, head.weight.shape[1])
    expected = (features @ head.weight.flatten() + head.bias).detach()
    torch.testing.assert_close(logits[:, 0], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


class Positions(nn.Module):
    """A head before the mean over positions."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x):
        if isinstance(self.head, nn.Conv3d):
            return self.head(x).mean(dim=(2, 3, 4))
        return self.head(x.movedim(1, -1)).mean(dim=(1, 2, 3))


@pytest.mark.parametrize("head", [nn.Conv3d(5, 1, 1), nn.Linear(5, 1)])
def test_a_mean_over_positions_may_follow_the_head(head):
    x = torch.randn(3, 5, 2, 4, 4)
    with HeadInput(head) as kept, torch.no_grad():
        logits = Positions(head)(x)
    with torch.no_grad():
        expected = kept.features @ head.weight.flatten() + head.bias
    torch.testing.assert_close(logits[:, 0], expected)


def test_nothing_is_kept_once_the_context_ends():
    head = nn.Linear(5, 1)
    with HeadInput(head) as kept:
        head(torch.zeros(2, 5))
    head(torch.zeros(2, 5))
    assert len(kept.features) == 2


def test_a_head_of_several_layers_has_no_probe(monkeypatch):
    model = build_model("lrcn_efficientnet_lite0", num_slices=8, size_px=32, seed=0)
    with pytest.raises(AssertionError, match="one layer"):
        head_of(model, "lrcn_efficientnet_lite0")
    entry = catalogue.replace(MODELS["slow_narrow"], head=("blocks.5",))
    monkeypatch.setitem(MODELS, "slow_narrow", entry)
    with pytest.raises(AssertionError, match="linear"):
        head_of(build_model("slow_narrow", num_slices=8, size_px=32, seed=0), "slow_narrow")
