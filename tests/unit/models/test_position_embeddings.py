"""MViT's position embeddings, resized from the published window to the study's."""

from pathlib import Path

import pytest
import torch
from model_sets import build_on_meta, without_drawing

from chestct.errors import InputError
from chestct.models import build_model
from chestct.models.load_weights import load_initial_weights
from chestct.models.position_embeddings import resize_position_embeddings

NAME = "mvit_base_32x3"
SPATIAL = "cls_positional_encoding.pos_embed_spatial"
TEMPORAL = "cls_positional_encoding.pos_embed_temporal"


def resized(spatial: torch.Tensor, temporal: torch.Tensor, side: int, length: int) -> dict[str, torch.Tensor]:
    """Embeddings (rows, columns, C) and (slices, C), resized; the same shapes back."""
    tensors = {SPATIAL: spatial.flatten(0, 1)[None], TEMPORAL: temporal[None]}
    wanted = {
        SPATIAL: torch.empty(1, side * side, spatial.shape[2]),
        TEMPORAL: torch.empty(1, length, temporal.shape[1]),
    }
    resize_position_embeddings(tensors, wanted)
    assert all(tensors[key].shape == wanted[key].shape for key in wanted)
    return {SPATIAL: tensors[SPATIAL][0].unflatten(0, (side, side)), TEMPORAL: tensors[TEMPORAL][0]}


@pytest.mark.parametrize(("side", "length"), [(14, 4), (56, 16), (64, 24), (16, 4), (41, 7)])
def test_embeddings_are_stretched_over_the_window(side: int, length: int) -> None:
    # A ramp down the rows, one along the columns, one along the slices, and a constant.
    rows, columns = torch.meshgrid(torch.arange(56.0), torch.arange(56.0), indexing="ij")
    spatial = torch.stack([rows, columns, torch.full_like(rows, 5)], dim=2)
    temporal = torch.stack([torch.arange(16.0), torch.full((16,), 5.0)], dim=1)
    found = resized(spatial, temporal, side, length)

    def centres(old: int, new: int) -> torch.Tensor:
        return (torch.arange(new) + 0.5) * old / new - 0.5

    inner = slice(side // 7, -(side // 7))  # away from the border a ramp stays a ramp
    expected = centres(56, side)[inner]
    torch.testing.assert_close(found[SPATIAL][inner, 3, 0], expected, rtol=0, atol=0.05)
    torch.testing.assert_close(found[SPATIAL][3, inner, 1], expected, rtol=0, atol=0.05)
    torch.testing.assert_close(found[SPATIAL][..., 2], torch.full((side, side), 5.0))
    torch.testing.assert_close(found[TEMPORAL][:, 0], centres(16, length).clamp(0, 15))
    torch.testing.assert_close(found[TEMPORAL][:, 1], torch.full((length,), 5.0))


def test_embeddings_of_the_same_window_stay_as_they_are() -> None:
    spatial, temporal = torch.rand(56, 56, 4), torch.rand(16, 4)
    found = resized(spatial, temporal, 56, 16)
    assert torch.equal(found[SPATIAL], spatial)
    assert torch.equal(found[TEMPORAL], temporal)


def published_state() -> dict[str, torch.Tensor]:
    state = build_on_meta(NAME, num_slices=32, size_px=224, num_classes=400).state_dict()
    state = {key: torch.ones(()).expand(tensor.shape) for key, tensor in state.items()}
    return state | {SPATIAL: torch.rand(1, 56 * 56, 96), TEMPORAL: torch.rand(1, 16, 96)}


def test_published_weights_load_into_another_window(tmp_path: Path) -> None:
    path, state = tmp_path / "mvit.weights", published_state()
    torch.save({"model_state": state}, path)
    with without_drawing():
        model = build_model(NAME, num_slices=24, size_px=64, num_classes=1, seed=0)
    report = load_initial_weights(model, name=NAME, init="video", path=path, sha256=None)
    assert report.resized == (SPATIAL, TEMPORAL)
    assert report.num_loaded == len(state) - 2
    found = model.state_dict()
    assert found[SPATIAL].shape == (1, 16 * 16, 96)
    assert found[TEMPORAL].shape == (1, 12, 96)
    expected = resized(state[SPATIAL][0].unflatten(0, (56, 56)), state[TEMPORAL][0], 16, 12)
    assert torch.equal(found[SPATIAL][0], expected[SPATIAL].flatten(0, 1))
    assert torch.equal(found[TEMPORAL][0], expected[TEMPORAL])
    others = [key for key, tensor in found.items() if "head" not in key and key not in (SPATIAL, TEMPORAL)]
    assert all((found[key] == 1).all() for key in others)


@pytest.mark.parametrize("shape", [(1, 3137, 96), (1, 3136, 95), (3136, 96)])
def test_embeddings_of_no_square_grid_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "mvit.weights"
    torch.save({"model_state": published_state() | {SPATIAL: torch.zeros(shape)}}, path)
    model = build_on_meta(NAME, num_slices=24, size_px=64)
    with pytest.raises(InputError, match=r"another shape: cls_positional_encoding.pos_embed_spatial"):
        load_initial_weights(model, name=NAME, init="video", path=path, sha256=None)
