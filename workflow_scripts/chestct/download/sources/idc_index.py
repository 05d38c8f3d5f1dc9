"""Imaging Data Commons' offline index: which series a collection holds, where they lie, how large they are.

The index is a file of the package ``idc-index-data``, one row a series of all collections; nothing is
asked on the network. Fedorov et al., RadioGraphics 43(12):e230180, 2023, doi 10.1148/rg.230180.
"""

import re
from pathlib import Path

import idc_index_data
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chestct.errors import InputError

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
