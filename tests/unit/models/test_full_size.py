"""The study's models at full size, mostly without their numbers: sizes, windows, heads."""

import importlib

import pytest
import torch
from model_sets import LARGE, SMALL, build_on_meta
from torch import nn

from chestct.catalogue import MODELS
from chestct.models import is_head

#: Millions of parameters with the pretraining's classes, as published: pytorchvideo's model zoo, PENet's
#: from the protocol's text (its own test computes it).
PUBLISHED_MILLIONS = {
    "slow_r50": 32.45,
    "slowfast_r50": 34.57,
    "r2plus1d_r50": 28.11,
    "csn_r101": 22.21,
    "mvit_base_32x3": 36.61,
    "x3d_m": 3.79,
}
#: Exact: from torchvision's own table of weights; VideoMAE's from the size of its file (its own test).
PUBLISHED_COUNTS = {
    "swin3d_t": 28_158_070,
    "videomae_base": 86_534_800,
    "resnet18": 11_689_512,
    "resnext101_32x8d": 88_791_336,
}

SEVEN = ["slow_r50", "slowfast_r50", "r2plus1d_r50", "csn_r101", "mvit_base_32x3", "swin3d_t", "penet"]


def num_classes(name: str) -> int:
    """Of the data that the model was pretrained on."""
    return 1000 if MODELS[name].family == "2d" else 600 if name == "penet" else 400


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_catalogue_holds_the_study() -> None:
    assert [name for name, entry in MODELS.items() if entry.seven and name in LARGE] == SEVEN
    others = {
        "x3d_m",
        "videomae_base",
        "resnet18",
        "resnext101_32x8d",
        "lrcn_resnext101_32x8d",
        "dinov2_small",
    }
    assert set(LARGE) - set(SEVEN) == others
    for name in LARGE:
        entry = MODELS[name]
        assert entry.slices[0] <= 24 <= 32 <= entry.slices[1]
        assert entry.size_px[0] <= 224 <= entry.size_px[1]
        pretrained = "imagenet" if entry.family == "2d" else "video"
        assert entry.inits[:3] == ("scratch", "scratch_long", pretrained)
        assert entry.features_from or entry.weights.keys() == {pretrained}


def test_every_published_file_has_a_reader() -> None:
    files = {
        weights_id: importlib.import_module(f"chestct.models.{entry.module}").PUBLISHED[weights_id]
        for entry in MODELS.values()
        for weights_id in entry.weights.values()
    }
    classes = {"kinetics400": 400, "kinetics600": 600, "jester": 27, "imagenet": 1000, "lvd142m": 0}
    assert all(file.num_classes == classes[key.split("_")[-1]] for key, file in files.items())


@pytest.mark.parametrize("name", [*PUBLISHED_MILLIONS, *PUBLISHED_COUNTS])
def test_model_is_as_large_as_the_published_one(name: str) -> None:
    # MViT's positions count too: at the published window.
    size_px, num_slices = (224, 32) if name == "mvit_base_32x3" else (256, 64)
    found = count(build_on_meta(name, num_slices=num_slices, size_px=size_px, num_classes=num_classes(name)))
    if name in PUBLISHED_COUNTS:
        assert found == PUBLISHED_COUNTS[name]
    else:
        assert round(found / 1e6, 2) == PUBLISHED_MILLIONS[name]


def test_lrcn_reads_2048_features_and_their_differences() -> None:
    model, source = (
        build_on_meta(name, num_slices=64, size_px=256)
        for name in ("lrcn_resnext101_32x8d", "resnext101_32x8d")
    )
    assert model.gru.input_size == 6144
    assert (model.gru.hidden_size, model.gru.num_layers, model.gru.bidirectional) == (256, 1, True)
    assert model.backbone.state_dict().keys() == source.backbone.state_dict().keys()
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == 2 * 3 * 256 * (6144 + 256 + 2) + 513


def largest_window(name: str) -> dict[str, int]:
    return {"num_slices": MODELS[name].slices[1], "size_px": MODELS[name].size_px[1]}


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_largest_window_fits(name: str) -> None:
    window = largest_window(name)
    assert name in SMALL or window == {"num_slices": 64, "size_px": 256}
    model = build_on_meta(name, **window)
    with torch.no_grad():
        windows_BCTHW = torch.empty(2, 3, window["num_slices"], *[window["size_px"]] * 2, device="meta")
        assert model(windows_BCTHW).shape == (2, 1)


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_head_is_what_depends_on_the_classes(name: str) -> None:
    one = build_on_meta(name, **largest_window(name)).state_dict()
    many = build_on_meta(name, **largest_window(name), num_classes=num_classes(name)).state_dict()
    assert one.keys() == many.keys()
    changed = {key for key in one if one[key].shape != many[key].shape}
    head = {key for key in one if is_head(key, name)}
    assert changed and changed <= head
    assert all(any(key.startswith(prefix) for key in head) for prefix in MODELS[name].head)
    if MODELS[name].features_from is None:
        assert changed == head, "a head is one layer"
