"""Models: their fast form against the published one, and the speed of both beside what hardware allows."""

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from findings import Report
from machine import Machine
from torch import nn

from chestct.catalogue import MODELS
from chestct.models import build_model
from chestct.models.fast_forms import ALWAYS, NEVER
from chestct.training.compile_choice import BLOCKS, GRAPHS
from chestct.training.machine import compiled
from chestct.training.machine.bf16_check import check_bf16
from chestct.training.machine.device import autocast, tune
from chestct.training.measure.floor import Floor
from chestct.training.measure.speed import EngineTimes, Setting, time_engine

#: In the order of what is to be learnt: the time may not suffice for all.
FULL = [
    "csn_r101", "x3d_m", "mvit_base_32x3", "swin3d_t", "penet", "slowfast_r50", "slow_r50", "r2plus1d_r50",
    "i3d", "videomae_base", "resnet18",
]  # fmt: skip
#: In the order of what compiling may gain.
COMPILED = ["mvit_base_32x3", "csn_r101", "x3d_m", "swin3d_t", "penet", "slowfast_r50", "i3d", "resnet18"]
#: In the order of how small their operations are.
IN_GRAPHS = ["resnet18", "x3d_m", "csn_r101"]
NARROW = ["csn_narrow", "x3d_narrow", "mvit_narrow", "swin_narrow"]
DRY = ["csn_narrow", "x3d_narrow", "mvit_narrow"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Windows (slices, rows and columns) and how many of them at once."""

    window: int
    size: int
    batch: int


@contextmanager
def exact_float32() -> Iterator[None]:
    """Float32 throughout, without TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def free() -> None:
    """Give back what models before have left."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def outcome(model: nn.Module, x_BCTHW: torch.Tensor, precision: str, *, training: bool) -> torch.Tensor:
    """Output and all gradients of a model in one row, float32."""
    model.train(training)
    for module in model.modules():  # what is left out by chance differs between layouts
        if "drop" in type(module).__name__.lower() or "stochastic" in type(module).__name__.lower():
            module.eval()
    model.zero_grad()
    with autocast(x_BCTHW.device, precision):
        logits = model(x_BCTHW)
    (logits.float() * torch.linspace(0.5, 1, len(logits), device=logits.device)[:, None]).sum().backward()
    gradients = [p.grad.float().flatten() for p in model.parameters() if p.grad is not None]
    # The output weighs as much as all gradients together.
    row = torch.cat(gradients)
    return torch.cat([logits.detach().float().flatten() * row.norm() / logits.detach().float().norm(), row])


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Relative."""
    return float((ours - theirs).norm() / theirs.norm())


def pair(name: str, sizes: Sizes, machine: Machine, precision: str) -> tuple[nn.Module, nn.Module, list[str]]:
    """A model in its published and its fast form, with equal parameters; names of the forms."""
    plain = build_model(name, num_slices=sizes.window, size_px=sizes.size, seed=0)
    with torch.no_grad():  # scales that begin at zero hide branches
        for parameter in plain.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    fast = copy.deepcopy(plain)
    tune(plain, gpus=machine.gpus, precision=precision, fast_forms=NEVER)
    forms = tune(fast, gpus=machine.gpus, precision=precision, fast_forms=ALWAYS)
    return plain.to(machine.device), fast.to(machine.device), list(forms)


def check_form(report: Report, machine: Machine, name: str, sizes: Sizes) -> None:
    """In float32, the fast form gives the output and the gradients of the published one, to rounding."""
    plain, fast, forms = pair(name, sizes, machine, "32-true")
    shape = (sizes.batch, 3, sizes.window, sizes.size, sizes.size)
    x_BCTHW = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(machine.device)
    with exact_float32():
        found = {
            ("training" if training else "evaluation"): difference(
                outcome(fast, x_BCTHW, "32-true", training=training),
                outcome(plain, x_BCTHW, "32-true", training=training),
            )
            for training in (True, False)
        }
    words = ", ".join(f"{mode} {value:.1e}" for mode, value in found.items())
    limit = 1e-3 if machine.gpus else 1e-4
    report.add(
        "forms", f"{name} float32", f"{' '.join(forms) or 'none'}: {words}", max(found.values()) < limit
    )
    del plain, fast
    free()


def check_mixed(report: Report, machine: Machine, name: str, sizes: Sizes) -> None:
    """In bf16, the fast form is no further from float32 than the published one is."""
    plain, fast, forms = pair(name, sizes, machine, "bf16-mixed")
    if not forms:
        return
    shape = (sizes.batch, 3, sizes.window, sizes.size, sizes.size)
    x_BCTHW = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(machine.device)
    with exact_float32():
        exact = outcome(plain, x_BCTHW, "32-true", training=True)
    published = difference(outcome(plain, x_BCTHW, "bf16-mixed", training=True), exact)
    ours = difference(outcome(fast, x_BCTHW, "bf16-mixed", training=True), exact)
    words = f"{' '.join(forms)}: from float32 {ours:.1e}, the published form {published:.1e}"
    report.add("forms", f"{name} bf16", words, ours < 1.5 * published + 1e-2)
    del plain, fast, exact
    free()


def check_layers(report: Report, machine: Machine, name: str, sizes: Sizes) -> None:
    """In bf16, every kind of layer computes what it does in float32, as a run looks at its start."""
    model = build_model(name, num_slices=sizes.window, size_px=sizes.size, seed=0).train()
    tune(model, gpus=machine.gpus, precision="bf16-mixed", fast_forms=ALWAYS)
    shape = (sizes.batch, 3, sizes.window, sizes.size, sizes.size)
    found = check_bf16(
        model.to(machine.device), shape, device=machine.device, precision="bf16-mixed", where=name
    )
    report.add("forms", f"{name} layers in bf16", f"{found} kinds agree with float32", found > 0)
    del model
    free()


def time_model(
    report: Report,
    machine: Machine,
    name: str,
    sizes: Sizes,
    *,
    compile_form: str | None = None,
    fast_only: bool = False,
) -> None:
    """Windows a second of both forms, or of a compiled one; shares of the hardware and of the floor."""
    by_compiler = compile_form is not None
    floor = Floor.of(name, window=sizes.window, size=sizes.size)
    value_bytes = 2 if machine.gpus else 4
    compute, memory = floor.seconds(
        sizes.batch, value_bytes=value_bytes, tflops=machine.sheet_tflops, tbps=machine.sheet_tbps
    )
    least = max(compute, memory)
    moved_gb = floor.bytes(sizes.batch, value_bytes=value_bytes) / 1e9
    if not by_compiler:
        report.add(
            "floor",
            name,
            f"{floor.flops * sizes.batch / 1e12:.3g} TFLOP: {compute * 1e3:.3g} ms; {moved_gb:.3g} GB: "
            f"{memory * 1e3:.3g} ms; {'operations bind' if compute > memory else 'memory binds'}: "
            f"{sizes.batch / least:.4g} windows/s at most",
        )
    for setting_of_forms in [ALWAYS] if by_compiler or fast_only else [NEVER, ALWAYS]:
        setting = Setting(
            window=sizes.window,
            size=sizes.size,
            batch=sizes.batch,
            gpus=machine.gpus,
            precision=machine.precision,
            repeats=1 if machine.dry else 6,
            threads=torch.get_num_threads(),
            compiled=by_compiler,
            plain=False,
            fast_forms=setting_of_forms,
            compile_form=compile_form or BLOCKS,
        )
        times = time_engine(name, setting)
        free()
        if setting_of_forms == ALWAYS and not (times.forms or by_compiler or fast_only):
            report.add("speed", f"{name} fast", "no faster form")
            continue
        forms = [*times.forms, *["compiled"] * by_compiler] or ["plain"]
        forms += ["graphs"] * (compile_form == GRAPHS)
        part = "speed" if not by_compiler else "graphs" if compile_form == GRAPHS else "compiled"
        what = f"{name} {' '.join(forms)}"
        report.add(part, what, _speed(times, floor, setting, least, machine))


def _speed(times: EngineTimes, floor: Floor, setting: Setting, least: float, machine: Machine) -> str:
    step, batch = min(times.train), setting.batch
    tflops = floor.flops * batch / step / 1e12
    return (
        f"{batch / step:.4g} windows/s, validating {setting.scored / min(times.score):.4g}, predicting "
        f"{setting.scored / min(times.predict):.4g}; MFU "
        f"{100 * tflops / machine.sheet_tflops:.1f} % of {machine.sheet}, "
        f"{100 * tflops / machine.product_tflops:.1f} % of a matrix product; "
        f"{100 * least / step:.0f} % of the floor; peak {times.peak_memory_gb:.3g} GB; "
        f"first step {times.first_seconds:.3g} s"
        + (f", of which compiling {times.compile_seconds:.3g} s" if times.compile_seconds else "")
    )


def check_forms(report: Report, machine: Machine) -> None:
    """Float32 on the narrow models, bf16 on the full ones as they will be timed."""
    small = Sizes(window=8, size=32, batch=2) if machine.dry else Sizes(window=16, size=64, batch=4)
    for name in DRY if machine.dry else NARROW:
        report.run("forms", name, 15, lambda name=name: check_form(report, machine, name, small))
    full = Sizes(window=32, size=224, batch=2)
    if machine.gpus:
        for name in FULL[:4]:
            report.run("forms", name, 25, lambda name=name: check_mixed(report, machine, name, full))
    for name in DRY[2:] if machine.dry else FULL:
        sizes = small if machine.dry else full
        report.run("forms", f"{name} layers", 10, lambda n=name, s=sizes: check_layers(report, machine, n, s))


def time_models(report: Report, machine: Machine, *, fast_only: bool = False) -> None:
    """Every model, both forms, or the fast one alone."""
    sizes = Sizes(window=8, size=32, batch=2) if machine.dry else Sizes(window=32, size=224, batch=16)
    for name in DRY[1:2] if machine.dry else FULL:
        assert MODELS[name].sees == "window"
        report.run(
            "speed", name, 25, lambda name=name: time_model(report, machine, name, sizes, fast_only=fast_only)
        )


def time_compiled_models(report: Report, machine: Machine) -> None:
    """The models whose steps are most of all made of small operations, compiled by blocks."""
    _time_compiled(report, machine, "compiled", COMPILED, BLOCKS)


def time_graphs(report: Report, machine: Machine) -> None:
    """The models whose steps launches may bind, in CUDA graphs."""
    _time_compiled(report, machine, "graphs", IN_GRAPHS, GRAPHS)


def _time_compiled(report: Report, machine: Machine, part: str, models: list[str], form: str) -> None:
    sizes = Sizes(window=8, size=32, batch=2) if machine.dry else Sizes(window=32, size=224, batch=16)
    if machine.dry:
        compiled.BACKEND = "eager"  # which needs no C++ compiler
    for name in DRY[1:2] if machine.dry else models:
        report.run(
            part, name, 60, lambda name=name: time_model(report, machine, name, sizes, compile_form=form)
        )
