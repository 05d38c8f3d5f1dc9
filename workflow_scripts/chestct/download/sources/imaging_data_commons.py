"""Imaging Data Commons: which series a collection holds, by its offline index, and their download.

The index is a file of the package ``idc-index-data``, one row a series of all collections; nothing is
asked on the network. The files lie in a public S3 bucket. Fedorov et al., RadioGraphics 43(12):e230180,
2023, doi 10.1148/rg.230180.
"""

import logging
import re
from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import idc_index_data
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chestct.download.sources.dicom_header import read_header
from chestct.download.transfer import s3
from chestct.download.transfer.disk import check_space, disk_errors, remove_leftovers
from chestct.download.transfer.retries import (
    Altered,
    ByteProgress,
    TransferSettings,
    Unobtainable,
    transfer_all,
)
from chestct.download.transfer.s3 import RemoteFile
from chestct.errors import InputError
from chestct.obtained_files import SET_ASIDE

_COLUMNS = {
    "PatientID": "patient_id",
    "StudyInstanceUID": "study_id",
    "SeriesInstanceUID": "series_id",
    "Modality": "modality",
    "instanceCount": "num_instances",
    "series_size_MB": "num_bytes",
    "series_aws_url": "url",
    "license_short_name": "licence",
    "source_DOI": "doi",
}
_BATCH_ROWS = 65536
_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+)/(?P<prefix>[A-Za-z0-9-]+/)\*")
#: What may become the name of a folder.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def index_path() -> Path:
    """The index file (Parquet)."""
    path = idc_index_data.IDC_INDEX_PARQUET_FILEPATH
    assert path is not None  # None is for releases of the package that carry another format
    return path


def index_version() -> str:
    """Version of the index; its first number is the release of Imaging Data Commons."""
    return f"idc-index-data {idc_index_data.__version__}"


def read_collection(collection: str) -> pd.DataFrame:
    """Series that a collection's own publisher gave, without other people's later analyses of them.

    The index gives sizes in millions of bytes, unrounded, as the sum over a series' files (its own query,
    ``idc_index.sql`` in the package), so they are exact to the byte.

    Returns:
        One row a series, ordered by patient, study, series: patient_id, study_id, series_id, modality,
        num_instances, num_bytes, bucket, prefix (of the objects' keys, ends with a slash), licence, doi.

    Raises:
        InputError: the index does not have the collection, or its rows do not read.
    """
    path = index_path()
    wanted = ["collection_id", "analysis_result_id", *_COLUMNS]
    batches = []
    # In batches: the index has a million rows, and one collection of it is wanted.
    for batch in pq.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=wanted, use_threads=False):
        own = pc.and_(pc.equal(batch["collection_id"], collection), pc.is_null(batch["analysis_result_id"]))
        batches.append(batch.filter(own))
    table = pa.Table.from_batches(batches).to_pandas()[list(_COLUMNS)].rename(columns=_COLUMNS)
    places = table["url"].str.fullmatch(_URL)
    safe = table[["patient_id", "study_id", "series_id"]].apply(lambda ids: ids.str.fullmatch(_SAFE))
    if not len(table) or not (places.all() and safe.all(axis=None)):
        odd = table[~(places & safe.all(axis="columns"))]
        raise InputError(
            f"the index of Imaging Data Commons does not give the collection {collection}",
            where=f"{path}: {len(table)} series, odd: {odd.iloc[0].to_dict() if len(odd) else 'none'}",
            expected="series with identifiers that can be names of folders, and s3://BUCKET/PREFIX/*",
            remedy="install the version of idc-index-data that envs/download.yaml names",
        )
    table = table.join(table["url"].str.extract(_URL)).drop(columns="url")
    table["num_bytes"] = (table["num_bytes"] * 1e6).round().astype("int64")
    table["num_instances"] = table["num_instances"].astype("int64")
    return table.sort_values(["patient_id", "study_id", "series_id"], ignore_index=True)


def _places(series_rows: pd.DataFrame, collection: str) -> list[dict[Hashable, Any]]:
    """The listed series with bucket and prefix from the index.

    Raises:
        InputError: the index is another than the one the series were listed from.
    """
    keys = ["patient_id", "study_id", "series_id", "num_instances", "num_bytes"]
    placed = series_rows.merge(read_collection(collection), on=keys)
    if len(placed) != len(series_rows):
        lost = sorted(set(series_rows["series_id"]) - set(placed["series_id"]))
        raise InputError(
            f"{len(lost)} listed series are missing from the index, or differ there",
            where=f"{index_version()}, e.g. series {lost[0]}",
            expected="the index that the series were listed from",
            remedy="list the series again (snakemake --cores all --forcerun list_series)",
        )
    return placed.to_dict("records")


def _set_in_order(folder: Path, files: list[RemoteFile]) -> None:
    """Remove what a killed run left, and set aside DICOM files that the bucket does not have.

    Those are of another version of the series; left where they are they would count as its slices.
    """
    remove_leftovers(folder)
    names = {file.name for file in files}
    extra = []
    for path in list(folder.iterdir()):
        if path.suffix.lower() == ".dcm" and path.name not in names:
            (folder / SET_ASIDE).mkdir(exist_ok=True)
            path.rename(folder / SET_ASIDE / path.name)
            extra.append(path.name)
    if extra:
        logging.warning(
            "%s: %d files that the bucket does not have, e.g. %s, were moved to %s in it: they are not used",
            folder,
            len(extra),
            min(extra),
            SET_ASIDE,
        )


def _lacking(
    client: Any, row: Mapping[Hashable, Any], root: Path, settings: TransferSettings
) -> list[RemoteFile]:
    """Files of a series that are not whole on disk, after the bucket was found to agree with the index.

    Raises:
        InputError: the service refuses or does not answer.
        Unobtainable: ``not_found``, ``incomplete``, or ``altered``.
    """
    files = s3.list_files(client, row["bucket"], row["prefix"], settings)
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
    return [file for file in files if not s3.is_whole(folder / file.name, file)]


def _check_identity(part: Path, row: Mapping[Hashable, Any]) -> None:
    """A file under a series' prefix must say that it is of that series and patient.

    Raises:
        Altered: it says otherwise, or is no DICOM file.
    """
    try:
        header = read_header(part, ["PatientID", "SeriesInstanceUID"])
    except InputError as error:
        raise Altered(f"{row['prefix']}: a file is no DICOM file: {error.what}") from error
    said = (str(header.get("PatientID")), str(header.get("SeriesInstanceUID")))
    if said != (row["patient_id"], row["series_id"]):
        raise Altered(f"{row['prefix']}: a file says that it is of another patient or series")


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings, collection: str
) -> dict[str, Unobtainable]:
    """Fetch what is missing of the listed series into root/PATIENT/STUDY/SERIES/NAME.dcm.

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
        Series that cannot be obtained, by series_id.

    Raises:
        InputError: the service refuses or does not answer, the disk is full or too small, or the index is
            another than the one the series were listed from.
    """
    rows = _places(series_rows, collection)
    client = s3.make_client(s3.endpoint_of(entry), settings)
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
            s3.fetch(client, row["bucket"], file, target, settings, lambda part: _check_identity(part, row))
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
