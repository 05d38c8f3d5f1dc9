"""The published weights that the study starts from: in ``data/weights``, fetched there where absent."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet

from chestct.catalogue import MODELS
from chestct.download.published_weights import fetch_weights
from chestct.download.weights_table import weights_row
from chestct.models import build_model, is_head
from chestct.models.load_weights import LoadReport, load_initial_weights
from chestct.models.weight_files import parse_numpy_pickle, parse_torch, parse_training_checkpoint

FOLDER = Path(__file__).parents[2] / "data" / "weights"

SHA256 = {
    "i3d_kinetics400": "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    "efficientnet_lite0_imagenet": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


def weight_file(weights_id: str) -> Path:
    path = FOLDER / f"{weights_id}.weights"
    fetch_weights(weights_row(weights_id), path)
    return path


def load_i3d(model: torch.nn.Module, *, with_head: bool) -> LoadReport:
    """Load the weights of Kinetics into an I3D."""
    path, sha256 = weight_file("i3d_kinetics400"), SHA256["i3d_kinetics400"]
    return load_initial_weights(
        model, name="i3d", init="video", path=path, sha256=sha256, with_head=with_head
    )


# --- I3D, against a second implementation in plain NumPy on the published arrays


def same_padding(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> np.ndarray:
    pads = [(0, 0)]
    for length, k, s in zip(x.shape[1:4], kernel, stride, strict=True):
        total = max((int(np.ceil(length / s)) - 1) * s + k - length, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [*pads, (0, 0)], constant_values=value)


def patches(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    """Every offset within the kernel with the strided view of x (B, T, H, W, C) that it meets."""
    sizes = [(length - k) // s + 1 for length, k, s in zip(x.shape[1:4], kernel, stride, strict=True)]
    for offset in np.ndindex(*kernel):
        cut = [slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offset, sizes, stride, strict=True)]
        yield offset, x[:, cut[0], cut[1], cut[2]]


class NumpyI3D:
    """Published I3D in NumPy, channels last, float64."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.params, self.stats = tree["params"], tree["batch_stats"]

    def unit(self, x: np.ndarray, *names: str, stride: int = 1) -> np.ndarray:
        params, stats = self.params, self.stats
        for name in names:
            params, stats = params[name], stats[name]
        kernel = params["Conv_0"]["kernel"].astype(np.float64)
        x = same_padding(x, kernel.shape[:3], (stride,) * 3, 0.0)
        y = sum(part @ kernel[offset] for offset, part in patches(x, kernel.shape[:3], (stride,) * 3))
        norm = stats["BatchNorm_0"]
        y = (y - norm["mean"]) / np.sqrt(norm["var"].astype(np.float64) + 1e-3)
        return np.maximum(y + params["BatchNorm_0"]["bias"], 0)

    def pool(self, x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
        x = same_padding(x, kernel, stride, -np.inf)
        return np.max([part for _, part in patches(x, kernel, stride)], axis=0)

    def mixed(self, x: np.ndarray, name: str) -> np.ndarray:
        one = self.unit(x, name, "Branch_0/Conv3d_0a_1x1")
        two = self.unit(self.unit(x, name, "Branch_1/Conv3d_0a_1x1"), name, "Branch_1/Conv3d_0b_3x3")
        three = self.unit(self.unit(x, name, "Branch_2/Conv3d_0a_1x1"), name, "Branch_2/Conv3d_0b_3x3")
        four = self.unit(self.pool(x, (3, 3, 3), (1, 1, 1)), name, "Branch_3/Conv3d_0b_1x1")
        return np.concatenate([one, two, three, four], axis=-1)

    def logits(self, x: np.ndarray) -> np.ndarray:
        x = self.unit(x, "Conv3d_1a_7x7", stride=2)
        x = self.pool(x, (1, 3, 3), (1, 2, 2))
        x = self.unit(self.unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3")
        x = self.pool(x, (1, 3, 3), (1, 2, 2))
        x = self.mixed(self.mixed(x, "Mixed_3b"), "Mixed_3c")
        x = self.pool(x, (3, 3, 3), (2, 2, 2))
        for name in "bcdef":
            x = self.mixed(x, f"Mixed_4{name}")
        x = self.pool(x, (2, 2, 2), (2, 2, 2))
        x = self.mixed(self.mixed(x, "Mixed_5b"), "Mixed_5c")
        x = x.mean(axis=(2, 3))
        x = (x[:, 1:] + x[:, :-1]) / 2 if x.shape[1] > 1 else x
        classifier = self.params["Logits/Conv3d_0c_1x1"]["Conv_0"]
        return x.mean(axis=1) @ classifier["kernel"][0, 0, 0] + classifier["bias"]


@pytest.mark.parametrize("size", [(8, 32), (9, 45), (24, 32)])
def test_i3d_equals_numpy_on_the_published_arrays(size: tuple[int, int]) -> None:
    path = weight_file("i3d_kinetics400")
    num_slices, size_px = size
    model = build_model("i3d", num_slices=num_slices, size_px=size_px, num_classes=400, seed=0).eval()
    report = load_i3d(model, with_head=True)
    assert report.num_loaded == 230
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, num_slices, size_px, size_px)).astype(np.float32)
    expected = NumpyI3D(parse_numpy_pickle(path.read_bytes(), path)).logits(
        x.transpose(0, 2, 3, 4, 1).astype(np.float64)
    )
    with torch.no_grad():
        logits = model(torch.from_numpy(x)).numpy()
    assert expected.std() > 0.3, "logits that hardly differ would show nothing"
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_i3d_gives_the_logits_of_the_reference_implementation() -> None:
    """On the clip of i3d_reference/make.py, of which the package's own JAX network gave logits.csv."""
    expected = np.loadtxt(Path(__file__).parent / "i3d_reference" / "logits.csv")
    model = build_model("i3d", num_slices=24, size_px=224, num_classes=400, seed=0).eval()
    load_i3d(model, with_head=True)
    clip = np.random.default_rng(0).uniform(-1, 1, (1, 24, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        logits = model(torch.from_numpy(clip).permute(0, 4, 1, 2, 3)).numpy()[0]
    assert expected.shape == logits.shape == (400,)
    assert np.ptp(expected) > 5, "logits that hardly differ would show nothing"
    np.testing.assert_allclose(logits, expected, rtol=0, atol=5e-5)


def test_i3d_starts_with_all_of_kinetics_but_the_classifier() -> None:
    model = build_model("i3d", num_slices=8, size_px=32, seed=0)
    report = load_i3d(model, with_head=False)
    assert report.num_loaded == 228
    assert report.fresh == ("logits.bias", "logits.weight")
    statistics = [t for key, t in model.state_dict().items() if key.endswith("running_var")]
    assert len(statistics) == 57
    assert not any(torch.equal(tensor, torch.ones_like(tensor)) for tensor in statistics)


# --- 3D-ShuffleNet, against a second implementation in plain functions on the published names


@pytest.fixture(scope="module")
def jester(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' checkpoint, from a folder that it is found in by its SHA-256."""
    if not (shared / "real_weights").is_dir():
        pytest.skip(f"no folder real_weights in {shared}")
    path = tmp_path_factory.mktemp("weights") / "shufflenet3d_0.5x_jester.weights"
    fetch_weights(weights_row("shufflenet3d_0.5x_jester"), path, folders=[shared / "real_weights"])
    return path


def published_shufflenet(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits of windows of at least 16 frames; channels are dealt out by an explicit list."""

    def step(name: str, number: str, x: torch.Tensor, **options: Any) -> torch.Tensor:
        conv, norm = (f"module.{name}{kind}{number}" for kind in ("conv", "bn"))
        if number == "0":
            conv, norm = f"module.{name}0", f"module.{name}1"
        x = F.conv3d(x, state[f"{conv}.weight"], **options)
        kinds = ("running_mean", "running_var", "weight", "bias")
        mean, var, scale, shift = (state[f"{norm}.{kind}"].view(-1, 1, 1, 1) for kind in kinds)
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = step("conv1.", "0", x, stride=(1, 2, 2), padding=1).clamp(min=0)
    x = F.max_pool3d(x, 3, stride=2, padding=1)
    for layer, num_units in ((1, 4), (2, 8), (3, 4)):
        for unit in range(num_units):
            name, stride = f"layer{layer}.{unit}.", 1 if unit else 2
            y = step(name, "1", x, groups=3).clamp(min=0)
            size = y.shape[1] // 3
            y = y[:, [group * size + i for i in range(size) for group in range(3)]]
            y = step(name, "2", y, stride=stride, padding=1, groups=y.shape[1])
            y = step(name, "3", y, groups=3)
            if unit:
                y = y + x
            else:
                padded = F.pad(x, (1, 1, 1, 1)).unfold(2, 2, 2).unfold(3, 3, 2).unfold(4, 3, 2)
                y = torch.cat([y, padded.mean(dim=(5, 6, 7))], dim=1)
            x = y.clamp(min=0)
    weight, bias = state["module.classifier.1.weight"], state["module.classifier.1.bias"]
    return x.mean(dim=(2, 3, 4)) @ weight.T + bias


@pytest.mark.parametrize("size", [(16, 112), (32, 45)])
def test_shufflenet_equals_plain_functions_on_the_published_names(
    jester: Path, size: tuple[int, int]
) -> None:
    name, (num_slices, size_px) = "shufflenet3d_0.5x", size
    model = build_model(name, num_slices=num_slices, size_px=size_px, num_classes=27, seed=0).eval()
    report = load_initial_weights(model, name=name, init="video", path=jester, sha256=None, with_head=True)
    assert report.fresh == () and report.num_loaded == len(model.state_dict()) == 296
    state = parse_training_checkpoint(jester.read_bytes(), jester, state_key="state_dict")
    pixels = torch.rand(2, 3, num_slices, size_px, size_px, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (MODELS[name].mean, MODELS[name].std))
    x_BCTHW = (pixels - mean) / std
    with torch.no_grad():
        # Rounding grows through the layers of values this large.
        expected = published_shufflenet({k: v.double() for k, v in state.items()}, x_BCTHW.double())
        logits = model(x_BCTHW)
    assert expected.std() > 0.3, "logits that hardly differ would show nothing"
    torch.testing.assert_close(logits.double(), expected, rtol=1e-3, atol=1e-3)


def test_shufflenet_starts_with_all_of_jester_but_the_classifier(jester: Path) -> None:
    name = "shufflenet3d_0.5x"
    model = build_model(name, num_slices=8, size_px=56, seed=0).eval()
    report = load_initial_weights(model, name=name, init="video", path=jester, sha256=None)
    assert report.num_loaded == 294 and report.fresh == ("head.bias", "head.weight")
    windows_BCTHW = torch.randn(2, 3, 8, 56, 56, generator=torch.Generator().manual_seed(0)) * 50
    with torch.no_grad():
        assert torch.equal(model(windows_BCTHW), model(windows_BCTHW))


def test_shufflenet_was_trained_on_pixel_values_of_hundreds(jester: Path) -> None:
    """Its first BatchNorm has seen a variance that takes inputs as large as 47.7, whatever they were."""
    state = parse_training_checkpoint(jester.read_bytes(), jester, state_key="state_dict")
    largest = state["module.conv1.0.weight"].abs().sum(dim=(1, 2, 3, 4))
    least_input = (state["module.conv1.1.running_var"].sqrt() / largest).max()
    mean, std = (
        torch.tensor(values) for values in (MODELS["shufflenet3d_0.5x"].mean, MODELS["shufflenet3d_0.5x"].std)
    )
    assert 45 < least_input < ((1 - mean) / std).max()


# --- EfficientNet-Lite0, against the package that published it


def test_efficientnet_equals_the_published_model() -> None:
    path = weight_file("efficientnet_lite0_imagenet")
    model = build_model("efficientnet_lite0", num_slices=8, size_px=64, num_classes=1000, seed=0).eval()
    report = load_initial_weights(
        model,
        name="efficientnet_lite0",
        init="imagenet",
        path=path,
        sha256=SHA256["efficientnet_lite0_imagenet"],
        with_head=True,
    )
    assert report.fresh == ()
    upstream = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    upstream.load_state_dict(parse_torch(path.read_bytes(), path))
    upstream.eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = upstream(images)
        # A window of one image again and again is that image to a model that averages slices.
        logits = model(images[:, :, None].expand(-1, -1, 8, -1, -1))
    assert expected.std() > 0.3, "logits that hardly differ would show nothing"
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


# --- Every other published file: where it lies in data/weights, it must load

PUBLISHED = {
    weights_id: (name, init) for name, entry in MODELS.items() for init, weights_id in entry.weights.items()
}


@pytest.mark.parametrize("weights_id", [name for name in PUBLISHED if name not in SHA256])
def test_published_file_loads_whole(weights_id: str) -> None:
    path = FOLDER / f"{weights_id}.weights"
    if not path.is_file():
        pytest.skip(f"no {path.name} in data/weights: it comes from a server that may be out of reach")
    name, init = PUBLISHED[weights_id]
    model = build_model(name, num_slices=32, size_px=224, seed=0)
    report = load_initial_weights(model, name=name, init=init, path=path, sha256=None)
    state = model.state_dict()
    counts = [key for key in state if key.endswith("num_batches_tracked")]
    assert len(state) - len(counts) <= report.num_loaded + len(report.fresh) <= len(state)
    assert all(is_head(key, name) for key in report.fresh)
    assert report.resized == ()
    # What was trained is no longer as it was drawn or set at first.
    statistics = [tensor for key, tensor in state.items() if key.endswith("running_var")]
    assert not any(torch.equal(tensor, torch.ones_like(tensor)) for tensor in statistics)
