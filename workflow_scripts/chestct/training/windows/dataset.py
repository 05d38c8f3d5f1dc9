"""Scans as windows for training and as whole sets of windows for scoring.

Shape suffixes: B batch, C channel, T slices (z), H rows (y), W columns (x).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from chestct.catalogue import MODELS
from chestct.volume_store import WindowReader


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One scan and its windows.

    Attributes:
        store: path of the shard that holds it.
        starts, stops: slice range of every window.
        window_labels: training label of every window.
        num_slices: that a model sees of a window at most, evenly spaced; None: all of them.
    """

    patient_id: str
    study_id: str
    label: int
    store: str
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    window_labels: tuple[int, ...]
    num_slices: int | None = None

    def read(self, reader: WindowReader, window: int) -> torch.Tensor:
        """One of its windows, by number: int16 HU, (T, H, W)."""
        start, stop = self.starts[window], self.stops[window]
        return torch.from_numpy(reader.read(self.store, self.study_id, start, stop, self.num_slices))


def collect_scans(
    scans: pd.DataFrame,
    index: pd.DataFrame,
    windows: pd.DataFrame,
    labels: dict[str, int],
    num_slices: int | None = None,
) -> list[Scan]:
    """Join the scans of a table (column study_id) with where their voxels and windows are.

    Args:
        scans: with the columns patient_id and study_id.
        index, windows: tables of these schemas.
        labels: by study_id.
        num_slices: that a model sees of a window at most.
    """
    stores = dict(zip(index["study_id"], index["store"], strict=True))
    by_study = {str(study_id): part for study_id, part in windows.groupby("study_id")}
    collected = []
    for patient_id, study_id in zip(scans["patient_id"], scans["study_id"], strict=True):
        part = by_study[study_id]
        collected.append(
            Scan(
                patient_id=patient_id,
                study_id=study_id,
                label=labels[study_id],
                store=stores[study_id],
                starts=tuple(int(v) for v in part["start"]),
                stops=tuple(int(v) for v in part["stop"]),
                window_labels=tuple(int(v) for v in part["label"]),
                num_slices=num_slices,
            )
        )
    return collected


def split_by_label(scans: Iterable[Scan]) -> list[Scan]:
    """The scans in parts whose windows have one label, which is the part's.

    A positive scan gives a part of its positive windows (or slices) and one of the others. Balanced batches
    are drawn from the parts, so that windows without a finding come from scans with one too.
    """
    parts = []
    for scan, label in ((scan, label) for scan in scans for label in (0, 1)):
        chosen = [i for i, found in enumerate(scan.window_labels) if found == label]
        if chosen:
            starts, stops = (tuple(values[i] for i in chosen) for values in (scan.starts, scan.stops))
            labels = (label,) * len(chosen)
            parts.append(replace(scan, label=label, starts=starts, stops=stops, window_labels=labels))
    return parts


def drawn_parts(scans: Sequence[Scan], model: str, negative_windows: str) -> list[Scan]:
    """What training draws from: scans, or the two kinds of windows (or single slices) of every scan.

    Args:
        scans: of the training subset.
        model: that is trained.
        negative_windows: setting of the training.
    """
    of_all_scans = negative_windows == "all_scans" or MODELS[model].sees == "slice"
    return split_by_label(scans) if of_all_scans else list(scans)


def eligible_windows(scan: Scan) -> list[int]:
    """Numbers of the windows of a scan that train: those of its label.

    A positive scan always has a positive window (see subsets.windows).
    """
    return [i for i, label in enumerate(scan.window_labels) if label == scan.label]


class TrainingWindows(Dataset):
    """A random eligible window of a scan: of a positive scan a positive one, else any.

    An item is addressed by (draw, scan index): the draw number seeds the choice, so that batches do
    not depend on worker processes or on how often a scan was read before.
    """

    def __init__(self, scans: list[Scan], *, seed: int) -> None:
        self.scans = scans
        self.seed = seed
        self.reader = WindowReader()

    def __len__(self) -> int:
        return len(self.scans)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, float]:
        """Return (hu_THW int16, label)."""
        draw, position = key
        scan = self.scans[position]
        i = int(np.random.default_rng([self.seed, draw]).choice(eligible_windows(scan)))
        return scan.read(self.reader, i), float(scan.label)


class ScoringWindows(Dataset):
    """Every window of every scan, in order."""

    def __init__(self, scans: list[Scan]) -> None:
        self.items = [(number, i) for number, scan in enumerate(scans) for i in range(len(scan.starts))]
        self.scans = scans
        self.reader = WindowReader()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        """Return (hu_THW int16, number of the scan)."""
        number, i = self.items[position]
        return self.scans[number].read(self.reader, i), number
