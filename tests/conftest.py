import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real CT data, which is no part of the project; tests that need it skip without."""
    folder = Path(os.environ.get("CHESTCT_SHARED", ROOT.parent / "shared"))
    if not (folder / "real_ct").is_dir():
        pytest.skip(f"no real CT data at {folder} (set CHESTCT_SHARED)")
    return folder
