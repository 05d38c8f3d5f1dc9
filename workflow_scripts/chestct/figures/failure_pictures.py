"""The scans that a good run gets most wrong, with slices of their highest-scoring windows, for the report.

Reports are passed on: pictures and words carry no identifier; a scan is named by its line in the ledger.
"""

import base64
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from chestct.errors import InputError
from chestct.figures import style
from chestct.figures.study_tables import StudyTables
from chestct.pictures import ABSENT, may_be_shown
from chestct.tables import read_table
from chestct.volume_store import read_slices

_log = logging.getLogger(__name__)

_TILE_PX, _GAP_PX, _NUM_SLICES = 144, 4, 2
_JPEG_QUALITY = 75


def failures_of(
    study: StudyTables,
    ledgers: Sequence[str | Path],
    indexes: Sequence[str | Path],
    display_windows_hu: Mapping[str, Mapping[str, float]],
    burned_in_annotation: Mapping[str, str],
) -> list[dict[str, Any]]:
    """What the report shows of every dataset's failures.

    Args:
        study: tables of the study.
        ledgers, indexes: one table per dataset, in the order of ``study.scanned``.
        display_windows_hu: centre and width by dataset; without one there are no pictures. Scans of a
            test set outside the training set are shown as the models saw them.
        burned_in_annotation: by dataset whose scans they are, of scans whose headers do not say whether text
            is burned into their pixels (``pictures``).

    Returns:
        Per dataset with failures: dataset; run, in words; false_positives and false_negatives: number of all,
        and tiles (dicts with caption, alt, jpeg) of the worst.
    """
    parts = []
    tables = dict(zip(study.scanned, zip(ledgers, indexes, strict=True), strict=True))
    for dataset in study.datasets:
        rows = study.failures[study.failures["dataset"] == dataset]
        if rows.empty:
            continue
        ledger_path, index_path = tables[study.scans_from(dataset)]
        ledger = read_table(ledger_path, "ledger")
        lines = dict(zip(ledger["study_id"], range(2, len(ledger) + 2), strict=True))
        stores = _shown_stores(
            ledger, index_path, burned_in_annotation.get(study.scans_from(dataset), ABSENT)
        )
        window = display_windows_hu.get(study.trained_on(dataset))
        first = rows.iloc[0]
        part: dict[str, Any] = {
            "dataset": dataset,
            "run": style.run_title(first.to_dict()),
        }
        for kind in ("false_positive", "false_negative"):
            own = rows[rows["kind"] == kind].sort_values(["rank"])
            part[f"{kind}s"] = {
                "number": int(own["num_wrong"].max()) if len(own) else 0,
                "tiles": [
                    {
                        "caption": _caption(row, lines[row["study_id"]]),
                        "alt": f"Slices of the highest-scoring window of a {kind.replace('_', ' ')} scan",
                        "jpeg": _picture(stores.get(row["study_id"]), row, window),
                    }
                    for row in own.to_dict("records")
                ],
            }
        parts.append(part)
    return parts


def _shown_stores(ledger: pd.DataFrame, index_path: str | Path, burned_in_annotation: str) -> pd.Series:
    """Shards by study_id, of the scans that may be shown."""
    said = ledger.set_index("study_id")["burned_in_annotation"]
    stores = read_table(index_path, "index").set_index("study_id")["store"]
    return stores[[may_be_shown(said.get(study_id), burned_in_annotation) for study_id in stores.index]]


def _caption(row: Mapping[Any, Any], line: int) -> str:
    words = [
        f"score {row['score']:.3f}, threshold {row['threshold']:.3f}",
        f"slices {row['top_start'] + 1} to {row['top_stop']}",
    ]
    if row["kind"] == "false_negative" and row["num_marked_windows"]:
        words.append(f"{'holds a' if row['top_marked'] else 'no'} marked slice")
    if pd.notna(row["diameter_mm"]):
        words.append(f"largest nodule {row['diameter_mm']:.0f} mm")
    if pd.notna(row["manufacturer"]):
        words.append(str(row["manufacturer"]))
    if pd.notna(row["slice_thickness_mm"]):
        words.append(f"{row['slice_thickness_mm']:g} mm thick")
    return "; ".join([*words, f"line {line} of the ledger"])


def _picture(store: Any, row: Mapping[Any, Any], window: Mapping[str, float] | None) -> str | None:
    """Slices at a third and two thirds of the window, JPEG as Base64; None without the volume."""
    if window is None or store is None or not Path(str(store)).is_file():
        return None
    try:
        hu = read_slices(str(store), row["study_id"], int(row["top_start"]), int(row["top_stop"]))
    except InputError as error:
        _log.warning("no picture of a failure: %s", error.what)
        return None
    if not len(hu):
        return None
    places = [len(hu) * (number + 1) // (_NUM_SLICES + 1) for number in range(_NUM_SLICES)]
    values = (
        (hu[places].astype(np.float32) - (window["centre"] - window["width"] / 2)) * 255 / window["width"]
    )
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    strip = Image.new("L", (_NUM_SLICES * (_TILE_PX + _GAP_PX) - _GAP_PX, _TILE_PX), color=255)
    for number, plane in enumerate(grey):
        tile = Image.fromarray(plane).resize((_TILE_PX, _TILE_PX), Image.Resampling.BILINEAR)
        strip.paste(tile, (number * (_TILE_PX + _GAP_PX), 0))
    buffer = io.BytesIO()
    strip.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
