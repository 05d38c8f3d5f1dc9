"""A few nodules in the published layout, with their label table, in every form that a dataset may have."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from chestct.download.sources.lidc_nodules import COMMIT
from chestct.tables import check_table

TOP = "LIDC-IDRI-slices"
#: Slices by folder; the last is in no cluster of annotations.
DEPTHS = {"P-1/nodule-0": 4, "P-1/nodule-1": 1, "P-2/nodule-0": 11, "P-2/nodule-1": 3}
UNMAPPED = "P-2/nodule-1"


def pictures(side: int = 128) -> dict[str, bytes]:
    """Files of the layout by name, as PNG."""
    rng = np.random.default_rng(0)
    files = {}
    for folder, depth in DEPTHS.items():
        for k in range(depth):
            plane = rng.integers(0, 256, (side, side), dtype=np.uint8)
            files[f"{TOP}/{folder}/images/slice-{k}.png"] = png(plane)
            files[f"{TOP}/{folder}/mask-0/slice-{k}.png"] = png(np.full((side, side), 255, np.uint8))
    return files


def png(plane: np.ndarray) -> bytes:
    """A picture as PNG."""
    return cv2.imencode(".png", plane)[1].tobytes()


def stack(files: Mapping[str, bytes], folder: str) -> np.ndarray:
    """The central 64 x 64 pixels of a nodule's slices."""
    planes = [files[f"{TOP}/{folder}/images/slice-{k}.png"] for k in range(DEPTHS[folder])]
    decoded = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_UNCHANGED) for one in planes]
    return np.stack(decoded)[:, 32:96, 32:96]


def table(files: Mapping[str, bytes]) -> pd.DataFrame:
    """Rows as ``read_nodules`` gives them, of all nodules but one."""
    rows = [
        {
            "folder": folder,
            "num_slices": DEPTHS[folder],
            "pixel_spacing_mm": 0.5859375,
            "slice_spacing_mm": 1.25,
            "slice_thickness_mm": 2.5,
            "num_readers": readers,
            "volume_mm3": volume,
            "malignancy": malignancy,
            "texture": texture,
            "annotations": "1",
            "crc32": f"{zlib.crc32(np.ascontiguousarray(stack(files, folder))):08x}",
        }
        for folder, readers, volume, malignancy, texture in (
            ("P-1/nodule-0", 4, 100.0, 4.5, 5.0),
            ("P-1/nodule-1", 2, 50.0, 5.0, 5.0),
            ("P-2/nodule-0", 3, 900.0, 3.0, 4.0),
        )
    ]
    nodules = check_table(pd.DataFrame(rows), "lidc_nodules", where="sample")
    patients = nodules["folder"].str.partition("/")[0]
    return nodules.assign(patient_id=patients, study_id=nodules["folder"].str.replace("/", "_", regex=False))


def write_folder(files: Mapping[str, bytes], folder: Path) -> Path:
    """The layout on disk."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(files: Mapping[str, bytes], commit: str = COMMIT) -> bytes:
    """The layout as a code host packs a commit of it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = commit.encode()
        archive.writestr(f"repo-{commit}/README.md", "nodules")
        for name, content in files.items():
            archive.writestr(f"repo-{commit}/data/{name}", content)
    return sink.getvalue()


def packed(files: Mapping[str, bytes], path: Path, **changes: np.ndarray) -> Path:
    """The nodules that the label table knows in one file."""
    folders = [folder for folder in DEPTHS if folder != UNMAPPED]
    arrays = {
        "slices": np.concatenate([stack(files, folder) for folder in folders]),
        "offsets": np.cumsum([0, *(DEPTHS[folder] for folder in folders)]).astype(np.int32),
        "volume_id": np.array([folder.replace("/", "_") for folder in folders]),
    }
    np.savez_compressed(path, **arrays | changes)
    return path
