"""Initial weights: all or an error, from files that can run nothing."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_sets import Bomb
from safetensors.torch import load_file, save_file

from chestct.errors import InputError
from chestct.models import build_model, is_head, load_weights
from chestct.models.i3d import MIXED
from chestct.models.load_weights import load_initial_weights
from chestct.models.weight_files import parse_numpy_pickle, parse_own, parse_torch

NAME = "swin_narrow"


def build(name: str = NAME, *, seed: int = 0, num_classes: int = 1, size_px: int = 32) -> torch.nn.Module:
    return build_model(name, num_slices=8, size_px=size_px, num_classes=num_classes, seed=seed)


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """The study's own pretraining result: another seed, ten classes."""
    path = tmp_path / "pretrained.safetensors"
    save_file(build(seed=1, num_classes=10).state_dict(), path)
    return path


def load(model: torch.nn.Module, path: Path, *, name: str = NAME, init: str = "video", **options: Any) -> Any:
    return load_initial_weights(model, name=name, init=init, path=path, **{"sha256": None, **options})


def test_loads_all_but_the_head(pretrained: Path) -> None:
    model, fresh = build(), build().state_dict()
    sha256 = hashlib.sha256(pretrained.read_bytes()).hexdigest()
    report = load(model, pretrained, sha256=sha256)
    source = load_file(pretrained)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh[key] if is_head(key, NAME) else source[key]), key
    assert report.fresh == ("head.bias", "head.weight")
    assert report.num_loaded == len(source) - 2
    assert report.sha256 == sha256


def test_loads_the_head_on_request(pretrained: Path) -> None:
    model = build(num_classes=10)
    report = load(model, pretrained, with_head=True)
    assert report.fresh == ()
    assert torch.equal(model.head.weight, load_file(pretrained)["head.weight"])
    with pytest.raises(InputError, match=r"another shape: head.bias: \(10,\) for \(1,\)"):
        load(build(), pretrained, with_head=True)


def test_weights_of_another_model_are_refused(pretrained: Path) -> None:
    with pytest.raises(InputError, match="lacks parameters"):
        load(build("slow_narrow"), pretrained, name="slow_narrow")


def test_weights_of_another_window_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mvit.safetensors"
    save_file(build("mvit_narrow", size_px=64).state_dict(), path)
    with pytest.raises(InputError, match=r"another shape: cls_positional_encoding(.|\n)*this size"):
        load(build("mvit_narrow"), path, name="mvit_narrow")


def test_wrong_hash_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path, expected = tmp_path / "weights", "0" * 64
    path.write_bytes(b"no weights at all")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="wrong SHA-256") as error:
        load(build(), path, sha256=expected)
    assert all(
        part in str(error.value) for part in (str(path), expected, found, "--forcerun download_weights")
    )


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing(.|\n)*nowhere"):
        load(build(), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "init"), [(NAME, "video"), ("i3d", "video"), ("efficientnet_lite0", "imagenet")]
)
@pytest.mark.parametrize("content", [b"", b"\x80\x04]\x94.", bytes(range(100))])
def test_damaged_file_is_refused(tmp_path: Path, name: str, init: str, content: bytes) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(InputError, match="weight file is not a"):
        load(build(name), path, name=name, init=init)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_hostile_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    target, path = tmp_path / "ran", tmp_path / "weights"
    path.write_bytes(pickle.dumps({"params": {"kernel": Bomb(target)}}, protocol=protocol))
    with pytest.raises(InputError, match="it asks for"):
        parse_numpy_pickle(path.read_bytes(), path)
    assert not target.exists()
    pickle.loads(path.read_bytes())
    assert target.exists(), "the bomb must be a real one"


def test_hostile_torch_checkpoint_runs_nothing(tmp_path: Path) -> None:
    target, path = tmp_path / "ran", tmp_path / "weights"
    torch.save({"weight": torch.zeros(1), "more": Bomb(target)}, path)
    with pytest.raises(InputError, match="not a PyTorch checkpoint"):
        parse_torch(path.read_bytes(), path)
    assert not target.exists()


@pytest.mark.parametrize("value", [np.array([{}], dtype=object), [1.0], "text"])
def test_pickle_of_anything_but_numbers_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps({"params": value}))
    with pytest.raises(InputError, match="params is"):
        parse_numpy_pickle(path.read_bytes(), path)


def test_lrcn_takes_the_features_of_the_finetuned_2d_model(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.safetensors"
    source = build("efficientnet_lite0", seed=3).state_dict()
    save_file(source, path)
    model = build("lrcn_efficientnet_lite0")
    report = load(model, path, name="lrcn_efficientnet_lite0", init="imagenet")
    assert report.num_loaded == sum(key.startswith("backbone.") for key in source)
    assert {key.split(".")[0] for key in report.fresh} == {"gru", "head"}
    loaded = model.backbone.state_dict()
    assert all(torch.equal(loaded[key], source[f"backbone.{key}"]) for key in loaded)


def published_i3d_tree(rng: np.random.Generator) -> dict[str, Any]:
    """A tree in the published layout, with its names written out here once more."""
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}

    def unit(names: tuple[str, ...], size: int, num_in: int, num_out: int) -> None:
        params, stats = tree["params"], tree["batch_stats"]
        for name in names:
            params, stats = params.setdefault(name, {}), stats.setdefault(name, {})
        kernel = rng.standard_normal((size, size, size, num_in, num_out), dtype=np.float32)
        params["Conv_0"] = {"kernel": kernel}
        params["BatchNorm_0"] = {"bias": rng.standard_normal(num_out, dtype=np.float32)}
        shape = (1, 1, 1, 1, num_out)
        stats["BatchNorm_0"] = {key: rng.random(shape, dtype=np.float32) for key in ("mean", "var")}

    unit(("Conv3d_1a_7x7",), 7, 3, 64)
    unit(("Conv3d_2b_1x1",), 1, 64, 64)
    unit(("Conv3d_2c_3x3",), 3, 64, 192)
    num_in = 192
    for name, (b0, b1a, b1b, b2a, b2b, b3) in MIXED.items():
        mixed = name.capitalize()
        unit((mixed, "Branch_0/Conv3d_0a_1x1"), 1, num_in, b0)
        unit((mixed, "Branch_1/Conv3d_0a_1x1"), 1, num_in, b1a)
        unit((mixed, "Branch_1/Conv3d_0b_3x3"), 3, b1a, b1b)
        unit((mixed, "Branch_2/Conv3d_0a_1x1"), 1, num_in, b2a)
        unit((mixed, "Branch_2/Conv3d_0b_3x3"), 3, b2a, b2b)
        unit((mixed, "Branch_3/Conv3d_0b_1x1"), 1, num_in, b3)
        num_in = b0 + b1b + b2b + b3
    classifier = {
        "kernel": rng.standard_normal((1, 1, 1, 1024, 400), dtype=np.float32),
        "bias": rng.standard_normal(400, dtype=np.float32),
    }
    tree["params"]["Logits/Conv3d_0c_1x1"] = {"Conv_0": classifier}
    return tree


def test_published_i3d_layout_maps_onto_the_model(tmp_path: Path) -> None:
    path = tmp_path / "i3d.weights"
    tree = published_i3d_tree(np.random.default_rng(0))
    path.write_bytes(pickle.dumps(tree))
    model = build("i3d", num_classes=400)
    report = load(model, path, name="i3d", with_head=True)
    assert report.num_loaded == 57 * 4 + 2
    state = model.state_dict()
    params, stats = tree["params"]["Mixed_4e"], tree["batch_stats"]["Mixed_4e"]
    unit = "layers.mixed_4e.branch_1.conv3d_0b_3x3"
    kernel = params["Branch_1/Conv3d_0b_3x3"]["Conv_0"]["kernel"]
    assert state[f"{unit}.conv.weight"][5, 4, 0, 1, 2] == kernel[0, 1, 2, 4, 5]
    variance = stats["Branch_1/Conv3d_0b_3x3"]["BatchNorm_0"]["var"]
    np.testing.assert_array_equal(state[f"{unit}.norm.running_var"], variance.ravel())
    classifier = tree["params"]["Logits/Conv3d_0c_1x1"]["Conv_0"]["kernel"]
    assert state["logits.weight"][7, 3] == classifier[0, 0, 0, 3, 7]

    del tree["batch_stats"]["Mixed_5c"]["Branch_0/Conv3d_0a_1x1"]
    path.write_bytes(pickle.dumps(tree))
    with pytest.raises(InputError, match=r"lacks parameters: layers.mixed_5c.branch_0.*running_mean"):
        load(build("i3d"), path, name="i3d")


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "C64", "X9"])
def test_numbers_of_a_kind_that_are_no_weights_are_refused(tmp_path: Path, kind: str) -> None:
    size = {"C64": 64, "F4": 4}.get(kind, 8)
    header = json.dumps({"w": {"dtype": kind, "shape": [8], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\1" * size)
    with pytest.raises(InputError, match=r"numbers of another kind|not a safetensors file"):
        load_weights._check(
            parse_own(path.read_bytes(), path), {"w": torch.zeros(8)}, set(), name="m", path=path
        )
