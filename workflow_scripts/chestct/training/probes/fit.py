"""Fits the heads of all runs of a probe's arm, from features that were computed once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chestct.files import digest_object
from chestct.run import Run
from chestct.training.header import HEAD
from chestct.training.machine.device import peak_memory_mb
from chestct.training.probes.features import Features, digest_of, read_features
from chestct.training.probes.heads import STRENGTHS, Head, fit_heads, window_weights
from chestct.training.record import write_results
from chestct.training.scoring import largest, validation_metrics
from chestct.training.windows.dataset import Scan, drawn_parts
from chestct.training.windows.scans import load_scans

#: Columns of a record that are those of the network that gave the features.
_OF_NETWORK = (
    "initial_weights",
    "initial_weights_sha256",
    "initial_stand_in",
    "num_parameters",
    "device",
    "cudnn",
    "scores_in",
)
#: Columns of a record that a probe has no value for.
_ONLY_OF_TRAINING = (
    "learning_rate",
    "num_steps",
    "budget_windows",
    "patience_windows",
    "best_step",
    "best_windows_seen",
)


@dataclass(frozen=True, kw_only=True)
class ProbesJob:
    """The runs of a probe's arm, with all that fitting them takes.

    Attributes:
        runs: the runs.
        features: paths of the features that each of them reads.
        subsets: paths of the tables of the scans whose labels each of them sees.
        negative_windows: scans that negative training windows come from, negative_scans or all_scans.
        window_slices: slices that the network sees at once.
        index, windows, splits: paths of the tables.
        code_digest: of the modules that fit.
    """

    runs: Sequence[Run]
    features: Sequence[str]
    subsets: Sequence[str]
    negative_windows: str
    window_slices: int
    index: str
    windows: str
    splits: str
    code_digest: str


def fit_probes(job: ProbesJob, folders: Sequence[str], *, threads: int) -> None:
    """Fit every run and write its weights.safetensors (the head), history.csv, run.csv and config.yaml.

    The learning curve has a row a strength of the penalty. The one with the highest AUROC on validation scans
    is kept; of equals the strongest.

    Args:
        job: the runs of one arm.
        folders: where to write each of them.
        threads: CPU threads that torch may use.

    Raises:
        InputError: features are of other scans or windows, or a set of scans has one class only.
    """
    torch.set_num_threads(threads)
    sharing = {path: job.features.count(path) for path in job.features}
    path_read, features = "", None
    # Runs that share features follow each other, so that one file is in memory at a time.
    for number in sorted(range(len(job.runs)), key=lambda number: job.features[number]):
        path = job.features[number]
        if path != path_read or features is None:
            path_read, features = path, read_features(path)
        _fit_run(job, number, features, Path(folders[number]), sharing=sharing[path])


def _fit_run(job: ProbesJob, number: int, features: Features, folder: Path, *, sharing: int) -> None:
    """Fit one run and write its folder.

    Args:
        job: of the arm.
        number: of the run in the job.
        features: that the run reads.
        folder: where to write.
        sharing: runs that read these features, and share the time that they took.
    """
    begun, run, where = time.perf_counter(), job.runs[number], job.features[number]
    tables = {"index": job.index, "windows": job.windows, "splits": job.splits}
    training, held_out, data_digest = load_scans(tables, job.subsets[number], run, job.window_slices)
    parts = drawn_parts(training, run.model, job.negative_windows)
    windows = _training_windows(training, parts, features, where)
    fit = _fit_best(windows, _ScoredScans(held_out, features, where))
    num_windows, facts = len(windows.labels), features.facts
    found = f"strength {fit.strength:g}, AUROC {fit.auroc:.3f}"
    print(f"{run}: {len(training)} scans, {num_windows} windows, {found}")
    resolved = {
        "run": run.asdict(),
        "features": {key: facts[key] for key in ("settings", "display_window_hu", "intensity")},
        "window_slices": job.window_slices,
        "negative_windows": job.negative_windows,
        "l2_strengths": list(STRENGTHS),
    }
    seconds = time.perf_counter() - begun + facts["seconds"] / sharing
    row = {
        **run.asdict(),
        **{key: facts[key] for key in _OF_NETWORK},
        **dict.fromkeys(_ONLY_OF_TRAINING),
        "num_scans": len(training),
        "num_positive": sum(scan.label for scan in training),
        "l2_strength": fit.strength,
        "accumulate": 1,
        "precision": facts["settings"]["precision"],
        "windows_seen": num_windows,
        "stopped_early": 0,
        "validation_auroc": fit.auroc,
        "seconds": round(seconds, 3),
        "windows_per_second": num_windows / seconds,
        "data_wait_percent": 0.0,
        "peak_memory_mb": max(facts["peak_memory_mb"], peak_memory_mb(0)),
        "resumed": 0,
        "config_digest": digest_object(resolved),
        "code_digest": digest_of(features, job.code_digest),
        "data_digest": data_digest,
    }
    state = {
        f"{features.head}.weight": fit.head.weight.reshape(features.head_shape),
        f"{features.head}.bias": fit.head.bias.reshape(1),
    }
    write_results(folder, state, fit.history, resolved, row, {"holds": HEAD, "run": run.asdict()})


@dataclass(frozen=True, kw_only=True)
class _TrainingWindows:
    """What a head is fitted on.

    Attributes:
        features: of the windows, float32, shape (num_windows, F).
        labels: of the windows, 0 or 1.
        weights: of the windows, that sum to 1.
    """

    features: torch.Tensor
    labels: list[int]
    weights: list[float]


def _training_windows(
    scans: Sequence[Scan], parts: Sequence[Scan], features: Features, where: str
) -> _TrainingWindows:
    """The windows that training draws from parts of scans (``drawn_parts``), as often as it draws them."""
    rows = {key: row for scan in scans for key, row in _rows_of_windows(scan, features, where)}
    weighted = window_weights(parts)
    chosen = [rows[parts[part].study_id, parts[part].starts[window]] for part, window, _ in weighted]
    return _TrainingWindows(
        features=features.values[chosen],
        labels=[parts[part].label for part, _, _ in weighted],
        weights=[weight for *_, weight in weighted],
    )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """The head that is kept, the strength of its penalty, its validation AUROC, and rows of all strengths."""

    head: Head
    strength: float
    auroc: float
    history: list[dict[str, Any]]


def _fit_best(windows: _TrainingWindows, validation: "_ScoredScans") -> _Fit:
    """Fit a head for every strength of the penalty; the first one with the highest AUROC is kept."""
    labels, weights = (
        torch.tensor(values, dtype=torch.float64) for values in (windows.labels, windows.weights)
    )
    history: list[dict[str, Any]] = []
    heads: list[Head] = []
    for strength, head in fit_heads(windows.features, windows.labels, windows.weights):
        losses = nn.functional.binary_cross_entropy_with_logits(
            head.logits(windows.features), labels, reduction="none"
        )
        heads.append(head)
        history.append(
            {
                "step": len(heads),
                "windows_seen": len(labels),
                "learning_rate": None,
                "l2_strength": strength,
                "train_loss": float(losses @ weights),
                **validation.metrics(head),
            }
        )
    best = max(range(len(heads)), key=lambda number: history[number]["validation_auroc"])
    return _Fit(
        head=heads[best],
        strength=STRENGTHS[best],
        auroc=history[best]["validation_auroc"],
        history=history,
    )


def _rows_of_windows(scan: Scan, features: Features, where: str) -> list[tuple[tuple[str, int], int]]:
    """Rows of a scan's windows among the features, by scan and first slice."""
    rows = features.rows_of([scan.study_id], scan.starts, scan.stops, where=where)
    return [((scan.study_id, start), int(row)) for start, row in zip(scan.starts, rows, strict=True)]


class _ScoredScans:
    """Features of all windows of validation scans."""

    def __init__(self, scans: Sequence[Scan], features: Features, where: str) -> None:
        rows = features.rows_of(
            [scan.study_id for scan in scans],
            [start for scan in scans for start in scan.starts],
            [stop for scan in scans for stop in scan.stops],
            where=where,
        )
        self._features = features.values[rows]
        self._labels = torch.tensor([scan.label for scan in scans])
        counts = torch.tensor([len(scan.starts) for scan in scans])
        self._numbers = torch.arange(len(scans)).repeat_interleave(counts)

    def metrics(self, head: Head) -> dict[str, float]:
        """AUROC and loss of the scans (``validation_metrics``)."""
        logits = largest(head.logits(self._features), self._numbers, len(self._labels))
        return validation_metrics(logits, self._labels)
