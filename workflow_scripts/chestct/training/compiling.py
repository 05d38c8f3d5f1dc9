"""Compiling the network of a training or scoring job, by ``training.compile``."""

from torch import nn

from chestct.training.compile_choice import (
    ALWAYS,
    AUTO,
    BLOCKS,
    GRAPHS,
    NEVER,
    BothWays,
    measured_on,
    wish,
)
from chestct.training.machine.compile_trial import CompileTrial
from chestct.training.machine.compiled import CompiledModel
from chestct.training.machine.computation import Computation
from chestct.training.machine.device import device_name
from chestct.training.settings import TrainingSettings


def start_compiling(
    model: nn.Module,
    name: str,
    settings: TrainingSettings,
    computation: Computation,
    *,
    num_slices: int,
    windows: tuple[int, int],
) -> CompileTrial | None:
    """Compile the network of a run, at its first batch, where the configuration asks for it or where it pays.

    Args:
        model: on its device.
        name: in the catalogue.
        settings: of the training.
        computation: where it runs.
        num_slices: that it sees at once.
        windows: that the run trains on and scores.

    Returns:
        What finds out in the run's own steps whether it pays, where no measured speed says so; else None.
    """
    chosen, form = wish(settings.compile), settings.compile_form
    if chosen == NEVER or (chosen == AUTO and not computation.gpus):
        return None
    processes = computation.processes

    def say(text: str) -> None:
        if processes.first:
            print(f"{computation.name}: {text}", flush=True)

    if any(isinstance(part, nn.SyncBatchNorm) and part.training for part in model.modules()):
        # It asks which processes had values at all (torch.nn.modules._functions): an exchange, and sizes that
        # are not known before, in every block.
        say("BatchNorm exchanges statistics of several GPUs, which breaks up compiled code: not compiled")
        return None
    if form == GRAPHS and processes.world > 1:
        say("CUDA graphs do not go with several processes: blocks are compiled")
        form = BLOCKS
    if chosen == ALWAYS:
        CompiledModel(model, form, say=say, processes=processes)
        return None
    known = _measured(name, settings, form, gpus=computation.gpus, num_slices=num_slices)
    if known is None:
        num_steps = windows[0] // settings.batch_size
        compiled = CompiledModel(model, form, say=say, processes=processes)
        return CompileTrial(compiled, num_steps, processes, say)
    saved = known.saving(train=windows[0] / processes.world, score=windows[1] / processes.world)
    verdict = "compiled" if saved > 0 else "not compiled"
    say(f"compiling saves {saved:.0f} s of the run, by measured speeds: {verdict}")
    if saved > 0:
        CompiledModel(model, form, say=say, processes=processes)
    return None


def _measured(
    name: str, settings: TrainingSettings, form: str, *, gpus: int, num_slices: int
) -> BothWays | None:
    """What the table of speeds knows of compiling a network on this device."""
    return measured_on(
        device_name(gpus=gpus, world=1),
        name,
        precision=settings.precision,
        window=num_slices,
        size=settings.crop_px,
        form=form,
    )


def compile_for_scoring(
    model: nn.Module, name: str, settings: TrainingSettings, *, gpus: int, num_slices: int, num_windows: int
) -> None:
    """Compile a network that scores windows: always, or where measured speeds say that it pays.

    Args:
        model: on its device or on the CPU still.
        name: in the catalogue.
        settings: of its training.
        gpus: 0: CPU.
        num_slices: that it sees at once.
        num_windows: that the job scores with networks of this kind.
    """
    chosen = wish(settings.compile)
    if chosen == NEVER or (chosen == AUTO and not gpus):
        return
    if chosen == AUTO:
        known = _measured(name, settings, settings.compile_form, gpus=gpus, num_slices=num_slices)
        if known is None or known.saving(predict=num_windows) <= 0:
            return
    CompiledModel(model, settings.compile_form, say=lambda text: print(text, flush=True))
