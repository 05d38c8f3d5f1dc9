"""Fixtures of the volumes step's tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import phantom, write_series


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
