"""Published weights: files in the published formats, from the publishers' own networks, load to the same
network."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from model_sets import build_on_meta, fill, make_windows, refused_weights, thin, without_drawing
from torch import nn
from upstream import CONSTRUCTORS, WITH_SOFTMAX, build_upstream, run_upstream

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model, is_head
from chestct.models.load_weights import LoadReport, load_initial_weights
from chestct.models.published_key_names import map_slices

SLICES, PIXELS = 8, 64


def pretraining(name: str) -> str:
    return "imagenet" if MODELS[name].family == "2d" else "video"


def write_published(name: str, state: dict[str, torch.Tensor], path: Path, **options: Any) -> None:
    """Write a file in the format that the model's weights are published in."""
    if MODELS[name].module in ("resnet", "swin"):
        torch.save(OrderedDict(state), path, **options)
        return
    # As the training code behind pytorchvideo's zoo saves: all that a training needs to go on.
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "params": [0]}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [settings]}
    checkpoint = {"epoch": 195, "model_state": OrderedDict(state), "optimizer_state": optimizer}
    torch.save({**checkpoint, "cfg": "TRAIN:\n  DATASET: ptvkinetics\n"}, path, **options)


def build(name: str, *, num_classes: int, seed: int = 0) -> nn.Module:
    return build_model(name, num_slices=SLICES, size_px=PIXELS, num_classes=num_classes, seed=seed).eval()


def load(model: nn.Module, name: str, path: Path, **options: Any) -> LoadReport:
    options = {"sha256": None, **options}
    return load_initial_weights(model, name=name, init=pretraining(name), path=path, **options)


@dataclass
class Loaded:
    """A model that was loaded from a file of the publisher's network."""

    name: str
    upstream: nn.Module
    model: nn.Module
    fresh: dict[str, torch.Tensor]
    report: LoadReport


#: ResNeXt-101's 89 million weights stay out: it is ResNet-18's class, and its names are compared below.
@pytest.fixture(scope="module", params=[name for name in CONSTRUCTORS if name != "resnext101_32x8d"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """Each full-size model once, with the publisher's classes, all loaded but the head."""
    name = request.param
    with without_drawing():
        upstream = build_upstream(name)
        model = build(name, num_classes=1000 if MODELS[name].family == "2d" else 400)
    state = upstream.state_dict()
    fill(state)
    path = tmp_path_factory.mktemp(name) / "published.weights"
    write_published(name, state, path)
    head = {key: tensor for key, tensor in model.state_dict().items() if is_head(key, name)}
    fill(head, seed=1)
    fresh = {key: tensor.clone() for key, tensor in head.items()}
    report = load(model, name, path)
    path.unlink()
    yield Loaded(name, upstream, model, fresh, report)


def head_of_upstream(loaded: Loaded) -> dict[str, torch.Tensor]:
    last = [module for module in loaded.upstream.modules() if isinstance(module, nn.Linear)][-1]
    return {key: getattr(last, key.rpartition(".")[2]).detach() for key in loaded.fresh}


def test_all_but_the_head_is_loaded(loaded: Loaded) -> None:
    state = loaded.model.state_dict()
    assert loaded.report.fresh == tuple(sorted(loaded.fresh))
    assert loaded.report.num_loaded == len(state) - len(loaded.fresh)
    assert loaded.report.resized == ()
    source = sum(float(tensor.double().sum()) for tensor in loaded.upstream.state_dict().values())
    source -= sum(float(tensor.double().sum()) for tensor in head_of_upstream(loaded).values())
    found = sum(float(tensor.double().sum()) for key, tensor in state.items() if key not in loaded.fresh)
    assert found == pytest.approx(source, rel=1e-12)


def test_loaded_model_says_what_the_published_one_says(loaded: Loaded) -> None:
    # The head stayed fresh, so it is the last to be made equal.
    state = loaded.model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in loaded.fresh.items())
    loaded.model.load_state_dict(head_of_upstream(loaded), strict=False)
    x_BCTHW = make_windows(SLICES, PIXELS)
    with torch.no_grad():
        expected, found = run_upstream(loaded.name, loaded.upstream, x_BCTHW), loaded.model(x_BCTHW)
    if loaded.name in WITH_SOFTMAX:
        torch.testing.assert_close(found.softmax(dim=1), expected, rtol=1e-3, atol=1e-7)
        expected = expected.log()
    else:
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max(), "windows must differ"
    assert expected.std() > 0.05, "logits that hardly differ would show nothing"


def test_gradient_reaches_every_parameter(loaded: Loaded) -> None:
    x_BCTHW = make_windows(SLICES, PIXELS, num_windows=1, seed=1)
    loaded.model(x_BCTHW)[:, :5].sum().backward()
    gradients = {key: parameter.grad for key, parameter in loaded.model.named_parameters()}
    loaded.model.zero_grad(set_to_none=True)
    without = [key for key, grad in gradients.items() if grad is None or not grad.abs().max() > 0]
    assert without == []


def test_resnext_bears_the_publishers_names() -> None:
    with torch.device("meta"):
        state = build_upstream("resnext101_32x8d").state_dict()
    found = map_slices(state, "fc.")
    model = build_on_meta("resnext101_32x8d", num_slices=SLICES, size_px=PIXELS, num_classes=1000)
    wanted = model.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}


# --- Files that are not what they should be, on the smallest network of each format

PARAMETER = {"x3d_m": "blocks.5.pool.post_conv.weight", "resnet18": "layer4.1.conv2.weight"}
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module", params=PARAMETER)
def published(request: pytest.FixtureRequest) -> tuple[str, State, nn.Module]:
    """A small model's name, a publisher's state, and the model."""
    with without_drawing():
        model, upstream = build(request.param, num_classes=1), build_upstream(request.param)
    fill(model.state_dict())
    return request.param, thin(upstream.state_dict()), model


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("counts", [True, False])
def test_old_and_new_files_load(
    published: tuple[str, State, nn.Module], tmp_path: Path, zipped: bool, counts: bool
) -> None:
    name, state, model = published
    state = {
        key: tensor for key, tensor in state.items() if counts or not key.endswith("num_batches_tracked")
    }
    path = tmp_path / "published.weights"
    write_published(name, state, path, _use_new_zipfile_serialization=zipped)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    fill(model.state_dict())
    report = load(model, name, path, sha256=sha256)
    assert report.sha256 == sha256
    assert report.num_loaded == len(state) - len(report.fresh)
    assert all((p == 1).all() for key, p in model.named_parameters() if not is_head(key, name))


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "nan", "kind", "sparse", "nothing", "text"])
def test_altered_files_are_refused(
    published: tuple[str, State, nn.Module], tmp_path: Path, change: str
) -> None:
    name, state, model = published
    key = PARAMETER[name]
    tensor = state[key]
    altered, message = {
        "missing": (None, f"lacks parameters: .*{key}"),
        "extra": (tensor, "does not have: .*extra.weight"),
        "shape": (tensor[1:], f"another shape: .*{key}"),
        "nan": ((tensor[:1, :1] * torch.nan).expand(tensor.shape), f"not finite: .*{key}"),
        "kind": (tensor[:1, :1].int().expand(tensor.shape), f"numbers of another kind: .*{key}"),
        "sparse": (torch.eye(2).to_sparse(), f"{key} is Tensor, not a plain tensor"),
        "nothing": (tensor.to("meta"), f"{key} is Tensor, not a plain tensor"),
        "text": ("weights", f"{key} is str, not a plain tensor"),
    }[change]
    state = state | {"extra.weight" if change == "extra" else key: altered}
    path = tmp_path / "published.weights"
    write_published(name, {k: v for k, v in state.items() if v is not None}, path)
    with refused_weights(model, path, message):
        load(model, name, path)


@pytest.mark.parametrize("classes", [174, 0])
def test_files_trained_on_other_data_are_refused(
    published: tuple[str, State, nn.Module], tmp_path: Path, classes: int
) -> None:
    name, state, model = published
    last = "fc" if name == "resnet18" else "blocks.5.proj"
    heads = {key for key in state if key.startswith(f"{last}.")}
    assert len(heads) == 2
    other = {key: state[key][:classes] for key in heads}
    state = {key: tensor for key, tensor in state.items() if key not in heads} | (other if classes else {})
    path = tmp_path / "published.weights"
    write_published(name, state, path)
    with pytest.raises(InputError, match=f"classifier for {classes or 'no'} class"):
        load(model, name, path)


@pytest.mark.parametrize("name", [*CONSTRUCTORS, "penet"])
def test_files_of_another_model_are_refused(
    published: tuple[str, State, nn.Module], tmp_path: Path, name: str
) -> None:
    other, state, _ = published
    path = tmp_path / "published.weights"
    if name == other:  # the same network, but a part of it
        state = {key: tensor for key, tensor in state.items() if key != PARAMETER[name]}
    write_published(other, state, path)
    model = build_on_meta(name, num_slices=SLICES, size_px=PIXELS)
    with pytest.raises(InputError, match=r"lacks parameters|has no 'model_state'|not a plain tensor"):
        load(model, name, path)


def test_tables_of_another_network_are_refused(tmp_path: Path) -> None:
    with without_drawing():
        model = build("swin3d_t", num_classes=1)
    state, key = model.state_dict(), "features.0.1.attn.relative_position_index"
    path = tmp_path / "published.weights"
    for table, message in [
        (state[key].flip(0), "tables that the model does not have"),
        (state[key] + 0.5, "kind"),
    ]:
        write_published("swin3d_t", thin(state) | {key: table}, path)
        with pytest.raises(InputError, match=f"{message}: {key}"):
            load(model, "swin3d_t", path)
