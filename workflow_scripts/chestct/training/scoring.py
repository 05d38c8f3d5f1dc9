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
    """Area under the ROC curve: the share of pairs of a positive and a negative scan that are in order.

    Equal scores count half. Pairs are counted in whole numbers, so that equal orders have equal values.

    Args:
        scores: shape (N,); any strictly increasing function of them gives the same value.
        labels: 0 or 1, both among them, shape (N,).
    """
    values, place = scores.unique(return_inverse=True)  # ascending
    positive, negative = (torch.bincount(place[labels == label], minlength=len(values)) for label in (1, 0))
    below = negative.cumsum(0) - negative
    twice = (positive * (2 * below + negative)).sum()
    return int(twice) / int(2 * positive.sum() * negative.sum())


def validation_metrics(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """AUROC and loss of the logits of scans, in float64, as columns of a run's history.

    Logits are ranked, not their sigmoids: in float32 these are 1 from a logit of 18 on.
    """
    logits = logits.double()
    loss = float(nn.functional.binary_cross_entropy_with_logits(logits, labels.double()))
    return {"validation_auroc": auroc(logits, labels), "validation_loss": loss}
