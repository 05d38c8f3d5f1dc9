"""Before the first step of a training: check the GPU's bf16, and compile the network where that pays."""

from chestct.training.compiling import start_compiling
from chestct.training.loop import Step
from chestct.training.machine.bf16_check import check_bf16
from chestct.training.machine.compile_trial import CompileTrial
from chestct.training.machine.computation import Computation
from chestct.training.settings import TrainingSettings


def make_ready(
    step: Step,
    name: str,
    settings: TrainingSettings,
    computation: Computation,
    *,
    num_slices: int,
    windows: tuple[int, int],
    where: str,
) -> CompileTrial | None:
    """Check and compile the network of a step, which then takes its first one.

    Args:
        step: with the model on its device.
        name: of the model in the catalogue.
        settings: of the training.
        computation: where it runs.
        num_slices: that the model sees at once.
        windows: that the run trains on and scores.
        where: what begins, for messages.

    Returns:
        What finds out in the run's own steps whether compiling pays, where that is not known.

    Raises:
        InputError: this GPU computes a layer wrongly in mixed precision, or memory is exhausted.
    """
    if computation.gpus:
        crop, piece = settings.crop_px, computation.batches.piece
        check_bf16(
            step.model,
            (piece, 3, num_slices, crop, crop),
            device=step.device,
            precision=settings.precision,
            where=where,
        )
    return start_compiling(step.model, name, settings, computation, num_slices=num_slices, windows=windows)
