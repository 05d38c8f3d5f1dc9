"""What the benchmarks share: the real series, one thread, fair timing, rows of the table."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pydicom

ROOT = Path(__file__).resolve().parents[1]
SIZE_PX = 256

cv2.setNumThreads(1)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that vanishes; TMPDIR says where."""
    with tempfile.TemporaryDirectory(prefix="chestct-benchmark-") as folder:
        yield Path(folder)


def real_series(folder: Path) -> tuple[Path, str]:
    """Unpack the real LIDC-IDRI series of ../shared (or CHESTCT_SHARED), or make one; say which.

    Returns:
        Folder of the series and words for the table.
    """
    shared = Path(os.environ.get("CHESTCT_SHARED") or ROOT.parent / "shared")
    archive = shared / "real_ct" / "LIDC-IDRI-0001.tar.xz"
    if archive.is_file():
        shutil.unpack_archive(archive, folder / "real")
        (first, *_) = sorted((folder / "real").rglob("*.dcm"))
        return first.parent, f"LIDC-IDRI-0001, {len(list(first.parent.glob('*.dcm')))} slices of 512x512"
    return _generated_series(
        folder / "generated"
    ), "GENERATED series (no real one found), 120 slices of 512x512"


def _generated_series(folder: Path, num_slices: int = 120) -> Path:
    """Smooth tissue with noise in a circle of air; compresses about as a real scan does."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    inside = x**2 + y**2 < 0.9
    for number in range(num_slices):
        tissue = cv2.resize(rng.normal(-300, 500, (16, 16)), (512, 512), interpolation=cv2.INTER_CUBIC)
        hu = np.where(inside, np.clip(tissue + rng.normal(0, 15, (512, 512)), -1000, 1500), -2000)
        _write_slice(folder / f"{number:04d}.dcm", hu.astype(np.int16), number, 2.5)
    return folder


def _write_slice(path: Path, hu: np.ndarray, number: int, spacing_mm: float) -> None:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(f"1.2.826.0.1.3680043.8.498.9.{number}")
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    slice_ = pydicom.Dataset()
    slice_.file_meta = meta
    slice_.SOPClassUID, slice_.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    slice_.Modality, slice_.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.PatientID, slice_.StudyInstanceUID = "generated", "1.2.826.0.1.3680043.8.498.9"
    slice_.SeriesInstanceUID, slice_.InstanceNumber = "1.2.826.0.1.3680043.8.498.9.0", number + 1
    slice_.ImagePositionPatient = [0, 0, spacing_mm * number]
    slice_.ImageOrientationPatient, slice_.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.Rows, slice_.Columns = hu.shape
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 1
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
    slice_.PixelData = hu.astype("<i2").tobytes()
    slice_.save_as(path, enforce_file_format=True)


def lengthened(series: Path, folder: Path, num_slices: int) -> Path:
    """A series of this many slices: its own again and again, each with a place and a UID of its own."""
    folder.mkdir()
    files = sorted(series.glob("*.dcm"))
    first = pydicom.dcmread(files[0])
    x, y, _ = first.ImagePositionPatient
    for number in range(num_slices):
        dataset = pydicom.dcmread(files[number % len(files)])
        dataset.ImagePositionPatient = [x, y, 0.5 * number]
        dataset.SliceThickness = 0.5
        dataset.InstanceNumber = number + 1
        dataset.SOPInstanceUID = f"{first.SeriesInstanceUID[:50]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / f"{number:04d}.dcm")
    return folder


def copies(series: Path, folder: Path, number: int) -> list[Path]:
    """The series several times over, in folders of their own (the files are links)."""
    targets = [folder / f"copy-{i}" for i in range(number)]
    return [Path(shutil.copytree(series, target, copy_function=os.link)) for target in targets]


class Seconds(NamedTuple):
    """Least time that a way took: by the clock, and of the processor."""

    wall: float
    processor: float


def best_seconds(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Seconds]:
    """Run the ways in turn, once unmeasured and then so many times; the least seconds of each.

    In turn, so that a busy moment of the machine hits all alike; the least, since disturbances only add.
    """
    seconds: dict[str, list[Seconds]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            if repeat:
                seconds[name].append(Seconds(time.perf_counter() - wall, time.process_time() - processor))
    return {name: Seconds(*map(min, zip(*values, strict=True))) for name, values in seconds.items()}


def emit(
    what: str, *, baseline: str, ours: str, baseline_value: float, our_value: float, unit: str, ratio: float,
    must: float | None, aim: float, at_most: bool = False, processor_ratio: float | None = None,
    data: str = "",
) -> None:  # fmt: skip
    """Print one row of the table as JSON, for ``run.py``; ``must`` and ``aim`` are limits of ``ratio``.

    ``processor_ratio`` is that of processor times, which tells on a busy machine how far to trust the other.
    """
    print(json.dumps(locals()), flush=True)
