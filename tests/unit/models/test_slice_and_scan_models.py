"""Models of single slices and of whole scans: the networks of their siblings that see windows."""

import pytest
import torch
from model_sets import build_on_meta, make_windows

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model

SIBLINGS = {
    "resnet18_slices": "resnet18",
    "resnext101_32x8d_slices": "resnext101_32x8d",
    "efficientnet_lite0_slices": "efficientnet_lite0",
    "lrcn_resnext101_32x8d_scan": "lrcn_resnext101_32x8d",
    "lrcn_efficientnet_lite0_scan": "lrcn_efficientnet_lite0",
}


def test_there_are_no_others() -> None:
    assert set(SIBLINGS) == {n for n, e in MODELS.items() if e.sees != "window" and not e.probe_of}


@pytest.mark.parametrize("name", SIBLINGS)
def test_the_network_is_the_siblings(name: str) -> None:
    entry, sibling = MODELS[name], MODELS[SIBLINGS[name]]
    assert entry.sees == ("scan" if name.startswith("lrcn") else "slice")
    same = ["family", "module", "build", "inits", "mean", "std", "weights", "size_px", "head", "batchnorm"]
    assert all(getattr(entry, key) == getattr(sibling, key) for key in same)
    num_slices = 150 if entry.sees == "scan" else 1
    state = build_on_meta(name, num_slices=num_slices, size_px=64).state_dict()
    expected = build_on_meta(SIBLINGS[name], num_slices=16, size_px=64).state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == {k: t.shape for k, t in expected.items()}


def test_a_slice_is_classified_by_itself() -> None:
    model = build_model("efficientnet_lite0_slices", num_slices=1, size_px=32, seed=0).eval()
    x_BCTHW = make_windows(1, 32, num_windows=4)
    with torch.no_grad():
        logits = model(x_BCTHW)
        alone = torch.cat([model(x_BCTHW[i : i + 1]) for i in range(4)])
    assert logits.shape == (4, 1)
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"8 slices does not fit(.|\n)*from 1 to 1 slices"):
        build_model("efficientnet_lite0_slices", num_slices=8, size_px=32, seed=0)


def test_the_features_of_a_scan_are_computed_in_parts() -> None:
    """A batch of whole scans is thousands of slices."""
    model = build_model("lrcn_efficientnet_lite0_scan", num_slices=100, size_px=32, seed=0).eval()
    seen: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    x_BCTHW = make_windows(100, 32, num_windows=3)
    with torch.no_grad():
        together = model(x_BCTHW)
        alone = torch.cat([model(scan) for scan in x_BCTHW.split(1)])
    assert seen == [200, 100, 100, 100, 100]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"subsets.scan_slices(.|\n)*from 8 to 512 slices"):
        build_model("lrcn_efficientnet_lite0_scan", num_slices=600, size_px=32, seed=0)
