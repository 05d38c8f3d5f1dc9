"""Every kernel against PyTorch's own operations, and its time beside theirs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from findings import Report
from machine import Machine, seconds
from torch.nn import functional as F

from chestct.intensity import AIR_HU
from chestct.models import depthwise
from chestct.models.depthwise import Depthwise
from chestct.training.windows.augmentation import augment, random_theta
from chestct.training.windows.device_input import fused_input
from chestct.training.windows.display_window import InputSettings, to_input

Triple = tuple[int, int, int]

#: (network, channels, (T, H, W), kernel, stride), as 32 x 224 x 224 gives them.
SHAPES: list[tuple[str, int, Triple, Triple, Triple]] = [
    ("X3D stem", 24, (32, 112, 112), (5, 1, 1), (1, 1, 1)),
    ("X3D", 54, (32, 112, 112), (3, 3, 3), (1, 2, 2)),
    ("X3D", 54, (32, 56, 56), (3, 3, 3), (1, 1, 1)),
    ("X3D", 108, (32, 28, 28), (3, 3, 3), (1, 1, 1)),
    ("X3D", 216, (32, 14, 14), (3, 3, 3), (1, 1, 1)),
    ("X3D", 432, (32, 7, 7), (3, 3, 3), (1, 1, 1)),
    ("CSN", 64, (32, 56, 56), (3, 3, 3), (1, 1, 1)),
    ("CSN", 128, (32, 56, 56), (3, 3, 3), (2, 2, 2)),
    ("CSN", 256, (8, 14, 14), (3, 3, 3), (1, 1, 1)),
    ("MViT keys", 96, (16, 56, 56), (3, 3, 3), (1, 8, 8)),
    ("MViT queries", 96, (16, 56, 56), (3, 3, 3), (1, 2, 2)),
]
DRY_SHAPES: list[tuple[str, int, Triple, Triple, Triple]] = [
    ("X3D stem", 6, (3, 4, 4), (5, 1, 1), (1, 1, 1)),
    ("X3D", 54, (2, 4, 4), (3, 3, 3), (1, 2, 2)),
    ("X3D", 6, (2, 4, 4), (3, 3, 3), (1, 1, 1)),
]
#: Timed in the dry form, where the interpreter takes seconds for a map that is no larger.
DRY_TIMED = ("X3D", 3, (1, 3, 4), (1, 3, 3), (1, 1, 1))
#: Largest relative difference from float32.
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
BATCH = 16
#: Other ways to share a map among programs (``chestct.models.depthwise``): whether one would be faster.
SIZES: dict[str, dict[str, object]] = {
    "as it is": {},
    "8 planes": {"_PLANES": (8,)},
    "32 planes": {"_PLANES": (32,)},
    "8 patches": {"_PATCHES": 8},
    "4 columns": {"_COLUMNS": 4},
    "all registers": {"_REGISTERS": 255},
}


def make(machine: Machine, batch: int, channels: int, lengths: Triple, kernel: Triple, dtype: torch.dtype):
    """Input with channels last, weight, both to be differentiated."""
    generator = torch.Generator(machine.device).manual_seed(0)
    options = {"device": machine.device, "generator": generator}
    x_BTHWC = torch.randn((batch, *lengths, channels), **options).to(dtype).requires_grad_()
    return x_BTHWC, torch.randn((channels, 1, *kernel), **options).requires_grad_()


def differences(machine: Machine, shape: tuple, dtype: torch.dtype) -> dict[str, float]:
    """Relative differences of the output and both gradients from PyTorch's own kernels in float32."""
    _, channels, lengths, kernel, stride = shape
    padding = tuple(k // 2 for k in kernel)
    x_BTHWC, weight = make(machine, 2, channels, lengths, kernel, dtype)
    y_BTHWC = Depthwise.apply(x_BTHWC, weight, stride, padding)
    arriving = torch.randn(y_BTHWC.shape, device=machine.device).to(dtype)
    found = (y_BTHWC, *torch.autograd.grad(y_BTHWC, (x_BTHWC, weight), arriving))
    # Not by cuDNN, a release of which computed some 3D convolutions wrongly.
    with torch.backends.cudnn.flags(enabled=False):
        x, w = (values.detach().float().requires_grad_() for values in (x_BTHWC, weight))
        y = F.conv3d(x.permute(0, 4, 1, 2, 3).contiguous(), w, None, stride, padding, groups=channels)
        y = y.permute(0, 2, 3, 4, 1)
        expected = (y, *torch.autograd.grad(y, (x, w), arriving.float()))
    return {
        name: float((ours.detach().float() - theirs.detach()).norm() / theirs.detach().norm())
        for name, ours, theirs in zip(("output", "input", "weight"), found, expected, strict=True)
    }


def check_shape(report: Report, machine: Machine, shape: tuple, dtype: torch.dtype) -> None:
    """Note whether a kernel computes what PyTorch does."""
    found = differences(machine, shape, dtype)
    words = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
    report.add("kernels", f"{title(shape)} {str(dtype)[6:]}", words, max(found.values()) < LIMITS[dtype])


def title(shape: tuple) -> str:
    """A shape in words."""
    network, channels, lengths, kernel, stride = shape
    sizes = " ".join("x".join(map(str, values)) for values in (lengths, kernel, stride))
    return f"{network} C{channels} {sizes}"


@contextmanager
def shared(sizes: dict[str, object]) -> Iterator[None]:
    """Have kernels share maps among programs in another way."""
    before = {name: getattr(depthwise, name) for name in sizes}
    for name, value in sizes.items():
        setattr(depthwise, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(depthwise, name, value)


def time_shape(report: Report, machine: Machine, shape: tuple, names: Sequence[str]) -> None:
    """Note the milliseconds of every kernel by sizes, of PyTorch's, and the least that memory speed allows.

    However a map is shared among programs, the output and its input's gradient must be equal to the last bit.
    """
    _, channels, lengths, kernel, stride = shape
    padding = tuple(k // 2 for k in kernel)
    x_BTHWC, weight = make(machine, 1 if machine.dry else BATCH, channels, lengths, kernel, machine.dtype)
    y_BTHWC = Depthwise.apply(x_BTHWC, weight, stride, padding)
    arriving = torch.randn_like(y_BTHWC)
    x = x_BTHWC.detach().permute(0, 4, 1, 2, 3).contiguous().requires_grad_()
    w = weight.detach().to(x.dtype).requires_grad_()
    y = F.conv3d(x, w, None, stride, padding, groups=channels)
    arriving_plain = arriving.permute(0, 4, 1, 2, 3).contiguous()

    def gradient(*needed: bool) -> torch.Tensor:
        # Not by autograd, which lets a Function compute both however many are asked for.
        found = depthwise.gradients(arriving, x_BTHWC, weight, stride, padding, needed)  # type: ignore[arg-type]
        return next(values for values in found if values is not None)

    def plain_gradient(of: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(y, of, arriving_plain, retain_graph=True)[0]

    ways = {
        "output": (
            lambda: Depthwise.apply(x_BTHWC, weight, stride, padding).detach(),
            lambda: F.conv3d(x, w, None, stride, padding, groups=channels),
        ),
        "input": (lambda: gradient(True, False), lambda: plain_gradient(x)),
        "weight": (lambda: gradient(False, True), lambda: plain_gradient(w)),
    }
    repeats = {"warm_up": 0, "repeats": 1} if machine.dry else {}
    words: list[str] = []
    equal = True
    for way, (ours, theirs) in ways.items():
        first = ours()
        times: dict[str, float] = {}
        for name in names:
            with shared(SIZES[name]):
                equal &= way == "weight" or torch.equal(ours(), first)
                times[name] = 1e3 * seconds(ours, machine.device, **repeats)
        plain = 1e3 * seconds(theirs, machine.device, **repeats)
        others = [f"{name} {time:.3f}" for name, time in times.items() if SIZES[name]]
        words.append(f"{way} {times['as it is']:.3f} ({', '.join([*others, f'PyTorch {plain:.3f}'])})")
    floor_ms = 1e3 * x.element_size() * (x.numel() + y.numel()) / machine.sheet_tbps / 1e12
    report.add(
        "kernel-times",
        title(shape),
        f"{'; '.join(words)} ms; each moves its values in {floor_ms:.3f} ms at best; "
        f"sizes {'agree to the last bit' if equal else 'DISAGREE'}",
        equal,
    )


def check_input(report: Report, machine: Machine, *, channels_last: bool, dtype: torch.dtype) -> None:
    """Note whether the kernel of a network's input gives what its single operations give."""
    size, crop, slices = (16, 12, 3) if machine.dry else (256, 224, 32)
    settings = InputSettings(
        crop_px=crop, max_rotation_degrees=20.0, max_shift_px=None, flip=True, interpolation="bilinear",
        centre_hu=-600.0, width_hu=1500.0, fill=AIR_HU, mean=(0.45, 0.4, 0.5), std=(0.225, 0.2, 0.25),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(-1400, 200, (2, slices, size, size), generator=generator).to(torch.int16)
    stored = stored.to(machine.device)
    theta = random_theta(2, size, size, settings, torch.Generator().manual_seed(1))
    found = fused_input(stored, theta, settings, dtype=dtype, channels_last=channels_last)
    expected = to_input(augment(stored, settings, torch.Generator().manual_seed(1)), settings)
    apart = float((found.float() - expected).norm() / expected.norm())
    layout = "channels last" if channels_last else "contiguous"
    report.add("kernels", f"input {layout} {str(dtype)[6:]}", f"{apart:.1e}", apart < LIMITS[dtype])


def check_kernels(report: Report, machine: Machine) -> None:
    """Every shape in bfloat16, three in float32 too; on a CPU small ones by Triton's interpreter."""
    if machine.dry:
        checks = [(shape, torch.float32) for shape in DRY_SHAPES]
    else:
        checks = [(shape, torch.float32) for shape in SHAPES[:3]]
        checks += [(shape, torch.bfloat16) for shape in SHAPES]
    for shape, dtype in checks:
        report.run("kernels", title(shape), 10, lambda s=shape, d=dtype: check_shape(report, machine, s, d))
    for last, dtype in ((True, torch.float32), (False, machine.dtype)):
        report.run(
            "kernels",
            "input",
            10,
            lambda c=last, d=dtype: check_input(report, machine, channels_last=c, dtype=d),
        )


def time_kernels(report: Report, machine: Machine, *, other_sizes: bool = False) -> None:
    """The times of every shape."""
    names = [*SIZES][: 2 if machine.dry else len(SIZES) if other_sizes else 1]
    torch.backends.cudnn.benchmark = not machine.dry  # scoring, in the parts before, ends without
    for shape in [DRY_TIMED] if machine.dry else SHAPES:
        report.run(
            "kernel-times", title(shape), 12, lambda shape=shape: time_shape(report, machine, shape, names)
        )
