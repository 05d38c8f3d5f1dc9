"""Validation on whole scans: which weights are the best so far, and whether to go on."""

import math
from typing import Any

import torch
from torch import nn

from chestct.errors import DivergenceError
from chestct.training.lean import binary_auroc, pl
from chestct.training.machine.preemption import PreemptedError, Preemption
from chestct.training.machine.processes import Processes
from chestct.training.module import TrainingModule
from chestct.training.progress import Progress
from chestct.training.scoring import scan_logits
from chestct.training.windows.augmentation import InputSettings
from chestct.training.windows.batch_order import begin_pass
from chestct.training.windows.dataset import Scan
from chestct.training.windows.loader import Loader


def copy_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's state as tensors of their own on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


class Validation:
    """Scores the validation scans every so many steps, keeps the best weights, stops without progress.

    A scan's score is the maximum over its windows. The best step has the highest AUROC; between equals the
    lower loss decides. It counts steps, not epochs, so that small subsets are validated as often as large
    ones. Scores are computed in the precision of the training, metrics from them in float32.

    Args:
        scans: validation scans.
        loader: this process's share of their windows.
        every: steps between validations.
        patience: validations without a better step that end the run; 0: none does.
        processes: that score together.
    """

    progress: Progress
    preemption: Preemption

    def __init__(
        self,
        scans: list[Scan],
        loader: Loader,
        input_settings: InputSettings,
        *,
        every: int,
        patience: int,
        processes: Processes,
    ) -> None:
        self.labels = torch.tensor([scan.label for scan in scans])
        self.loader = loader
        self.input_settings = input_settings
        self.every = every
        self.patience = patience
        self.processes = processes
        self.best: tuple[float, float] = (-math.inf, -math.inf)
        self.best_epoch = 0
        self.best_state: dict[str, torch.Tensor] = {}
        self.without_progress = 0

    def run(self, trainer: pl.Trainer, module: TrainingModule, epoch: int) -> None:
        """Validate, record, keep the weights if they are the best, ask the trainer to stop if it is time.

        Args:
            trainer, module: of the run.
            epoch: pass over the training scans that the last step belongs to.

        Raises:
            DivergenceError: scores are no numbers.
            PreemptedError: a signal came; torch's generator is then as if validation had not begun.
        """
        module.look_at_losses()
        random = torch.get_rng_state()
        begin_pass()
        try:
            logits = self._score(trainer, module)
        except PreemptedError:
            torch.set_rng_state(random)
            raise
        if not torch.isfinite(logits).all():
            raise DivergenceError(
                f"scores of validation scans are no numbers at step {module.step}",
                where="training",
                expected="finite scores",
                remedy="lower learning_rate for this model, or replace training.precision 16-mixed",
            )
        auroc = float(binary_auroc(logits.sigmoid(), self.labels))
        loss = float(nn.functional.binary_cross_entropy_with_logits(logits, self.labels.float()))
        mean_loss = self.processes.mean(float(torch.stack(module.losses).mean()))
        module.record(mean_loss, epoch=epoch, validation_auroc=auroc, validation_loss=loss)
        self.progress.show_validation(module, auroc, loss)
        self._judge(trainer, module, (auroc, -loss), epoch)

    def _score(self, trainer: pl.Trainer, module: TrainingModule) -> torch.Tensor:
        def on_batch(number: int) -> None:
            self.preemption.check()
            self.progress.during_validation(number, len(self.loader))

        module.eval()
        with trainer.precision_plugin.val_step_context():
            logits = scan_logits(
                module.model,
                self.loader,
                len(self.labels),
                self.input_settings,
                device=module.device,
                on_batch=on_batch,
            )
        module.train()
        return self.processes.maximum(logits)

    def _judge(
        self, trainer: pl.Trainer, module: TrainingModule, result: tuple[float, float], epoch: int
    ) -> None:
        if result > self.best:
            self.best, self.best_epoch, self.without_progress = result, epoch, 0
            self.best_state = copy_state(module.model) if self.processes.first else {}
            return
        self.without_progress += 1
        if 0 < self.patience <= self.without_progress and module.step < module.schedule.num_steps:
            self.progress.say(f"step {module.step}: no better for {self.without_progress} validations, stops")
            trainer.should_stop = True

    def get_state(self) -> dict[str, Any]:
        """The best so far."""
        names = ("best", "best_epoch", "best_state", "without_progress")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, value in state.items():
            setattr(self, name, value)
