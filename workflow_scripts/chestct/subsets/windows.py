"""Windows that together cover every slice of a scan; their labels are used in training only.

A window is what a model sees at once: consecutive slices, one slice, or the whole scan
(``chestct.window_forms``).
"""

import logging

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.tables import read_table, write_table
from chestct.window_forms import WindowRule

log = logging.getLogger(__name__)


def window_starts(num_slices: int, window: int, stride: int) -> list[int]:
    """First slices of the windows that cover a scan, its last slices included.

    A scan shorter than a window has one window, which the reader pads with air.

    >>> window_starts(24, 16, 6)
    [0, 6, 8]
    """
    last = max(0, num_slices - window)
    return sorted({*range(0, last + 1, stride), last})


def window_places(num_slices: int, rule: WindowRule) -> tuple[list[int], int]:
    """First slices of the windows of a scan, and how many slices each of them is long.

    Args:
        num_slices: of the scan.
        rule: of the form of the windows. A window that is a whole scan ends with its last slice; a scan
            shorter than a window ends with the window, which the reader pads.
    """
    if rule.stride is None:
        return [0], max(num_slices, rule.window)
    return window_starts(num_slices, rule.window, rule.stride), rule.window


def positive_slices(
    slices: pd.DataFrame, slice_labels: pd.DataFrame, *, min_readers: int
) -> dict[str, np.ndarray]:
    """Indices of the positive slices of every scan that has any.

    Args:
        slices: table of schema ``slices``.
        slice_labels: table of schema ``slice_labels``.
        min_readers: readers who must have marked a slice (1 where a dataset has one reading only).

    Returns:
        Sorted slice indices by study_id. Marks are matched by SOP instance; an identical image that was
        dropped means the slice that stayed, which is positive if either is. An instance that is not in the
        scan is matched by its position. Where the labels give none, it is an image that conversion left
        out (a localizer, a reformation, another series): no window holds it, and the log says so.

    Raises:
        InputError: marks lie off the slices of their scan, or none of a scan's marks is on one of its slices.
    """
    labels = slice_labels[slice_labels["study_id"].isin(set(slices["study_id"]))]
    if labels.empty:
        return {}
    labels = labels[labels["num_readers"] >= min_readers]
    merged = labels.merge(
        slices[["study_id", "sop_instance_uid", "slice_index"]],
        on=["study_id", "sop_instance_uid"],
        how="left",
    )
    found = {str(study): list(part["slice_index"].dropna()) for study, part in merged.groupby("study_id")}
    unmatched = merged.loc[merged["slice_index"].isna(), ["study_id", "sop_instance_uid", "z_mm"]]
    lost, nowhere = [], []
    for study_id, uid, z_mm in unmatched.to_numpy(dtype=object):
        if pd.isna(z_mm):
            nowhere.append((study_id, uid))
        elif (index := _slice_at(slices[slices["study_id"] == study_id], float(z_mm))) is not None:
            found[study_id].append(index)
        else:
            lost.append(f"{study_id}: {uid}")
    # Identifiers are unique: one that is found shows that labels and images are of one release.
    lost += [f"{study_id}: {uid}" for study_id, uid in nowhere if not found[study_id]]
    if lost:
        raise InputError(
            f"{len(lost)} marked slice(s) are not in their scans: {lost[:3]}",
            where="slice labels",
            expected="marked slices among the converted ones",
            remedy="check that labels and images are of the same release",
        )
    if nowhere:
        shown = [f"{study_id}: {uid}" for study_id, uid in nowhere[:3]]
        log.warning("%d mark(s) on images that conversion left out: %s", len(nowhere), shown)
    return {study: np.unique(np.asarray(indices, dtype=int)) for study, indices in found.items()}


def _slice_at(slices: pd.DataFrame, z_mm: float) -> int | None:
    """Index of a scan's slice at a position, mm; None where none is nearer than half the slice spacing."""
    own = slices.drop_duplicates("slice_index").sort_values("slice_index")
    z = own["z_mm"].to_numpy(dtype=float)
    spacing = np.diff(z).mean() if len(z) > 1 else 1.0
    distance = np.abs(z - z_mm)
    return int(own["slice_index"].iloc[distance.argmin()]) if distance.min() <= spacing / 2 else None


def list_windows(
    cohort: pd.DataFrame, positives: dict[str, np.ndarray] | None, rule: WindowRule
) -> pd.DataFrame:
    """List the windows of every used scan.

    Args:
        cohort: table of schema ``cohort``.
        positives: indices of positive slices by study, or None where the dataset marks no slices.
        rule: of the form that is listed.

    Returns:
        Table of schema ``windows``. A window with at least ``rule.min_positive`` positive slices is positive.
        If the finding of a positive scan is shorter than that, the windows that hold most of it are
        positive, so that every positive scan has a positive window. Without slice marks a window takes
        the scan's label. Windows of a negative scan are negative.
    """
    used = cohort[cohort["status"] == "used"]
    parts = []
    for study_id, scan_label, num_slices in used[["study_id", "label", "num_slices"]].to_numpy(dtype=object):
        places, width = window_places(int(num_slices), rule)
        starts = np.array(places)
        marked = np.empty(0, dtype=int) if positives is None else positives.get(study_id, np.empty(0, int))
        counts = np.searchsorted(marked, starts + width) - np.searchsorted(marked, starts)
        # A positive scan without a marked slice keeps all its windows positive.
        enough = min(rule.min_positive, counts.max())
        parts.append((starts, starts + width, counts, (counts >= enough) & (scan_label == 1)))
    start, stop, num_positive_slices, label = map(np.concatenate, zip(*parts, strict=True))
    names = used[["dataset", "patient_id", "study_id"]]
    table = names.loc[names.index.repeat([len(starts) for starts, *_ in parts])].reset_index(drop=True)
    return table.assign(
        start=start, stop=stop, num_positive_slices=num_positive_slices, label=label.astype(int)
    )


def write_windows(
    *,
    cohort: str,
    slices: str,
    slice_labels: str,
    output: str,
    rule: WindowRule,
    min_readers: int,
) -> None:
    """Read cohort and slice tables, write the windows of one form."""
    marks = read_table(slice_labels, "slice_labels")
    positives = None
    if not marks.empty:
        positives = positive_slices(read_table(slices, "slices"), marks, min_readers=min_readers)
    table = list_windows(read_table(cohort, "cohort"), positives, rule)
    write_table(table, output, "windows")
    print(table.groupby("label").size())
