"""RSPECT from the zip archive of RSNA's open data, by byte range: single studies without the rest.

What is known of the archive: AWS's registry of open data lists it
(https://registry.opendata.aws/rsna-pulmonary-embolism-detection) as one zip of DICOM and CSV files in a
bucket with controlled access; whoever accepts RSNA's terms is given its address. No lasting address is
published, so the user names it. Its inner layout is found, not assumed: train.csv and
train/STUDY/SERIES/INSTANCE.dcm below any one folder.
"""

import logging
import os
import zlib
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from chestct.download.labels.rspect_labels import SAFE_ID
from chestct.download.transfer.http import session, without_secrets
from chestct.download.transfer.retries import (
    ByteProgress,
    TransferSettings,
    Unobtainable,
    check_space,
    transfer_all,
)
from chestct.download.transfer.zip_directory import Archive, check_readable, read_directory
from chestct.download.transfer.zip_members import Member, extract
from chestct.errors import InputError
from chestct.tables import check_table, read_table, write_table

REGISTRY = "https://registry.opendata.aws/rsna-pulmonary-embolism-detection"
_REMEDY = (
    f"accept RSNA's terms and take the archive's address from where {REGISTRY} leads; a signed address "
    "expires: renew it (archive_url may name an environment variable, as ${RSPECT_ARCHIVE_URL})"
)
_LAYOUT = "train.csv and train/STUDY/SERIES/INSTANCE.dcm below one folder of the archive"
_MEMBER = (
    rf"^(?P<prefix>(?:.*/)?)train/(?P<study_id>{SAFE_ID})/(?P<series_id>{SAFE_ID})/(?P<name>{SAFE_ID}\.dcm)$"
)

MEMBERS = "archive_members.parquet"


def open_archive(entry: dict, settings: TransferSettings) -> Archive:
    """The archive that the entry's ``archive_url`` names; environment variables in it are filled in.

    Raises:
        InputError: no address, or a variable that is not set.
    """
    named = str(entry.get("archive_url") or "")
    url = os.path.expandvars(named)
    if not url or "${" in url:
        raise InputError(
            f"dataset {entry['name']} needs the address of RSPECT's archive",
            where=f"configuration, datasets, {entry['name']}, key archive_url (got {named!r})",
            expected="https://..., or an environment variable that is set and holds it",
            remedy=_REMEDY,
        )
    return Archive(client=session(settings.parallel), url=url, remedy=_REMEDY, settings=settings)


def shown_address(entry: dict) -> str:
    """The archive's address without what may be a signature."""
    return without_secrets(os.path.expandvars(str(entry.get("archive_url") or "")))


def _find(archive: Archive, directory: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """The label table's row, and the slices' rows with their identifiers, below the one folder with both."""
    parts = pc.extract_regex(pa.array(directory["name"]), _MEMBER)
    found = pc.indices_nonzero(pc.is_valid(parts))
    slices = pa.Table.from_struct_array(parts.take(found)).to_pandas()
    slices.index = directory.index[found.to_numpy()]
    tables = directory[directory["name"].str.match(r"(?:.*/)?train\.csv$")]
    prefixes = tables["name"].str.removesuffix("train.csv")
    tables = tables[prefixes.isin(slices["prefix"].unique())]
    if len(tables) != 1:
        raise archive.refuse(
            f"{len(tables)} folders of the archive hold train.csv and its series; names in it: "
            f"{directory['name'].head(3).tolist()}",
            expected=_LAYOUT,
        )
    table = tables.iloc[0]
    slices = slices[slices["prefix"] == table["name"].removesuffix("train.csv")]
    members = directory.drop(columns="name").join(slices.drop(columns="prefix"), how="inner")
    check_readable(archive, directory.loc[[*members.index, table.name]])
    return table, members.drop(columns="encrypted")


def _member(row: dict, target: Path) -> Member:
    keys = ("offset", "end", "compressed_bytes", "num_bytes", "crc32", "method")
    return Member(target=target, **{key: int(row[key]) for key in keys})


def _crc32(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def list_members(entry: dict, root: Path, settings: TransferSettings) -> pd.DataFrame:
    """Table ``archive_members`` of the archive, which stays in ``root`` with train.csv.

    The archive's directory is read once; later calls ask only whether the archive is still the same.

    Raises:
        InputError: no archive, no access, a damaged or dangerous one, or one without RSPECT's layout.
    """
    archive = open_archive(entry, settings)
    remote = archive.probe()
    assert remote.size is not None
    if (root / MEMBERS).is_file() and (root / "train.csv").is_file():
        known = read_table(root / MEMBERS, "archive_members")
        if not _changed(known, remote.size, remote.etag):
            return known
    with ByteProgress(0, f"{entry['name']}: directory of the archive") as bar:
        directory = read_directory(archive, remote.size, bar.update)
    table, members = _find(archive, directory)
    path = root / "train.csv"
    if not (path.is_file() and path.stat().st_size == table["num_bytes"] and _crc32(path) == table["crc32"]):
        try:
            extract(archive, [_member(table.to_dict(), path)])
        except Unobtainable as error:
            raise archive.refuse(f"train.csv in the archive is damaged: {error.detail}") from error
    members = members.assign(archive_bytes=remote.size, archive_etag=remote.etag or None)
    # In the order of series: a job that fetches a few of them reads a small part of the table.
    members = members.sort_values(["study_id", "series_id", "offset"])
    write_table(members, root / MEMBERS, "archive_members")
    logging.info(
        "%s: %d members for %d series, %.1f GB packed, %.1f GB unpacked",
        entry["name"],
        len(members),
        members["series_id"].nunique(),
        members["compressed_bytes"].sum() / 1e9,
        members["num_bytes"].sum() / 1e9,
    )
    return check_table(members, "archive_members", where=root / MEMBERS)


def _changed(members: pd.DataFrame, size: int, etag: str | None) -> bool:
    """Whether the archive is another than the one that was listed."""
    other = (members["archive_bytes"] != size).any()
    return bool(other or (etag and (members["archive_etag"].dropna() != etag).any()))


def _read_members(path: Path, series_ids: list[str]) -> pd.DataFrame:
    """The table's rows of a few series, in pieces: jobs have less memory than the whole table takes.

    Raises:
        InputError: the table is missing or broken.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            pieces = [
                piece.filter(pc.is_in(piece["series_id"], pa.array(series_ids, pa.string())))
                for piece in file.iter_batches(1 << 16, use_threads=False)
            ]
            table = pa.Table.from_batches(pieces, file.schema_arrow).to_pandas()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(
            f"the list of the archive's members cannot be read: {error}",
            where=path,
            expected="the table archive_members, which list_series writes",
            remedy="delete it and list the series again (snakemake --forcerun list_series)",
        ) from error
    return check_table(table, "archive_members", where=path)


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Fetch the files of the series that are lacking; whole ones (by size) stay.

    Returns:
        Series that cannot be had: ``not_found`` or ``incomplete`` in the archive, or ``altered``.

    Raises:
        InputError: the archive changed since it was listed, no access, no answer, or the disk is full.
    """
    members = _read_members(root / MEMBERS, series_rows["series_id"].astype(str).tolist())
    failed: dict[str, Unobtainable] = {}
    lacking: dict[str, list[Member]] = {}
    for row in series_rows.to_dict("records"):
        mine = members[members["series_id"] == row["series_id"]]
        if len(mine) < row["num_instances"]:
            failed[row["series_id"]] = Unobtainable(
                "incomplete" if len(mine) else "not_found",
                f"{len(mine)} of {row['num_instances']} files are in the archive",
            )
            continue
        wanted = [_member(m, root / row["path"] / m["name"]) for m in mine.to_dict("records")]
        there = [m.target.is_file() and m.target.stat().st_size == m.num_bytes for m in wanted]
        if not all(there):
            lacking[row["series_id"]] = [m for m, whole in zip(wanted, there, strict=True) if not whole]
    if not lacking:
        return failed
    archive = open_archive(entry, settings)
    remote = archive.probe()
    assert remote.size is not None
    if _changed(members, remote.size, remote.etag):
        raise InputError(
            "the archive is another than the one that was listed",
            where=archive.shown,
            expected=f"{members['archive_bytes'].iloc[0]} bytes, ETag {members['archive_etag'].iloc[0]}; "
            f"got {remote.size} bytes, ETag {remote.etag}",
            remedy=f"delete {root / MEMBERS} and list the series again (snakemake --forcerun list_series)",
        )
    check_space(root, sum(m.num_bytes for wanted in lacking.values() for m in wanted), settings)
    packed = sum(m.compressed_bytes for wanted in lacking.values() for m in wanted)
    with ByteProgress(packed, f"{entry['name']}: {len(lacking)} series") as bar:
        jobs = {key: partial(extract, archive, wanted, bar.update) for key, wanted in lacking.items()}
        return failed | transfer_all(jobs, settings)
