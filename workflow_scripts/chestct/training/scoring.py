"""Scores of scans from all their windows, in one pass: the same for validation and for prediction.

Shape suffixes: B batch, T slices (z), H rows (y), W columns (x).
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from chestct.log import REPORT_SECONDS
from chestct.training.machine.processes import Processes
from chestct.training.windows.dataset import Scan, ScoringWindows
from chestct.training.windows.device_input import score_windows
from chestct.training.windows.display_window import InputSettings
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


def window_logits(
    model: nn.Module,
    loader: Iterable[Any],
    input_settings: InputSettings,
    *,
    device: torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logit of every window; the model should be in evaluation mode.

    Args:
        model: gives a logit a window.
        loader: windows and the numbers of their scans (``scoring_loader``).
        input_settings: display window, crop, normalisation.
        device: of the model.
        on_batch: called before every batch with its number; what it raises ends the pass.

    Returns:
        Logits (float32) and numbers of the scans, on the CPU, both of shape (num_windows,), in the loader's
        order.
    """
    logits, numbers = [], []
    with torch.no_grad():
        for number, (hu_BTHW, scans) in enumerate(loader):
            if on_batch is not None:
                on_batch(number)
            logits.append(score_windows(model, hu_BTHW.to(device, non_blocking=True), input_settings).float())
            numbers.append(scans.cpu())
    return torch.cat(logits).cpu(), torch.cat(numbers)


def batch_reporter(num_batches: int) -> Callable[[int], None]:
    """For ``on_batch`` of ``window_logits``: says in the log how far a pass has come."""
    reported = time.perf_counter()

    def on_batch(number: int) -> None:
        nonlocal reported
        if time.perf_counter() - reported >= REPORT_SECONDS:
            print(f"batch {number} of {num_batches}", flush=True)
            reported = time.perf_counter()

    return on_batch


def largest(logits: torch.Tensor, numbers: torch.Tensor, num_scans: int) -> torch.Tensor:
    """The largest logit of every scan, shape (num_scans,); minus infinity for a scan without a window."""
    of_scans = torch.full((num_scans,), -torch.inf, dtype=logits.dtype)
    return of_scans.scatter_reduce_(0, numbers, logits, reduce="amax")


def scan_logits(
    model: nn.Module,
    loader: Iterable[Any],
    num_scans: int,
    input_settings: InputSettings,
    *,
    device: torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """The largest logit over the windows of every scan: ``largest`` of ``window_logits``."""
    logits, numbers = window_logits(model, loader, input_settings, device=device, on_batch=on_batch)
    return largest(logits, numbers, num_scans)


def top_windows(logits: torch.Tensor, numbers: torch.Tensor, num_scans: int) -> torch.Tensor:
    """Where the highest-scoring window of every scan is: its place among all, the first of equals.

    Args:
        logits, numbers: of ``window_logits``, in an order in which a scan's windows follow each other.
        num_scans: number of scans, each with a window.

    Returns:
        int64, shape (num_scans,).
    """
    best = logits == largest(logits, numbers, num_scans)[numbers]
    place = torch.where(best, torch.arange(len(logits)), len(logits) - 1)
    return torch.full((num_scans,), len(logits) - 1).scatter_reduce_(0, numbers, place, reduce="amin")


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
