"""Small pictures of a sample of a dataset's scans, for the quality page of the report.

A converted scan is shown by its middle axial slice and middle coronal plane, a refused one by an axial
slice if one can be read. Reports are passed on, patients' data are not: the pictures carry no identifiers,
and an image that may have a name burned into its pixels is not shown (``pictures``).
"""

import base64
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom

from chestct.image_type import ORIGINAL, kind_of_image, values_of
from chestct.pictures import YES, may_be_shown, of_headers
from chestct.tables import column_types, read_table, write_table
from chestct.volume_store import read_volume
from chestct.volumes.contact_sheet import coronal, fit, to_grey

_TILE_PX = 144
_JPEG_QUALITY = 75
#: Where in a refused series a slice is looked for: near the middle first.
_PLACES = (0.5, 0.4, 0.6, 0.25, 0.75)
#: Files larger than this are not slices.
_MAX_BYTES = 1 << 26


def draw_thumbnails(
    *,
    index_path: str | Path,
    ledger_path: str | Path,
    series_path: str | Path,
    root: str | Path,
    display_window_hu: tuple[float, float],
    burned_in_annotation: str,
    num_tiles: int,
    rng: np.random.Generator,
    thumbnails_path: str | Path,
) -> None:
    """Draw a random sample of converted scans, and one of refused scans.

    Args:
        index_path, ledger_path, series_path: tables of the dataset.
        root: folder that relative paths in the table ``series`` start from.
        display_window_hu: centre and width.
        burned_in_annotation: of scans whose headers do not say whether text is burned in (``pictures``).
        num_tiles: scans of either kind, at most.
        rng: draws the sample.
        thumbnails_path: table to write.

    Raises:
        InputError: a table or a shard is missing or broken.
    """
    ledger = read_table(ledger_path, "ledger")
    index = read_table(index_path, "index").set_index("study_id")
    paths = read_table(series_path, "series").set_index("study_id")["path"]
    rows = []
    for refused in (False, True):
        lines = np.flatnonzero((ledger["status"] == "refused") == refused)
        for line in sorted(rng.choice(lines, min(num_tiles, len(lines)), replace=False)):
            scan = ledger.iloc[line]
            study_id = scan["study_id"]
            spacing_mm, picture = None, None
            if not refused:
                spacing_mm, store = index.loc[study_id, ["spacing_z_mm", "store"]]
                if may_be_shown(scan["burned_in_annotation"], burned_in_annotation):
                    picture = _two_views(store, study_id, display_window_hu)
            elif scan["burned_in_annotation"] is pd.NA or scan["burned_in_annotation"] != YES:
                folder = Path(root) / paths[study_id]
                picture = _preview(folder, display_window_hu, burned_in_annotation)
            row = {name: scan[name] for name in ("status", "reason", "num_slices")}
            rows.append(row | {"ledger_row": line + 2, "spacing_mm": spacing_mm, "jpeg": _encoded(picture)})
    write_table(pd.DataFrame(rows, columns=list(column_types("thumbnails"))), thumbnails_path, "thumbnails")


def _two_views(store: str, study_id: str, display_window_hu: tuple[float, float]) -> np.ndarray:
    """The middle axial slice and the middle coronal plane side by side."""
    volume = read_volume(store, study_id)
    depth_mm, height_mm, width_mm = volume.spacing_mm
    box = (_TILE_PX, _TILE_PX)
    axial = to_grey(volume.hu[len(volume.hu) // 2], display_window_hu)
    views = [
        fit(axial, (height_mm, width_mm), box),
        fit(to_grey(coronal(volume.hu), display_window_hu), (depth_mm, width_mm), box),
    ]
    return np.hstack([_centred(view) for view in views])


def _centred(grey: np.ndarray) -> np.ndarray:
    tile = np.zeros((_TILE_PX, _TILE_PX), dtype=np.uint8)
    y, x = ((_TILE_PX - length) // 2 for length in grey.shape)
    tile[y : y + grey.shape[0], x : x + grey.shape[1]] = grey
    return tile


def _preview(path: Path, display_window_hu: tuple[float, float], burned_in: str) -> np.ndarray | None:
    """A slice of a refused series, or None."""
    try:
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError:
        return None
    for number in dict.fromkeys(int(place * len(files)) for place in _PLACES if files):
        hu = _readable_slice(files[number], burned_in)
        if hu is not None:
            return _centred(fit(to_grey(hu, display_window_hu), (1.0, 1.0), (_TILE_PX, _TILE_PX)))
    return None


def _readable_slice(file: Path, burned_in: str) -> np.ndarray | None:
    """Pixels of a CT slice in HU, (rows, columns), or None.

    Only uncompressed ones, since decoders may crash on damaged data. Screenshots and the like may have
    names in the picture; they call themselves derived, secondary or annotated.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            return None
        dataset = pydicom.dcmread(file)
        shown = (
            dataset.Modality == "CT"
            and kind_of_image(values_of(dataset.get("ImageType"))) == ORIGINAL
            and may_be_shown(of_headers([str(dataset.get("BurnedInAnnotation") or "").upper()]), burned_in)
            and not dataset.file_meta.TransferSyntaxUID.is_compressed
        )
        if not shown:
            return None
        hu = dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(
            dataset.get("RescaleIntercept", 0)
        )
        return hu if hu.ndim == 2 and min(hu.shape) > 1 and np.isfinite(hu).all() else None
    except Exception:  # whatever is wrong with the file is why its scan was refused
        return None


def _encoded(picture: np.ndarray | None) -> str | None:
    if picture is None:
        return None
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return base64.b64encode(content.tobytes()).decode()
