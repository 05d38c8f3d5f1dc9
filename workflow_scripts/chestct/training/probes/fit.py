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
    begun, run, where = time.perf_counter(), job.runs[number], job.features[number]
    tables = {"index": job.index, "windows": job.windows, "splits": job.splits}
    training, held_out, data_digest = load_scans(tables, job.subsets[number], run, job.window_slices)
    parts = drawn_parts(training, run.model, job.negative_windows)
    weighted = window_weights(parts)
    places = {key: row for scan in training for key, row in _places(scan, features, where)}
    rows = [places[parts[part].study_id, parts[part].starts[window]] for part, window, _ in weighted]
    labels, weights = [parts[part].label for part, _, _ in weighted], [weight for *_, weight in weighted]
    x_NF = features.values[rows]
    validation = _ScoredScans(held_out, features, where)
    history: list[dict[str, Any]] = []
    best: tuple[float, int, Head] | None = None
    for step, (strength, head) in enumerate(fit_heads(x_NF, labels, weights), start=1):
        losses = nn.functional.binary_cross_entropy_with_logits(
            head.logits(x_NF), torch.tensor(labels, dtype=torch.float64), reduction="none"
        )
        row = {"step": step, "windows_seen": len(rows), "learning_rate": None, "l2_strength": strength}
        row["train_loss"] = float(losses @ torch.tensor(weights, dtype=torch.float64))
        history.append(row | validation.metrics(head))
        if best is None or history[-1]["validation_auroc"] > best[0]:
            best = history[-1]["validation_auroc"], step, head
    assert best is not None
    auroc, step, head = best
    strength, facts = STRENGTHS[step - 1], features.facts
    print(f"{run}: {len(training)} scans, {len(rows)} windows, strength {strength:g}, AUROC {auroc:.3f}")
    resolved = {
        "run": run.asdict(),
        "features": {key: facts[key] for key in ("settings", "display_window_hu", "intensity")},
        "window_slices": job.window_slices,
        "negative_windows": job.negative_windows,
        "l2_strengths": list(STRENGTHS),
    }
    of_network = (
        "initial_weights",
        "initial_weights_sha256",
        "initial_stand_in",
        "num_parameters",
        "device",
        "cudnn",
    )
    seconds = time.perf_counter() - begun + facts["seconds"] / sharing
    write_results(
        folder,
        {
            f"{features.head}.weight": head.weight.reshape(features.head_shape),
            f"{features.head}.bias": head.bias.reshape(1),
        },
        history,
        resolved,
        {
            **run.asdict(),
            **{key: facts[key] for key in of_network},
            **dict.fromkeys(_ONLY_OF_TRAINING),
            "num_scans": len(training),
            "num_positive": sum(scan.label for scan in training),
            "l2_strength": strength,
            "accumulate": 1,
            "windows_seen": len(rows),
            "stopped_early": 0,
            "validation_auroc": auroc,
            "seconds": round(seconds, 3),
            "windows_per_second": len(rows) / seconds,
            "data_wait_percent": 0.0,
            "peak_memory_mb": max(facts["peak_memory_mb"], peak_memory_mb(0)),
            "resumed": 0,
            "config_digest": digest_object(resolved),
            "code_digest": digest_of(features, job.code_digest),
            "data_digest": data_digest,
        },
        {"holds": HEAD, "run": run.asdict()},
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


def _places(scan: Scan, features: Features, where: str) -> list[tuple[tuple[str, int], int]]:
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
