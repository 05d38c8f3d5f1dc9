"""Fixtures of the volumes step's tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import phantom, write_series
from shard_jobs import COPY_UID

from chestct.volumes.volume_file import write_volume_file


@pytest.fixture
def hu() -> np.ndarray:
    """Six slices of int16 HU, 12 x 16 pixels."""
    return phantom()


@pytest.fixture
def series(tmp_path: Path, hu: np.ndarray) -> Path:
    """A flawless series of these slices."""
    return write_series(tmp_path / "series", hu)


@pytest.fixture
def bent_series(tmp_path: Path, hu: np.ndarray) -> Callable[..., Path]:
    """Writes the series with ``write_series``'s arguments."""

    def write(**arguments: object) -> Path:
        return write_series(tmp_path / "bent", hu, **arguments)  # type: ignore[arg-type]

    return write


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A flawless series, one with a gap, one with two copies of a slice, a volume file, a broken one."""
    root = tmp_path / "data"
    write_series(root / "good", phantom((6, 16, 16), seed=1))
    write_series(root / "gap", phantom((6, 16, 16), seed=2))
    (root / "gap" / "003.dcm").unlink()
    write_series(root / "twice", phantom((6, 16, 16), seed=3))
    (root / "twice" / "again.dcm").write_bytes((root / "twice" / "001.dcm").read_bytes())
    copy = pydicom.dcmread(root / "twice" / "001.dcm")
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = COPY_UID
    copy.save_as(root / "twice" / "copy.dcm")
    write_volume_file(root / "v.nii.gz", phantom((5, 8, 8), seed=4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    (root / "broken.nii.gz").write_bytes(b"not a volume")
    return root
