"""The Lightning module: one optimiser, one schedule, one way of scoring, alike for every arm."""

import logging
import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import binary_auroc

from chestct.errors import InputError
from chestct.training.data import Scan
from chestct.training.transforms import InputSettings, augment, score_windows, to_input


class TrainingModule(pl.LightningModule):
    """Trains a model with Adam and a one-cycle schedule (Smith & Topin, 2018) for a fixed number of steps.

    Args:
        model: (B, 3, T, H, W) -> logits.
        loss: (logits, targets) -> scalar.
        prepare: turns a training batch into (input_BCTHW, targets).
        learning_rate: peak of the schedule.
        weight_decay: of Adam.
        num_steps: optimisation steps of the run.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        prepare: Callable[[Any], tuple[torch.Tensor, torch.Tensor]],
        *,
        learning_rate: float,
        weight_decay: float,
        num_steps: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.prepare = prepare
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.num_steps = num_steps
        #: Steps between rows of the history where nothing validates.
        self.record_every: int | None = None
        self.history: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Loss of one batch; a loss that is no number stops the run."""
        inputs, targets = self.prepare(batch)
        loss = self.loss(self.model(inputs), targets)
        if not torch.isfinite(loss):
            raise InputError(
                f"the training loss became {loss.item()} at step {self.global_step}",
                where="training",
                expected="a finite loss",
                remedy="lower learning_rate for this model in the configuration",
            )
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Record the training loss where no validation does."""
        if self.record_every and self.global_step % self.record_every == 0:
            self.record()

    def record(self, **values: float) -> None:
        """Add a row to the history, with the mean training loss since the row before."""
        row: dict[str, float] = {"step": self.global_step, "epoch": self.current_epoch}
        row["train_loss"] = float(torch.stack(self._losses).mean())
        row["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        self._losses.clear()
        self.history.append(row | values)

    def configure_optimizers(self) -> Any:
        """Adam over what has gradients, one-cycle learning rate stepped every batch."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(
            parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.learning_rate, total_steps=self.num_steps + 1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class ScanClassifier(TrainingModule):
    """Fine-tunes on windows, validates on scans, keeps the weights of the best validation.

    A scan's score is the maximum over its windows. The best step has the highest validation AUROC;
    between equals the lower validation loss decides.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        input_settings: InputSettings,
        validation_scans: list[Scan],
        seed: int,
        learning_rate: float,
        weight_decay: float,
        num_steps: int,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(
            model,
            nn.functional.binary_cross_entropy_with_logits,
            self._augmented,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            num_steps=num_steps,
        )
        self.input_settings = input_settings
        self.validation_scans = validation_scans
        self.generator = torch.Generator().manual_seed(seed)
        self.report = report
        self.best: tuple[float, float] = (-math.inf, -math.inf)
        self.best_epoch = 0
        self.best_state: dict[str, torch.Tensor] = {}
        self._scores = torch.empty(0)

    def _augmented(self, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        hu_BTHW, labels = batch
        inputs = to_input(augment(hu_BTHW, self.input_settings, self.generator), self.input_settings)
        return inputs, labels.to(inputs.dtype).unsqueeze(1)

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the validation before."""
        self._scores = torch.full((len(self.validation_scans),), -torch.inf)

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        """Take the maximum over windows into the scores of their scans."""
        hu_BTHW, numbers = batch
        logits = score_windows(self.model, hu_BTHW, self.input_settings)
        self._scores.scatter_reduce_(0, numbers.cpu(), logits.float().cpu(), reduce="amax")

    def on_validation_epoch_end(self) -> None:
        """Record the validation and keep the weights if they are the best so far."""
        labels = torch.tensor([scan.label for scan in self.validation_scans])
        auroc = float(binary_auroc(self._scores.sigmoid(), labels))
        loss = float(self.loss(self._scores, labels.float()))
        self.record(validation_auroc=auroc, validation_loss=loss)
        if (auroc, -loss) > self.best:
            self.best, self.best_epoch = (auroc, -loss), self.current_epoch
            self.best_state = copy_state(self.model)
        self.report(
            f"step {self.global_step}/{self.num_steps}: validation AUROC {auroc:.3f}, loss {loss:.3f}"
        )


def copy_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's state as tensors of their own on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def fit(
    module: TrainingModule,
    training: DataLoader,
    validation: DataLoader | None,
    *,
    num_steps: int,
    validate_every: int | None,
    precision: str,
    gpus: int,
) -> None:
    """Run the Lightning loop for a fixed number of steps.

    Validation counts steps, not epochs, so that small subsets are validated as often as large ones.
    The sanity check before training is off: its results would enter the first history row.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its greetings fill every log
    trainer = pl.Trainer(
        accelerator="gpu" if gpus else "cpu",
        devices=gpus or 1,
        precision=precision,  # type: ignore[arg-type]
        max_steps=num_steps,
        max_epochs=-1,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn",
        use_distributed_sampler=False,
    )
    trainer.fit(module, training, validation)
