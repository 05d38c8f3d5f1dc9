"""RSPECT from the zip archive of its release, on disk or on a server, without unpacking the rest.

Two archives are known. Kaggle's competition zip, which Kaggle's own client downloads whole. And RSNA's:
AWS's registry of open data lists it as one zip of DICOM and CSV files in a bucket with controlled access;
after accepting RSNA's terms a user is given its address, and only the byte ranges of the wanted series are
fetched. The layout inside is found, not assumed: train.csv and train/STUDY/SERIES/INSTANCE.dcm below any
one folder.
"""

import logging
import os
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from chestct.download.labels.rspect_labels import SAFE_ID
from chestct.download.transfer.disk import check_space, remove_leftovers
from chestct.download.transfer.http import Remote
from chestct.download.transfer.retries import ByteProgress, TransferSettings, Unobtainable, transfer_all
from chestct.download.transfer.zip_archive import Archive
from chestct.download.transfer.zip_directory import check_readable, read_directory
from chestct.download.transfer.zip_members import Member, extract, is_member
from chestct.errors import InputError
from chestct.records import check_record, record
from chestct.tables import check_table, read_table, write_table

REGISTRY = "https://registry.opendata.aws/rsna-pulmonary-embolism-detection"
COMPETITION = "rsna-str-pulmonary-embolism-detection"
_REMEDY = (
    f"set RSPECT_ARCHIVE (or the key `archive`) to the path of the zip that `kaggle competitions download -c "
    f"{COMPETITION}` fetched, or to the address of RSNA's zip (accept RSNA's terms where {REGISTRY} leads; a "
    "signed address expires: renew it); docs/full_study.md tells more"
)
_LAYOUT = "train.csv and train/STUDY/SERIES/INSTANCE.dcm below one folder of the archive"
_MEMBER = (
    rf"^(?P<prefix>(?:.*/)?)train/(?P<study_id>{SAFE_ID})/(?P<series_id>{SAFE_ID})/(?P<name>{SAFE_ID}\.dcm)$"
)

MEMBERS = "archive_members.parquet"


def _archive(entry: dict, settings: TransferSettings) -> Archive:
    location = os.path.expandvars(str(entry["archive"]))
    return Archive(location=location, remedy=_REMEDY, settings=settings)


def shown_location(entry: dict) -> str:
    """Where the archive lies, without what may be a signature."""
    return _archive(entry, TransferSettings()).shown


def steps_by_hand(entry: dict) -> list[str]:
    """What a person must do before the archive can be read; nothing once its place is named."""
    if "${" not in os.path.expandvars(str(entry["archive"])):
        return []
    return [f"with an account, accept the rules of the competition on Kaggle or RSNA's terms; then {_REMEDY}"]


def open_archive(entry: dict, settings: TransferSettings) -> tuple[Archive, Remote]:
    """The archive that the entry's ``archive`` names, and what is known of it before it is read.

    Environment variables in ``archive`` are filled in.

    Raises:
        InputError: a variable is not set; there is no archive, no access or no answer.
    """
    archive = _archive(entry, settings)
    if "${" in archive.location:
        raise InputError(
            f"dataset {entry['name']} needs the path or the address of RSPECT's archive",
            where=f"configuration, datasets, {entry['name']}, key archive (got {entry['archive']!r})",
            expected="a path, https://..., or an environment variable that is set and holds one of them",
            remedy=_REMEDY,
        )
    return archive, archive.probe()


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


def list_members(entry: dict, root: Path, settings: TransferSettings) -> pd.DataFrame:
    """Table ``archive_members`` of the archive, which stays in ``root`` with train.csv.

    The archive's directory is read once; later calls ask only whether the archive is still the same.

    Raises:
        InputError: no archive, no access, a damaged or dangerous one, or one without RSPECT's layout.
    """
    archive, remote = open_archive(entry, settings)
    if (root / MEMBERS).is_file() and (root / "train.csv").is_file():
        try:
            check_record(root / "train.csv")
            known = read_table(root / MEMBERS, "archive_members")
        except InputError as error:
            logging.warning("%s; the archive is listed again", error.what)
        else:
            if not _changed(known, remote):
                return known
    with ByteProgress(0, f"{entry['name']}: directory of the archive") as bar:
        directory = read_directory(archive, remote.size, bar.update)
    table, members = _find(archive, directory)
    path = root / "train.csv"
    member = Member.of(table.to_dict(), path)
    if not is_member(path, member):
        try:
            extract(archive, [member])
        except Unobtainable as error:
            raise archive.refuse(f"train.csv in the archive is damaged: {error.detail}") from error
    record(path)
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


def _changed(members: pd.DataFrame, remote: Remote) -> bool:
    """Whether the archive is not the one that was listed."""
    other = (members["archive_bytes"] != remote.size).any()
    return bool(other or (remote.etag and (members["archive_etag"].dropna() != remote.etag).any()))


def _read_members(path: Path, series_ids: list[str]) -> pd.DataFrame:
    """The table's rows of a few series, in pieces: jobs have less memory than the whole table takes.

    Raises:
        InputError: the table is missing, not what was written, or broken.
    """
    remedy = "list the series again (snakemake --cores all --forcerun list_series)"
    check_record(path, "list of the archive's members", remedy)
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
            remedy=remedy,
        ) from error
    return check_table(table, "archive_members", where=path)


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Take the missing files of the series from the archive; whole ones (by size and CRC-32) stay.

    Returns:
        Series that cannot be obtained: ``not_found`` or ``incomplete`` in the archive, or ``altered``.

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
        wanted = [Member.of(m, root / row["path"] / m["name"]) for m in mine.to_dict("records")]
        remove_leftovers(root / row["path"])
        there = [is_member(m.target, m) for m in wanted]
        if not all(there):
            lacking[row["series_id"]] = [m for m, whole in zip(wanted, there, strict=True) if not whole]
    if not lacking:
        return failed
    archive, remote = open_archive(entry, settings)
    if _changed(members, remote):
        raise InputError(
            "the archive is not the one that was listed",
            where=archive.shown,
            expected=f"{members['archive_bytes'].iloc[0]} bytes, ETag {members['archive_etag'].iloc[0]}; "
            f"got {remote.size} bytes, ETag {remote.etag}",
            remedy="list the series again (snakemake --cores all --forcerun list_series)",
        )
    check_space(root, sum(m.num_bytes for wanted in lacking.values() for m in wanted), settings)
    packed = sum(m.compressed_bytes for wanted in lacking.values() for m in wanted)
    with ByteProgress(packed, f"{entry['name']}: {len(lacking)} series") as bar:
        jobs = {key: partial(extract, archive, wanted, bar.update) for key, wanted in lacking.items()}
        return failed | transfer_all(jobs, settings)
