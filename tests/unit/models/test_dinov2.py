"""DINOv2 says what transformers' own class says, starts from its published file, and fits any slice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_sets import fill, make_windows, refused_weights, without_drawing
from safetensors.torch import save_file
from torch import nn
from transformers import Dinov2Config, Dinov2ForImageClassification, Dinov2Model

from chestct.catalogue import MODELS
from chestct.download.weights_table import weights_row
from chestct.models import build_model
from chestct.models.dinov2 import build_narrow
from chestct.models.load_weights import load_initial_weights

NAME = "dinov2_small"
WEIGHTS_ID = MODELS[NAME].weights["imagenet"]
NARROW = {
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "image_size": 64,
    "patch_size": 8,
}
#: The published file's names of attention, which the library has changed since.
OLD_NAMES = {
    ".attention.q_proj.": ".attention.attention.query.",
    ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.",
    ".attention.o_proj.": ".attention.output.dense.",
}


def in_published_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The library's state under the names of the published file."""
    renamed = {}
    for key, tensor in state.items():
        for new, old in OLD_NAMES.items():
            key = key.replace(new, old)
        renamed[key] = tensor
    return renamed


def logits_of_library(library: nn.Module, x_BCTHW: torch.Tensor) -> torch.Tensor:
    """Mean over the slices' logits: the last layer is linear, so it is that of the mean of their features."""
    images = x_BCTHW.transpose(1, 2).flatten(0, 1)
    return library(pixel_values=images).logits.unflatten(0, (len(x_BCTHW), -1)).mean(dim=1)


@pytest.mark.parametrize("size_px", [64, 48])
def test_narrow_model_says_what_the_library_says(size_px: int) -> None:
    model = build_narrow(8, size_px, 5).eval()
    library = Dinov2ForImageClassification(Dinov2Config(num_labels=5, use_mask_token=False, **NARROW)).eval()
    fill(library.state_dict())
    model.backbone.network.load_state_dict(library.dinov2.state_dict())
    model.head.load_state_dict(library.classifier.state_dict())
    x_BCTHW = make_windows(8, size_px)
    with torch.no_grad():
        expected, found = logits_of_library(library, x_BCTHW), model(x_BCTHW)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 0.01, "windows that score alike would show nothing"


def test_place_in_a_slice_matters_but_not_the_order_of_slices() -> None:
    model = build_model("dinov2_narrow", num_slices=8, size_px=32, seed=0).eval()
    fill(model.state_dict())
    x_BCTHW = make_windows(8, 32)
    with torch.no_grad():
        expected = model(x_BCTHW)
        assert (model(x_BCTHW.roll(8, dims=3)) - expected).abs().max() > 1e-3
        torch.testing.assert_close(model(x_BCTHW.flip(2)), expected, rtol=1e-4, atol=1e-5)


def test_slices_that_patches_do_not_divide_are_continued_by_their_border() -> None:
    odd = build_model("dinov2_narrow", num_slices=8, size_px=45, seed=0).eval()
    even = build_model("dinov2_narrow", num_slices=8, size_px=48, seed=0).eval()
    x_BCTHW = make_windows(8, 45)
    last = [min(i, 44) for i in range(48)]
    with torch.no_grad():
        torch.testing.assert_close(odd(x_BCTHW), even(x_BCTHW[:, :, :, last][:, :, :, :, last]))


# --- The published file


def test_published_file_loads_to_the_same_network(tmp_path: Path) -> None:
    with without_drawing():
        config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518)
        library = Dinov2Model(config).eval()
    fill(library.state_dict())
    path = tmp_path / "model.safetensors"
    save_file(in_published_names(library.state_dict()), path, metadata={"format": "pt"})
    # Names, shapes and kinds make up the published file's size to the byte.
    assert path.stat().st_size == int(weights_row(WEIGHTS_ID)["size_bytes"])
    with without_drawing():
        model = build_model(NAME, num_slices=8, size_px=56, seed=0).eval()
    report = load_initial_weights(model, name=NAME, init="imagenet", path=path, sha256=None)
    assert report.fresh == ("head.bias", "head.weight")
    assert report.num_loaded == len(library.state_dict()) - 1, "all but the mask token"
    images = make_windows(8, 56)[0].transpose(0, 1)
    with torch.no_grad():
        tokens = library(pixel_values=images).last_hidden_state
        expected = torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)
        torch.testing.assert_close(model.backbone(images), expected, rtol=1e-4, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 0.01, "slices that look alike would show nothing"


@pytest.fixture
def narrow_state(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A published file's content in the narrow network's size, for which the file's reader then stands."""
    entry = replace(MODELS["dinov2_narrow"], weights=MODELS[NAME].weights)
    monkeypatch.setitem(MODELS, "dinov2_narrow", entry)
    return in_published_names(Dinov2Model(Dinov2Config(**NARROW)).state_dict())


QUERY = "encoder.layer.3.attention.attention.query.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("none", ""),
        ("missing", r"lacks parameters: backbone\.network\..*layer\.3\.attention\.q_proj\.bias"),
        ("twice", r"does not have: encoder\..*layer\.3\..*(query|q_proj)\.bias"),
        ("classifier", r"does not have: backbone\.network\.classifier\.bias"),
        ("pickle", "not a safetensors file"),
    ],
)
def test_other_files_are_refused(
    narrow_state: dict[str, torch.Tensor], tmp_path: Path, change: str, message: str
) -> None:
    state, tensor = dict(narrow_state), narrow_state[QUERY]
    if change == "missing":
        del state[QUERY]
    elif change == "twice":
        state[QUERY.replace(".attention.attention.query.", ".attention.q_proj.")] = tensor.clone()
    elif change == "classifier":
        state["classifier.bias"] = torch.zeros(1000)
    path = tmp_path / "model.safetensors"
    torch.save(state, path) if change == "pickle" else save_file(state, path)
    model = build_model("dinov2_narrow", num_slices=8, size_px=32, seed=0)
    if change == "none":
        report = load_initial_weights(model, name="dinov2_narrow", init="imagenet", path=path, sha256=None)
        assert report.num_loaded == len(state) - 1
        return
    with refused_weights(model, path, message):
        load_initial_weights(model, name="dinov2_narrow", init="imagenet", path=path, sha256=None)
