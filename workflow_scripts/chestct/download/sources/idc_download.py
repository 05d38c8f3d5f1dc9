"""LIDC-IDRI's series from Imaging Data Commons' public bucket: planned, fetched, verified, resumed."""

import logging
from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom

from chestct.download.sources import idc_index
from chestct.download.transfer import s3 as idc_s3
from chestct.download.transfer.retries import (
    ByteProgress,
    TransferSettings,
    Unobtainable,
    check_space,
    disk_errors,
    transfer_all,
)
from chestct.download.transfer.s3 import RemoteFile
from chestct.errors import InputError

_SET_ASIDE = "not_in_index"  # folder, in a series' folder, of files that the bucket does not have


def series_path(patient_id: str, study_id: str, series_id: str) -> str:
    """Folder of a series, relative to the dataset's folder: The Cancer Imaging Archive's layout."""
    return f"{patient_id}/{study_id}/{series_id}"


def _places(series_rows: pd.DataFrame, collection: str) -> list[dict[Hashable, Any]]:
    """The listed series with bucket and prefix from the index.

    Raises:
        InputError: the index is another than the one the series were listed from.
    """
    keys = ["patient_id", "study_id", "series_id", "num_instances", "num_bytes"]
    placed = series_rows.merge(idc_index.read_collection(collection), on=keys)
    if len(placed) != len(series_rows):
        lost = sorted(set(series_rows["series_id"]) - set(placed["series_id"]))
        raise InputError(
            f"{len(lost)} listed series are not, or otherwise, in the index",
            where=f"{idc_index.index_version()}, e.g. series {lost[0]}",
            expected="the index that the series were listed from",
            remedy="delete the dataset's series.csv, so that the rule list_series runs again",
        )
    return placed.to_dict("records")


def _set_in_order(folder: Path, files: list[RemoteFile]) -> None:
    """Remove what a killed run left, and set aside DICOM files that the bucket does not have.

    Those are of another version of the series; left where they are they would count as its slices.
    """
    names = {file.name for file in files}
    extra = []
    for path in list(folder.iterdir()):
        if idc_s3.is_leftover(path):
            path.unlink(missing_ok=True)
        elif path.suffix.lower() == ".dcm" and path.name not in names:
            (folder / _SET_ASIDE).mkdir(exist_ok=True)
            path.rename(folder / _SET_ASIDE / path.name)
            extra.append(path.name)
    if extra:
        logging.warning(
            "%s: %d files that the bucket does not have, e.g. %s, were moved to %s in it: they are not used",
            folder,
            len(extra),
            min(extra),
            _SET_ASIDE,
        )


def _lacking(
    client: Any, row: Mapping[Hashable, Any], root: Path, settings: TransferSettings
) -> list[RemoteFile]:
    """Files of a series that are not whole on disk, after the bucket was found to agree with the index.

    Raises:
        InputError: the service refuses or does not answer.
        Unobtainable: ``not_found``, ``incomplete``, or ``altered``.
    """
    files = idc_s3.list_files(client, row["bucket"], row["prefix"], settings)
    size = sum(file.size for file in files)
    if (len(files), size) != (row["num_instances"], row["num_bytes"]):
        raise Unobtainable(
            "incomplete" if len(files) < row["num_instances"] else "altered",
            f"s3://{row['bucket']}/{row['prefix']} holds {len(files)} files, {size} bytes; "
            f"the index says {row['num_instances']} files, {row['num_bytes']} bytes",
        )
    folder = root / row["path"]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _set_in_order(folder, files)
    return [file for file in files if not idc_s3.is_whole(folder / file.name, file)]


def _check_identity(part: Path, row: Mapping[Hashable, Any]) -> None:
    """A file under a series' prefix must say that it is of that series and patient.

    Raises:
        Altered: it says otherwise, or is no DICOM file.
    """
    try:
        header = pydicom.dcmread(
            part, stop_before_pixels=True, specific_tags=["PatientID", "SeriesInstanceUID"]
        )
        said = (str(header.get("PatientID")), str(header.get("SeriesInstanceUID")))
    except OSError:
        raise
    except Exception as error:  # pydicom names no end of what odd bytes can raise
        raise idc_s3.Altered(f"{row['prefix']}: a file is no DICOM file: {error}") from error
    if said != (row["patient_id"], row["series_id"]):
        raise idc_s3.Altered(f"{row['prefix']}: a file says that it is of another patient or series")


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings, collection: str
) -> dict[str, Unobtainable]:
    """Fetch what is lacking of the listed series into root/PATIENT/STUDY/SERIES/NAME.dcm.

    Bucket and index must agree on number and size of a series' files. A file is taken if length and, where
    the bucket gives one, MD5 are as listed and its header names the series; it appears whole or not at
    all. Whole files of an earlier run stay and are not fetched again.

    Args:
        entry: the dataset's entry; ``endpoint_url`` names an endpoint other than AWS.
        root: the dataset's data folder.
        series_rows: of the table ``series``.
        settings: transfers at once (files of all series together), attempts, reserve on the disk.
        collection: collection_id in the index.

    Returns:
        Series that cannot be had, by series_id.

    Raises:
        InputError: the service refuses or does not answer, the disk is full or too small, or the index is
            another than the one the series were listed from.
    """
    rows = _places(series_rows, collection)
    client = idc_s3.make_client(idc_s3.endpoint_of(entry), settings)
    lacking: dict[str, list[RemoteFile]] = {}

    def plan(row: Mapping[Hashable, Any]) -> None:
        lacking[row["series_id"]] = _lacking(client, row, root, settings)

    failed = transfer_all({row["series_id"]: partial(plan, row) for row in rows}, settings)
    num_bytes = sum(file.size for files in lacking.values() for file in files)
    if num_bytes == 0:
        return failed
    check_space(root, num_bytes, settings)
    given_up: set[str] = set()

    def fetch(row: Mapping[Hashable, Any], file: RemoteFile) -> None:
        series_id = row["series_id"]
        if series_id in given_up:
            return
        target = root / row["path"] / file.name
        try:
            idc_s3.fetch(
                client, row["bucket"], file, target, settings, lambda part: _check_identity(part, row)
            )
        except Unobtainable:
            given_up.add(series_id)
            raise
        progress.update(file.size)

    jobs = {
        f"{row['series_id']}/{file.name}": partial(fetch, row, file)
        for row in rows
        for file in lacking.get(row["series_id"], ())
    }
    with ByteProgress(num_bytes, f"{entry['name']}: {len(jobs)} files") as progress:
        for key, error in transfer_all(jobs, settings).items():
            failed.setdefault(key.partition("/")[0], error)
    return failed
