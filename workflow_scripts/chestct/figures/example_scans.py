"""Single test scans that stand for an outcome: what was shown to the model, and its scores along the scan.

Figures are passed on: they carry no identifier, and no picture of a scan that may have a name burned into it.
A scan is named by its line in the dataset's ledger.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.figures.study_tables import StudyTables
from chestct.pictures import may_be_shown
from chestct.run import RUN_KEYS
from chestct.tables import read_table
from chestct.volume_store import read_slices

_log = logging.getLogger(__name__)

#: Outcomes, by row (label) and column (called positive or not) of a table of decisions.
OUTCOMES = {
    "true_positive": "True positive",
    "false_negative": "False negative",
    "false_positive": "False positive",
    "true_negative": "True negative",
}
#: Slices of a window that are shown, at most; every strip has room for as many.
NUM_SLICES = 4


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test scan that stands for an outcome.

    Attributes:
        dataset: test set that it belongs to.
        outcome: one of ``OUTCOMES``.
        line: of the scan in the ledger.
        score, threshold: of the scan; positive is what lies above.
        top: first slice of its highest-scoring window, and one past the last one.
        windows: columns start, stop, score of all its windows.
        marked: slices that readers marked, ascending.
        num_slices: of the scan.
        planes: slices of that window as the model sees them, in [0, 1], shape (slices, rows, columns); None
            where no picture may be shown, or there is none.
    """

    dataset: str
    outcome: str
    line: int
    score: float
    threshold: float
    top: tuple[int, int]
    windows: pd.DataFrame
    marked: np.ndarray
    num_slices: int
    planes: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the scans of a dataset are described.

    Attributes:
        ledger, index: its tables.
        slices: its windows of single slices, with the marks; None where its source marks none.
        display_window_hu: centre and width with which its models see it.
        otherwise: of scans whose headers do not say whether text is burned into their pixels (``pictures``).
    """

    ledger: Path
    index: Path
    slices: Path | None
    display_window_hu: Mapping[str, float]
    otherwise: str


def read_examples(
    study: StudyTables,
    files: Mapping[str, Files],
    window_scores: Mapping[tuple[str, str], str | Path],
    crop_px: Mapping[str, int],
) -> list[Example]:
    """The examples of a study, by dataset, outcome and rank.

    Args:
        study: tables of the study.
        files: of every dataset (``StudyTables.scanned``).
        window_scores: paths of the tables of that name, by test set and model.
        crop_px: rows and columns that a model sees, by model.

    Raises:
        InputError: a table is missing or broken.
    """
    examples = []
    for dataset in study.datasets:
        rows = study.examples[study.examples["dataset"] == dataset]
        if rows.empty:
            continue
        own, trained = files[study.scans_from(dataset)], files[study.trained_on(dataset)]
        first = rows.iloc[0]
        display_window, crop = trained.display_window_hu, crop_px[first["model"]]
        ledger, index = read_table(own.ledger, "ledger"), read_table(own.index, "index")
        lines = dict(zip(ledger["study_id"], range(2, len(ledger) + 2), strict=True))
        said = ledger.set_index("study_id")["burned_in_annotation"]
        stores = dict(zip(index["study_id"], index["store"], strict=True))
        lengths = dict(zip(index["study_id"], index["num_slices"], strict=True))
        scores = read_table(window_scores[dataset, first["model"]], "window_scores")
        scores = scores.merge(rows[[*RUN_KEYS, "study_id"]], on=[*RUN_KEYS, "study_id"])
        marks = _marks(own.slices, rows["study_id"])
        for row in rows.to_dict("records"):  # in the order of outcomes and ranks
            study_id = row["study_id"]
            store = stores[study_id]
            shown = may_be_shown(said.get(study_id), own.otherwise)
            examples.append(
                Example(
                    dataset=dataset,
                    outcome=row["outcome"],
                    line=lines[study_id],
                    score=row["score"],
                    threshold=row["threshold"],
                    top=(int(row["top_start"]), int(row["top_stop"])),
                    windows=scores.loc[scores["study_id"] == study_id, ["start", "stop", "score"]],
                    marked=marks.get(study_id, np.empty(0, dtype=int)),
                    num_slices=int(lengths[study_id]),
                    planes=_planes(store, row, display_window, crop) if shown else None,
                )
            )
    return examples


def _marks(path: Path | None, study_ids: pd.Series) -> dict[str, np.ndarray]:
    """Marked slices of scans."""
    if path is None:
        return {}
    slices = read_table(path, "windows")
    marked = slices[(slices["num_positive_slices"] > 0) & slices["study_id"].isin(set(study_ids))]
    return {
        str(study_id): np.sort(part["start"].to_numpy(dtype=int))
        for study_id, part in marked.groupby("study_id")
    }


def _planes(
    store: str, row: Mapping[Any, Any], window: Mapping[str, float], crop_px: int
) -> np.ndarray | None:
    """Slices of the highest-scoring window, cropped and with the display window; None without the volume."""
    if not Path(store).is_file():
        return None
    try:
        hu = read_slices(store, row["study_id"], int(row["top_start"]), int(row["top_stop"]))
    except InputError as error:
        _log.warning("no picture of a window: %s", error.what)
        return None
    number = min(NUM_SLICES, len(hu))
    if not number:
        return None
    # The middle slice of each of as many equal parts.
    hu = hu[(2 * np.arange(number) + 1) * len(hu) // (2 * number)]
    top, left = ((size - crop_px) // 2 for size in hu.shape[1:])
    hu = hu[:, top : top + crop_px, left : left + crop_px].astype(np.float32)
    return np.clip((hu - (window["centre"] - window["width"] / 2)) / window["width"], 0, 1)
