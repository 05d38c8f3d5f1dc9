"""3D-ShuffleNet: its size, its shuffle, its lengths, and a checkpoint in the authors' form."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from model_sets import build_on_meta, fill, make_windows, refused_weights
from torch import nn

from chestct.models import build_model
from chestct.models.load_weights import LoadReport, load_initial_weights
from chestct.models.shufflenet3d import halve, shuffle_channels

NAME = "shufflenet3d_0.5x"


def build(num_classes: int = 27, *, seed: int = 0) -> nn.Module:
    return build_model(NAME, num_slices=8, size_px=32, num_classes=num_classes, seed=seed).eval()


def test_it_is_as_large_as_the_published_one() -> None:
    assert sum(parameter.numel() for parameter in build().parameters()) == 270_159


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_each_group_gives_to_every_group(memory_format: torch.memory_format) -> None:
    x_BCTHW = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(2, 6, 2, 3, 3)
    x_BCTHW = x_BCTHW.contiguous(memory_format=memory_format)
    shuffled = shuffle_channels(x_BCTHW, 3)
    assert shuffled[1, :, 1, 2, 2].tolist() == [0, 2, 4, 1, 3, 5]
    assert shuffled.shape == x_BCTHW.shape
    assert shuffled.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize(("num_steps", "expected"), [(4, [0.5, 2.5]), (3, [0.5, 2]), (1, [0])])
def test_an_odd_last_step_is_averaged_with_itself(num_steps: int, expected: list[float]) -> None:
    x_BCTHW = torch.arange(num_steps, dtype=torch.float).view(1, 1, -1, 1, 1).expand(1, 1, -1, 6, 6)
    halved = halve(x_BCTHW)
    assert halved.shape == (1, 1, len(expected), 3, 3)
    assert halved[0, 0, :, 1, 1].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_slices", "size_px", "last"), [(8, 32, 1), (8, 56, 2), (16, 112, 4), (64, 256, 8)]
)
def test_every_stage_halves_all_lengths(num_slices: int, size_px: int, last: int) -> None:
    model = build_on_meta(NAME, num_slices=num_slices, size_px=size_px)
    x_BCTHW = torch.empty(1, 3, num_slices, size_px, size_px, device="meta")
    maps = model.stages(model.pool(model.stem(x_BCTHW)))
    assert maps.shape == (1, 480, -(-num_slices // 16), last, last)


# --- The checkpoint, as the authors' training code saves it


def published_names() -> dict[str, str]:
    """The authors' names by ours, written out here once more."""
    names = {
        "stem.conv.weight": "conv1.0.weight",
        "head.weight": "classifier.1.weight",
        "head.bias": "classifier.1.bias",
    }
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names |= {f"stem.norm.{kind}": f"conv1.1.{kind}" for kind in kinds}
    for stage, num_units in enumerate((4, 8, 4)):
        for unit in range(num_units):
            for number, part in enumerate(("reduce", "depthwise", "expand"), start=1):
                ours, theirs = f"stages.{stage}.{unit}.{part}", f"layer{stage + 1}.{unit}"
                names[f"{ours}.conv.weight"] = f"{theirs}.conv{number}.weight"
                names |= {f"{ours}.norm.{kind}": f"{theirs}.bn{number}.{kind}" for kind in kinds}
    return names


def write_checkpoint(path: Path, state: dict[str, torch.Tensor], **changes: torch.Tensor) -> None:
    """As saved in 2019: PyTorch's old format, from within DataParallel, with all that goes on from there."""
    optimizer = {
        "state": {7: {"momentum_buffer": torch.zeros(3)}},
        "param_groups": [{"lr": 0.1, "params": [7]}],
    }
    theirs = OrderedDict((f"module.{published_names()[key]}", tensor) for key, tensor in state.items())
    checkpoint: dict[str, Any] = {"epoch": 63, "arch": "shufflenet", "state_dict": theirs | changes}
    checkpoint |= {"optimizer": optimizer, "best_prec1": torch.tensor(89.2)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


def load(model: nn.Module, path: Path, **options: Any) -> LoadReport:
    return load_initial_weights(model, name=NAME, init="video", path=path, sha256=None, **options)


def test_the_authors_checkpoint_gives_every_parameter(tmp_path: Path) -> None:
    path, source, model = tmp_path / "published.pth", build(), build(seed=1)
    fill(source.state_dict())
    assert published_names().keys() == source.state_dict().keys()
    write_checkpoint(path, source.state_dict())
    report = load(model, path, with_head=True)
    assert report.fresh == () and report.num_loaded == len(published_names())
    x_BCTHW = make_windows()
    with torch.no_grad():
        assert torch.equal(model(x_BCTHW), source(x_BCTHW))
        assert torch.equal(model(x_BCTHW), model(x_BCTHW)), "nothing is drawn in evaluation"
        assert source(x_BCTHW).std() > 1e-3, "logits that hardly differ would show nothing"

    fresh = build(num_classes=1)
    report = load(fresh, path)
    assert report.fresh == ("head.bias", "head.weight")
    assert report.num_loaded == len(published_names()) - 2


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "published.pth", build(num_classes=1)
    state = build().state_dict()
    lacking = {key: tensor for key, tensor in state.items() if key != "stages.1.7.depthwise.conv.weight"}
    other = build(num_classes=600).state_dict()
    for content, more, message in [
        (lacking, {}, "lacks parameters: stages.1.7.depthwise.conv.weight"),
        (state, {"module.layer4.0.conv1.weight": torch.zeros(1)}, "does not have: layer4.0.conv1.weight"),
        (state, {"module.conv1.0.weight": torch.zeros(1)}, "another shape: stem.conv.weight"),
        (other, {}, "classifier for 600 class"),
    ]:
        write_checkpoint(path, content, **more)
        with refused_weights(model, path, message):
            load(model, path)
    torch.save({"model_state": state}, path)
    with refused_weights(model, path, "it has no 'state_dict'"):
        load(model, path)
