"""Real data that tests may use where it is present: CHESTCT_SHARED, or ../shared beside the repository."""

import os
import tarfile
from pathlib import Path

import pytest


def shared_path(relative: str) -> Path:
    """Path of real data; skips the test where it is absent."""
    root = Path(os.environ.get("CHESTCT_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    path = root / relative
    if not path.exists():
        pytest.skip(f"real data absent: {path} (set CHESTCT_SHARED to the folder that holds it)")
    return path


@pytest.fixture(scope="session")
def real_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the LIDC-IDRI study, unpacked once: PATIENT/STUDY/SERIES/*.dcm and the readers' XML."""
    archive = shared_path("real_ct/LIDC-IDRI-0001.tar.xz")
    folder = tmp_path_factory.mktemp("real_ct")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def real_series(real_ct: Path) -> Path:
    """Folder of the one CT series of that study."""
    (first, *_) = sorted(real_ct.rglob("*.dcm"))
    return first.parent


@pytest.fixture(scope="session")
def real_nodules() -> Path:
    """Folder of 134 nodule cubes (volumes/*.nii.gz) with labels.csv."""
    return shared_path("real_nodules")
