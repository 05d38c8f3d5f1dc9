"""Scores of scans from all their windows, in one pass: the same for validation and for prediction.

Shape suffixes: B batch, T slices (z), H rows (y), W columns (x).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from chestct.training.machine.processes import Processes
from chestct.training.windows.dataset import Scan, ScoringWindows
from chestct.training.windows.display_window import InputSettings, score_windows
from chestct.training.windows.loader import Loader


def scoring_loader(
    scans: list[Scan],
    *,
    batch_size: int,
    num_workers: int,
    pin_memory: bool = False,
    processes: Processes | None = None,
) -> Loader:
    """Batches of all windows of the scans, the last, smaller one kept; or this process's share of them.

    Every process gets as many: some windows come twice, which leaves a maximum as it is.
    """
    processes = processes or Processes()
    dataset = ScoringWindows(scans)
    end = math.ceil(len(dataset) / processes.world) * processes.world
    own = [i % len(dataset) for i in range(processes.rank, end, processes.world)]
    return Loader(dataset, batch_size=batch_size, sampler=own, num_workers=num_workers, pin_memory=pin_memory)


def scan_logits(
    model: nn.Module,
    loader: Iterable[Any],
    num_scans: int,
    input_settings: InputSettings,
    *,
    device: torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """The largest logit over the windows of every scan; the model should be in evaluation mode.

    Args:
        model: gives a logit a window.
        loader: windows and the numbers of their scans (``scoring_loader``).
        num_scans: number of scans.
        input_settings: display window, crop, normalisation.
        device: of the model.
        on_batch: called before every batch with its number; what it raises ends the pass.

    Returns:
        Float32 on the CPU, shape (num_scans,); minus infinity for a scan without a window here.
    """
    logits = torch.full((num_scans,), -torch.inf, device=device)
    with torch.no_grad():
        for number, (hu_BTHW, scans) in enumerate(loader):
            if on_batch is not None:
                on_batch(number)
            scores = score_windows(model, hu_BTHW.to(device, non_blocking=True), input_settings)
            logits.scatter_reduce_(0, scans.to(device, non_blocking=True), scores.float(), reduce="amax")
    return logits.cpu()


def auroc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Area under the ROC curve, by trapezoids in float32; equal scores share a corner of the curve.

    Args:
        scores: shape (N,).
        labels: 0 or 1, both among them, shape (N,).
    """
    order = scores.argsort(descending=True)
    differs = scores[order].diff(append=scores.new_full((1,), torch.inf)) != 0
    (last,) = torch.where(differs)
    true = labels[order].cumsum(0)[last]
    false = last + 1 - true
    zero = torch.zeros(1)
    tpr, fpr = torch.cat([zero, true / true[-1]]), torch.cat([zero, false / false[-1]])
    return float(torch.trapezoid(tpr, fpr))


def validation_metrics(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """AUROC and loss of the logits of scans, as columns of a run's history."""
    loss = float(nn.functional.binary_cross_entropy_with_logits(logits, labels.float()))
    return {"validation_auroc": auroc(logits.sigmoid(), labels), "validation_loss": loss}
