"""Before a run on a GPU, bf16 is compared with float32: rounding passes, wrong kernels do not."""

import pytest
import torch
from torch import nn

from chestct.errors import InputError
from chestct.models import build_model, channels_last
from chestct.models.fast_forms import apply_fast_forms
from chestct.training.machine import bf16_check
from chestct.training.machine.bf16_check import check_bf16
from chestct.training.machine.device import cudnn_release

CPU = torch.device("cpu")


def check(model: nn.Module, precision: str = "bf16-mixed") -> int:
    """The check on this machine's CPU, of two small windows."""
    return check_bf16(model, (2, 3, 8, 32, 32), device=CPU, precision=precision, where="start of a test")


class _Wrong(torch.autograd.Function):
    """Changes one channel of bf16 numbers on the way forward or of their gradient on the way back."""

    @staticmethod
    def forward(ctx, values, forward_by, backward_by):
        ctx.by = backward_by
        changed = values.clone()
        changed[:, :1] *= forward_by
        return changed

    @staticmethod
    def backward(ctx, gradient):
        changed = gradient.clone()
        changed[:, :1] *= ctx.by
        return changed, None, None


class WrongInBf16(nn.Conv3d):
    """A convolution as a faulty library has it."""

    forward_by, backward_by = 1.0, 1.0

    def forward(self, x):
        y = super().forward(x)
        return _Wrong.apply(y, self.forward_by, self.backward_by) if y.dtype == torch.bfloat16 else y


def small_model(**faults: float) -> nn.Module:
    torch.manual_seed(0)
    conv = WrongInBf16(4, 8, 3, padding=1, bias=False)
    for name, by in faults.items():
        setattr(conv, name, by)
    layers = [nn.Conv3d(3, 4, 3, stride=2), nn.BatchNorm3d(4), nn.ReLU(), conv, nn.AdaptiveAvgPool3d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 1))


@pytest.mark.parametrize(
    ("name", "precision"),
    [("swin_narrow", "bf16-mixed"), ("mvit_narrow", "bf16-mixed"), ("videomae_narrow", "bf16-mixed"),
     ("videomae_narrow", "16-mixed")],
)  # fmt: skip
def test_models_pass(name, precision):
    model = build_model(name, num_slices=8, size_px=32, seed=0).train()
    apply_fast_forms(model, mixed=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert check(model, precision) >= 7
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in model.modules())


def test_our_own_kernels_are_not_held_against_themselves(monkeypatch):
    model = nn.Sequential(nn.Conv3d(3, 3, 3, padding=1, groups=3), nn.Conv3d(3, 4, 1))
    assert apply_fast_forms(model, mixed=True) == {"depthwise": 1, "pointwise": 1}
    assert check(model) == 2
    right = channels_last.depthwise
    monkeypatch.setattr(channels_last, "depthwise", lambda *a, **b: 1.1 * right(*a, **b))
    with pytest.raises(InputError, match="DepthwiseConv3d"):  # in float32 it is as wrong
        check(model)


def test_layers_of_a_kind_are_compared_once_and_rounding_is_far_below_the_limit(monkeypatch):
    found, usual = [], bf16_check._difference
    monkeypatch.setattr(bf16_check, "_difference", lambda *a: found.append(usual(*a)) or found[-1])
    model = nn.Sequential(nn.Conv3d(3, 4, 1), *(nn.Conv3d(4, 4, 3, padding=1) for _ in range(3)))
    assert check(model) == len(found) == 2
    # Some CPUs' kernels round sums of parts on the way.
    assert all(0 < difference < 0.5 * limit == 0.5 * bf16_check.LAYER_LIMIT for difference, limit in found)


@pytest.mark.parametrize("faults", [{"forward_by": 0.8}, {"backward_by": 1.2}, {"forward_by": torch.nan}])
def test_wrong_numbers_stop_the_run(faults):
    with pytest.raises(
        InputError, match=r"in bf16 a layer computes other numbers.* 3, WrongInBf16\(4, 8"
    ) as error:
        check(small_model(**faults))
    text = str(error.value)
    assert "start of a test" in text and torch.__version__ in text
    assert "set training.precision to 32-true" in text


def test_attention_in_another_form_is_compared_as_a_whole(monkeypatch):
    model = build_model("swin_narrow", num_slices=8, size_px=32, seed=0)
    apply_fast_forms(model, mixed=True)
    usual = nn.functional.linear

    def wrong(x, *others):
        y = usual(x, *others)
        return y.roll(1, dims=-1) if y.dtype == torch.bfloat16 else y

    monkeypatch.setattr("chestct.models.fused_attention.linear", wrong)
    with pytest.raises(InputError, match="FusedShiftedWindowAttention3d"):
        check(model)


@pytest.mark.parametrize("name", ["videomae_narrow", "dinov2_narrow"])
def test_attention_of_the_library_is_compared_as_a_whole(name, monkeypatch):
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    usual = nn.functional.scaled_dot_product_attention

    def wrong(q, k, v, *others, **options):
        return usual(q, k, v.flip(1) if v.dtype == torch.bfloat16 else v, *others, **options)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", wrong)
    with pytest.raises(InputError, match="Attention"):
        check(model)


def test_right_layers_beside_it_and_float32_pass():
    assert check(small_model()) == check(small_model(), "16-mixed") == 3
    assert check(small_model(forward_by=0.0), "32-true") == 0


def test_wrong_numbers_in_float16_stop_the_run_too(monkeypatch):
    usual = nn.functional.linear

    def wrong(x, weight, *others):
        return usual(x, weight, *others) * (1.1 if x.dtype == torch.float16 else 1)

    monkeypatch.setattr(nn.functional, "linear", wrong)
    with pytest.raises(InputError, match="in float16 a layer computes other numbers"):
        check(small_model(), "16-mixed")


def test_numbers_outside_the_range_of_float16_are_no_wrong_layer():
    model = nn.Sequential(nn.Conv3d(3, 4, 1), nn.Conv3d(4, 4, 1))
    nn.init.constant_(model[0].weight, 6e4)
    assert check(model, "16-mixed") == 1 and check(model) == 2


@pytest.mark.parametrize(
    ("number", "release"), [(92000, "9.20.0"), (91002, "9.10.2"), (8907, "8.9.7"), (None, None)]
)
def test_the_release_of_cudnn_is_a_column(number, release, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: number)
    assert cudnn_release(gpus=1) == release and cudnn_release(gpus=0) is None
