"""Faster forms of the networks: exact rewrites, which keep parameters, their names and, to rounding, outputs.

The configuration key ``training.fast_forms`` switches all of them together. On a CPU networks stay as they
were published unless the key says otherwise, so that runs there give the same bytes as ever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import nn

from chestct.models.channels_last import PointwiseConv3d, put_depthwise, put_pointwise
from chestct.models.fused_activation import use_fused_activation
from chestct.models.fused_attention import use_fused_attention
from chestct.models.kernel_gpus import find_gpus

#: Values of the key: on GPUs alone, on CPUs too (slower there, for tests), or nowhere.
ON_GPUS: Final = "on_gpus"
ALWAYS: Final = "always"
NEVER: Final = "never"
SETTINGS: Final = (ON_GPUS, ALWAYS, NEVER)

#: What puts a form into a built model, by the form's name: takes the model and whether it computes in mixed
#: precision, changes what it finds in place, and returns how many modules those were.
FORMS: dict[str, Callable[[nn.Module, bool], int]] = {
    "attention": use_fused_attention,
    "activation": use_fused_activation,
    "depthwise": put_depthwise,
    "pointwise": put_pointwise,
}


def wants_fast_forms(setting: str, *, gpus: int) -> bool:
    """Whether models take their faster forms.

    Args:
        setting: value of ``training.fast_forms``.
        gpus: whether they run on a GPU.
    """
    assert setting in SETTINGS, setting
    return setting == ALWAYS or (setting == ON_GPUS and gpus > 0)


def apply_fast_forms(model: nn.Module, *, mixed: bool) -> dict[str, int]:
    """Give a built model its faster forms, in place; parameters, their names and state_dict stay.

    Args:
        model: of ``build_model``; on whichever device.
        mixed: whether it will compute in mixed precision.

    Returns:
        How many modules took each form, by the form's name; forms that found none are left out.
    """
    found = {name: put(model, mixed) for name, put in FORMS.items()}
    return {name: number for name, number in found.items() if number}


@dataclass(frozen=True, kw_only=True)
class InputForm:
    """How a network wants its input.

    Attributes:
        fused: made by one kernel (``training.windows.device_input``), in the type that its first layer
            computes in.
        channels_last: channels last in memory, as its first layer reads them.
    """

    fused: bool = False
    channels_last: bool = False


def input_form(model: nn.Module) -> InputForm:
    """How a network wants its input: plain until ``put_input`` said otherwise."""
    return getattr(model, "input_form", None) or InputForm()


def put_input(model: nn.Module, *, mixed: bool) -> bool:
    """Note that a network's input is to be made by one kernel, where all GPUs of this machine run it.

    All networks of the catalogue begin with a convolution, which in mixed precision would round its input
    itself. Those of slices read channels last whatever their input is.

    Args:
        model: with its faster forms.
        mixed: whether it will compute in mixed precision, in which 3D convolutions run channels last.
    """
    fused = find_gpus()
    of_slices = not any(isinstance(module, nn.Conv3d) for module in model.modules())
    pointwise = any(isinstance(module, PointwiseConv3d) for module in model.modules())
    model.input_form = InputForm(fused=fused, channels_last=mixed or of_slices or pointwise)  # type: ignore[assignment]
    return fused
