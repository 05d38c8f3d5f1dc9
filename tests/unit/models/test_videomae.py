"""VideoMAE says what transformers' own class says, starts from its published file, and fits any window."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_sets import fill, make_windows, refused_weights, without_drawing
from safetensors.torch import save_file
from torch import nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification
from transformers.models.videomae.modeling_videomae import get_sinusoid_encoding_table

from chestct.catalogue import MODELS
from chestct.download.weights_table import weights_row
from chestct.models import build_model
from chestct.models.load_weights import load_initial_weights
from chestct.models.videomae import PUBLISHED_GRID, build_narrow, published_positions, stretch_positions

NAME = "videomae_base"
WEIGHTS_ID = MODELS[NAME].weights["video"]
NARROW = {"hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3}


def logits_of_library(library: nn.Module, x_BCTHW: torch.Tensor) -> torch.Tensor:
    return library(pixel_values=x_BCTHW.transpose(1, 2)).logits


def in_published_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The library's state under the names of the published files."""
    return {k.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): v for k, v in state.items()}


# --- Positions


def test_positions_of_the_published_window_are_the_librarys() -> None:
    found = published_positions(192).flatten(0, 2)[None]
    assert torch.equal(found, get_sinusoid_encoding_table(1568, 192))


@pytest.mark.parametrize("grid", [(16, 14, 14), (4, 14, 14), (8, 2, 2), (32, 16, 16), (7, 9, 9)])
def test_positions_are_stretched_over_the_window(grid: tuple[int, int, int]) -> None:
    # A ramp along each axis, and a constant.
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in PUBLISHED_GRID), indexing="ij")
    table = torch.stack([*axes, torch.full(PUBLISHED_GRID, 5.0)], dim=3)
    found = stretch_positions(table, grid)
    assert found.shape == (*grid, 4)
    for axis, (old, new) in enumerate(zip(PUBLISHED_GRID, grid, strict=True)):
        line = found[..., axis].movedim(axis, 0).flatten(1)
        torch.testing.assert_close(line, line[:, :1].expand_as(line), rtol=0, atol=1e-4)
        centres = (torch.arange(new) + 0.5) * old / new - 0.5
        # Away from the border a ramp stays a ramp; a grid of two has nothing but border.
        inner = slice(new // 4, -(new // 4)) if new > 2 else slice(0)
        torch.testing.assert_close(line[inner, 0], centres[inner], rtol=0, atol=0.05)
    torch.testing.assert_close(found[..., 3], torch.full(grid, 5.0))


def test_positions_of_the_published_window_stay_as_they_are() -> None:
    table = torch.rand(*PUBLISHED_GRID, 4)
    assert torch.equal(stretch_positions(table, PUBLISHED_GRID), table)


# --- The network


def test_narrow_model_says_what_the_library_says() -> None:
    # The window of which the published positions are: nothing is stretched on either side.
    model = build_narrow(16, 112, 5).eval()
    library = VideoMAEForVideoClassification(
        VideoMAEConfig(num_frames=16, image_size=112, patch_size=8, num_labels=5, **NARROW)
    ).eval()
    fill(library.state_dict())
    model.network.load_state_dict(library.state_dict())
    x_BCTHW = make_windows(16, 112)
    with torch.no_grad():
        expected, found = logits_of_library(library, x_BCTHW), model(x_BCTHW)
    assert torch.equal(found, expected)
    assert (expected[0] - expected[1]).abs().max() > 0.05, "windows that score alike would show nothing"


def test_place_matters() -> None:
    model = build_model("videomae_narrow", num_slices=8, size_px=32, seed=0).eval()
    fill(model.state_dict())
    x_BCTHW = make_windows(8, 32)
    with torch.no_grad():
        expected = model(x_BCTHW)
        for turned in (x_BCTHW.roll(4, dims=2), x_BCTHW.roll(16, dims=3), x_BCTHW.roll(16, dims=4)):
            # Whole tubelets change places: without positions the mean over tokens would stay.
            assert (model(turned) - expected).abs().max() > 1e-3


def test_windows_that_tubelets_do_not_divide_are_continued_by_their_border() -> None:
    odd = build_model("videomae_narrow", num_slices=13, size_px=45, seed=0).eval()
    even = build_model("videomae_narrow", num_slices=14, size_px=48, seed=0).eval()
    x_BCTHW = make_windows(13, 45)
    last = [min(i, 44) for i in range(48)]
    continued = x_BCTHW[:, :, [*range(13), 12]][:, :, :, last][:, :, :, :, last]
    with torch.no_grad():
        assert torch.equal(odd(x_BCTHW), even(continued))


@pytest.mark.parametrize("shape", [(8, 48), (16, 32), (8, 16)])
def test_windows_of_another_size_are_no_input(shape: tuple[int, int]) -> None:
    model = build_model("videomae_narrow", num_slices=8, size_px=32, seed=0)
    with pytest.raises((ValueError, RuntimeError), match=r"doesn't match model|must match the size"):
        model(make_windows(*shape))


# --- The published file


def test_published_file_loads_to_the_same_network(tmp_path: Path) -> None:
    with without_drawing():
        config = VideoMAEConfig(num_frames=8, image_size=64, num_labels=400)
        library = VideoMAEForVideoClassification(config).eval()
    fill(library.state_dict())
    path = tmp_path / "model.safetensors"
    save_file(in_published_names(library.state_dict()), path, metadata={"format": "pt"})
    # Names, shapes and kinds make up the published file's size to the byte.
    assert path.stat().st_size == int(weights_row(WEIGHTS_ID)["size_bytes"])
    with without_drawing():
        model = build_model(NAME, num_slices=8, size_px=64, num_classes=400, seed=0).eval()
    report = load_initial_weights(model, name=NAME, init="video", path=path, sha256=None)
    assert report.fresh == ("network.classifier.bias", "network.classifier.weight")
    assert report.num_loaded == len(library.state_dict()) - 2
    model.network.classifier.load_state_dict(library.classifier.state_dict())
    # Here the two differ on purpose: a token of another window keeps its place, not its number.
    embeddings = model.network.videomae.embeddings
    assert not torch.allclose(
        embeddings.position_embeddings, library.videomae.embeddings.position_embeddings, atol=0.1
    )
    library.videomae.embeddings.position_embeddings = embeddings.position_embeddings
    x_BCTHW = make_windows(8, 64)
    with torch.no_grad():
        expected = logits_of_library(library, x_BCTHW)
    found = model(x_BCTHW)
    assert torch.equal(found, expected)
    assert (expected[0] - expected[1]).abs().max() > 0.05, "windows that score alike would show nothing"
    found[:, :5].sum().backward()
    without = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


@pytest.fixture
def narrow_state(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A published file's content in the narrow network's size, for which the file's reader then stands."""
    entry = replace(MODELS["videomae_narrow"], weights=MODELS[NAME].weights)
    monkeypatch.setitem(MODELS, "videomae_narrow", entry)
    library = VideoMAEForVideoClassification(
        VideoMAEConfig(num_frames=8, image_size=32, patch_size=8, num_labels=400, **NARROW)
    )
    return in_published_names(library.state_dict())


BIAS = "videomae.encoder.layer.3.attention.attention.q_bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # What the library made of such files for a while, with no more than a warning.
        ("no biases", r"lacks parameters: network\..*layer\.3\..*query\.bias"),
        ("twice", r"does not have: videomae\..*layer\.3\..*(q_|query\.)bias"),
        ("pickle", "not a safetensors file"),
    ],
)
def test_other_files_are_refused(
    narrow_state: dict[str, torch.Tensor], tmp_path: Path, change: str, message: str
) -> None:
    state, tensor = dict(narrow_state), narrow_state[BIAS]
    if change == "no biases":
        del state[BIAS]
    elif change == "twice":
        state[BIAS.replace("q_bias", "query.bias")] = tensor.clone()
    path = tmp_path / "model.safetensors"
    torch.save(state, path) if change == "pickle" else save_file(state, path)
    model = build_model("videomae_narrow", num_slices=8, size_px=32, seed=0)
    with refused_weights(model, path, message):
        load_initial_weights(model, name="videomae_narrow", init="video", path=path, sha256=None)


def test_the_file_that_the_others_alter_is_taken(
    narrow_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(narrow_state, path)
    model = build_model("videomae_narrow", num_slices=8, size_px=32, seed=0)
    report = load_initial_weights(model, name="videomae_narrow", init="video", path=path, sha256=None)
    assert report.num_loaded == len(narrow_state) - 2
