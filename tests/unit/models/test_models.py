"""One interface, seeded fresh parameters, a head that is where the catalogue says."""

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from model_sets import SMALL, make_windows
from torch import nn

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model, is_head, set_batchnorm_momentum, tune_for_cpu

Liven = Callable[[nn.Module, torch.Tensor], None]

#: The smallest window, and one that no stride divides.
SIZES = [(8, 32), (13, 45)]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("size", "num_classes"), list(zip(SIZES, (1, 10), strict=True)))
def test_gives_plain_logits(name: str, size: tuple[int, int], num_classes: int) -> None:
    model = build_model(name, num_slices=size[0], size_px=size[1], num_classes=num_classes, seed=0).eval()
    # A head that ended in a softmax or a sigmoid could not give what its last layer is told to give.
    last_biases = [
        module.bias
        for key, module in model.named_modules()
        if isinstance(module, nn.Linear) and is_head(key, name)
    ]
    with torch.no_grad():
        last_biases[-1].fill_(-7.0)
        logits = model(make_windows(*size))
    assert logits.shape == (2, num_classes)
    assert logits.isfinite().all()
    assert logits.mean() < -3


@pytest.mark.parametrize("name", [*SMALL, "x3d_m", "resnet18"])
def test_fresh_parameters_follow_from_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    first = build_model(name, num_slices=8, size_px=32, seed=5).state_dict()
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3)), "the caller's random state must not move"
    second = build_model(name, num_slices=8, size_px=32, seed=5).state_dict()
    other = build_model(name, num_slices=8, size_px=32, seed=6).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    heads = [key for key in first if is_head(key, name) and key.endswith("weight")]
    assert heads
    assert not any(torch.equal(first[key], other[key]) for key in heads)


@pytest.mark.parametrize("name", SMALL)
def test_gradient_reaches_every_trainable_parameter(name: str, liven: Liven) -> None:
    model = build_model(name, num_slices=12, size_px=48, seed=0)
    # Livened models are in evaluation mode: stochastic depth would leave out some blocks by chance.
    liven(model, make_windows(12, 48))
    model(make_windows(12, 48)).sum().backward()
    trainable = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert trainable
    without = [key for key, p in trainable.items() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


@pytest.mark.parametrize("name", [name for name in SMALL if MODELS[name].family == "3d"])
def test_order_of_slices_matters_to_3d_models(name: str, liven: Liven) -> None:
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    x_BCTHW = make_windows(8, 32)
    liven(model, x_BCTHW)
    shuffled = x_BCTHW[:, :, [3, 0, 6, 1, 7, 4, 2, 5]]
    with torch.no_grad():
        assert (model(x_BCTHW) - model(shuffled)).abs().max() > 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_tuning_for_the_cpu_changes_no_number(name: str, liven: Liven) -> None:
    model = build_model(name, num_slices=8, size_px=32, num_classes=10, seed=0)
    x_BCTHW = make_windows(8, 32)
    liven(model, x_BCTHW)
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(x_BCTHW.double())
        # Rounding grows through a model's layers: in I3D to a thousandth of its logits, elsewhere far less.
        rounding = (model(x_BCTHW) - exact).abs().max() + 1e-6 * exact.abs().max()
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        tune_for_cpu(model)
        tuned = model(x_BCTHW)
    assert (tuned - exact).abs().max() < 3 * rounding
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(tensor.is_contiguous() for tensor in after.values()), "safetensors saves such tensors only"


def test_batchnorm_momentum_is_set_in_every_layer() -> None:
    model = build_model("i3d", num_slices=8, size_px=32, seed=0)
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert set_batchnorm_momentum(model, 0.25) == len(layers) == 57
    assert {layer.momentum for layer in layers} == {0.25}


def test_unknown_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown model 'slow'(.|\n)*slow_narrow"):
        build_model("slow", num_slices=8, size_px=32, seed=0)


@pytest.mark.parametrize("head", [("blocks.5.prj",), ("classifier",), ("blocks.5.proj", "fc")])
def test_a_wrong_head_of_the_catalogue_is_found_when_the_model_is_built(
    monkeypatch: pytest.MonkeyPatch, head: tuple[str, ...]
) -> None:
    monkeypatch.setitem(MODELS, "slow_narrow", replace(MODELS["slow_narrow"], head=head))
    message = rf"head '{head[-1]}' of model 'slow_narrow' has no(.|\n)*head(.|\n)*such as blocks.5.proj"
    with pytest.raises(InputError, match=message):
        build_model("slow_narrow", num_slices=8, size_px=32, seed=0)


@pytest.mark.parametrize(
    ("name", "num_slices", "size_px", "message"),
    [
        ("slow_narrow", 4, 32, r"4 slices(.|\n)*window_slices(.|\n)*from 8 to 32 slices"),
        ("slow_narrow", 8, 96, r"96 pixels(.|\n)*crop_px(.|\n)*from 32 to 64 pixels"),
        ("slow_r50", 4, 224, r"4 slices(.|\n)*from 8 to 64 slices"),
        ("mvit_base_32x3", 32, 512, r"512 pixels(.|\n)*from 32 to 256 pixels"),
    ],
)
def test_window_outside_what_a_model_takes_is_refused(
    name: str, num_slices: int, size_px: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_model(name, num_slices=num_slices, size_px=size_px, seed=0)


def test_building_imports_no_more_than_the_model_needs() -> None:
    program = (
        "import sys; from chestct.models import build_model;"
        "build_model('slow_narrow', num_slices=8, size_px=32, seed=0);"
        "print([n for n in ('pytorchvideo.models.hub', 'pytorchvideo.models.x3d', 'torch._dynamo',"
        " 'efficientnet_lite_pytorch', 'cv2', 'pandas') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
