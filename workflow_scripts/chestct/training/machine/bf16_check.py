"""Whether this machine computes layers in mixed precision as in float32, but for what rounding explains.

Releases of cuDNN have computed 3D convolutions in bf16 wrongly: no error, other numbers. A run on a GPU
begins with this look, in bf16 or float16. It goes layer by layer, since rounding that many layers have passed
on says nothing any more. Each kind of layer gets the input that it has in the model, and an arbitrary
gradient, and gives its output and gradients in mixed precision by the kernels of the training; the same
numbers, rounded, are then computed in float32 without TF32. Products are exact
there and sums nearly: only the rounding of the result differs, by a part in 500 in bf16 and in 4,000 in
float16.

Shape suffixes: B batch, C channels, T slices (z), H rows (y), W columns (x).
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from chestct.errors import InputError
from chestct.models.channels_last import DepthwiseConv3d, PointwiseConv3d
from chestct.training.machine.device import computing_type, cudnn_release, memory_errors

#: Largest difference of a layer's results from float32, relative to their length. Rounding to bf16 explains
#: 0.002; kernels that round sums of parts on the way stay below 0.01, wrong ones are far above.
LAYER_LIMIT = 0.02
#: Of attention, which rounds between its products and takes the exponential of what it rounded.
ATTENTION_LIMIT = 0.1
#: Scale of the arbitrary gradient: sums over all voxels of a batch stay within float16.
_GRADIENT_SCALE = 1 / 16
#: Float32 is computed by so many parts of the batch, so that this look takes no more memory than training.
_NUM_PARTS = 16
_WORDS = {torch.bfloat16: "bf16", torch.float16: "float16"}
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def check_bf16(
    model: nn.Module, shape_BCTHW: tuple[int, ...], *, device: torch.device, precision: str, where: str
) -> int:
    """Compare every kind of layer of a model in mixed precision with float32, on one batch of noise.

    The model and the states of random generators stay as they are. In 32-true nothing is looked at; nor is a
    layer whose numbers leave the range of float16, which the training's losses will tell.

    Args:
        model: on the device, not shared out over processes.
        shape_BCTHW: of the batches of the training.
        device: where it is trained.
        precision: of the training.
        where: what begins, for the message.

    Returns:
        How many kinds of layers were compared.

    Raises:
        InputError: results differ by more than rounding explains, or memory is exhausted.
    """
    dtype = computing_type(precision)
    if dtype == torch.float32:
        return 0
    generator = torch.Generator(device).manual_seed(0)
    seen: set[tuple[Any, ...]] = set()
    busy = False

    def look(name: str, module: nn.Module, inputs: tuple[Any, ...], _: Any) -> None:
        nonlocal busy
        kind = (type(module), module.extra_repr(), *((x.shape, x.stride()) for x in inputs[:1]))
        if busy or kind in seen or not inputs or not bool(inputs[0].isfinite().all()):
            return
        seen.add(kind)
        busy = True
        with torch.enable_grad():
            difference, limit = _difference(module, inputs[0].detach().to(dtype), inputs[1:], generator)
        busy = False
        if not difference <= limit:
            raise _problem(name, module, difference, limit, dtype=dtype, device=device, where=where)

    was_training = model.training
    hooks = [
        module.register_forward_hook(partial(look, name))
        for name, module in model.named_modules()
        if isinstance(module, _LAYERS) or _is_attention(module)
    ]
    try:
        x_BCTHW = torch.randn(shape_BCTHW, generator=generator, device=device)
        model.eval()
        with (
            memory_errors(where, windows=len(x_BCTHW), precision=precision),
            torch.no_grad(),
            # Weights that autocast kept from here would be without gradients below.
            torch.autocast(device.type, dtype, cache_enabled=False),
            _eager(model),
        ):
            model(x_BCTHW)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
        if device.type == "cuda":  # what this look took is no part of the training's memory
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
    return len(seen)


def _is_attention(module: nn.Module) -> bool:
    # A form of ours, whose products are no modules; and attention of the library transformers, by the layer
    # that makes queries, whose name has changed with its releases.
    if getattr(module, "checked_as_a_whole", False):
        return True
    return type(module).__module__.startswith("transformers.") and any(
        isinstance(getattr(module, name, None), nn.Linear) for name in ("query", "q_proj")
    )


@contextmanager
def _eager(model: nn.Module) -> Iterator[None]:
    # Compiled blocks do not call the hooks of their layers.
    if all(getattr(module, "_compiled_call_impl", None) is None for module in model.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Float32 throughout, without TF32, and without a search for the fastest kernels."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
            with torch.autocast(device.type, enabled=False):
                yield
    finally:
        torch.set_float32_matmul_precision(before)


def _difference(
    module: nn.Module, x: torch.Tensor, others: tuple[Any, ...], generator: torch.Generator
) -> tuple[float, float]:
    """Largest relative difference among the output of a layer and its gradients, and the limit for it.

    A difference of 0 where results leave the range of the lower precision: that is no fault of the machine.

    Args:
        module: a layer, or attention as a whole.
        x: its input in the lower precision; parts of the batch are computed apart.
        others: its further arguments.
        generator: of the gradient of its output.
    """
    x = x.requires_grad_()
    weight: Any = None if _is_attention(module) else module.weight
    weights = [weight] if weight is not None and weight.requires_grad else []
    y = _first(module.forward(x, *others))
    apart = 0.0
    if _is_attention(module):  # without gradients PyTorch may choose another kernel: as windows are scored
        with torch.no_grad():
            scored = _first(module.forward(x, *others))
        apart = _relative(_square(scored.float() - y.detach().float()), _square(y))
    dy = (_GRADIENT_SCALE * torch.randn(y.shape, generator=generator, device=y.device)).to(y.dtype)
    results = [y.detach(), *torch.autograd.grad(y, [x, *weights], dy)]
    rounded = {
        name: parameter.detach().to(x.dtype).float().requires_grad_()
        for name, parameter in module.named_parameters(recurse=False)
        if not _is_attention(module)
    }
    exact_weights = [rounded["weight"] for _ in weights]
    errors, lengths = [0.0] * len(results), [0.0] * len(results)
    dweight: torch.Tensor | float = 0.0
    limit, largest_value = ATTENTION_LIMIT if _is_attention(module) else LAYER_LIMIT, torch.finfo(x.dtype).max
    published = _published(module)
    with _exact(x.device):
        parts = [values.tensor_split(_NUM_PARTS) for values in (x, dy, *results[:2])]
        for part, dy_part, y_part, dx_part in zip(*parts, strict=True):
            if not len(part):
                continue
            piece = part.detach().float().contiguous().requires_grad_()
            exact = _first(functional_call(published, rounded, (piece, *others)))
            dpiece, *more = torch.autograd.grad(exact, [piece, *exact_weights], dy_part.float())
            dweight = dweight + more[0] if more else dweight
            if max(float(exact.detach().abs().max()), float(dpiece.abs().max())) > largest_value:
                return 0.0, limit
            for number, (found, wanted) in enumerate([(y_part, exact), (dx_part, dpiece)]):
                errors[number] += _square(found.float() - wanted)
                lengths[number] += _square(wanted)
        if weights:
            errors[2], lengths[2] = _square(results[2].float() - dweight), _square(dweight)
    largest = max(_relative(error, length) for error, length in zip(errors, lengths, strict=True))
    return max(largest, apart), limit


def _published(module: nn.Module) -> nn.Module:
    """The same layer, not by our kernels: in float32 these would repeat their own mistakes."""
    if not isinstance(module, (DepthwiseConv3d, PointwiseConv3d)):
        return module
    published = copy.copy(module)  # parameters are not copied
    published.__class__ = nn.Conv3d  # type: ignore[assignment]
    return published


def _first(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _square(values: Any) -> float:
    return float(torch.linalg.vector_norm(values.detach())) ** 2


def _relative(error: float, length: float) -> float:
    """The root of a quotient of squares; infinity where it is no number."""
    if error == length == 0:
        return 0.0
    return (error / length) ** 0.5 if length > 0 and math.isfinite(error) else math.inf


def _problem(
    name: str,
    module: nn.Module,
    difference: float,
    limit: float,
    *,
    dtype: torch.dtype,
    device: torch.device,
    where: str,
) -> InputError:
    machine = "the CPU"
    if device.type == "cuda":
        release = cudnn_release(gpus=1)
        machine = f"{torch.cuda.get_device_name(device)} with cuDNN {release}"
    layer = f"{type(module).__name__}({module.extra_repr()})"
    return InputError(
        f"in {_WORDS[dtype]} a layer computes other numbers than in float32: {name}, {layer}, by "
        f"{difference:.2g} of their length, with PyTorch {torch.__version__} on {machine}",
        where=where,
        expected=f"at most {limit:g}, several times what rounding explains",
        remedy="install another release of PyTorch, or of the cuDNN that it uses (nvidia-cudnn, within the "
        "same first number), or set training.precision to 32-true; training.fast_forms: never shows whether "
        "a faster form is the reason",
    )
