"""RSPECT (RSNA-STR pulmonary embolism CT): from Kaggle, from RSNA's archive, or from a folder.

Wherever the files come from, they lie as Kaggle has them: train.csv and train/STUDY/SERIES/INSTANCE.dcm.
A study stands for its patient: the published tables name none.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.download.labels.rspect_labels import (
    COLUMNS,
    ID_COLUMNS,
    count_instances,
    instances_of,
    read_labels,
    read_train_csv,
    train_csv,
)
from chestct.download.sources import rspect_archive, study_folders
from chestct.download.transfer.kaggle import CompetitionFiles
from chestct.download.transfer.retries import (
    ByteProgress,
    TransferSettings,
    Unobtainable,
    check_space,
    transfer_all,
)
from chestct.errors import InputError

__all__ = ["COLUMNS", "ID_COLUMNS", "list_series", "manifest", "obtain", "read_labels"]

LAYOUT = "train.csv, train/STUDY/SERIES/INSTANCE.dcm"
COMPETITION = "rsna-str-pulmonary-embolism-detection"
#: As reported by others for all labelled scans.
NUM_SCANS, REPORTED_BYTES = 7279, 900_000_000_000
#: A slice of 512 x 512 pixels of 16 bits and its header; 1.79 M of them make the reported size.
SLICE_BYTES = 512 * 512 * 2 + 2048
_LICENCE = (
    "non-commercial use only, including academic research and education; no attempt to identify anyone; "
    "cite it; the competition's rules forbid redistribution"
)
_CITATION = (
    "Colak E, Kitamura FC, Hobbs SB, et al. The RSNA Pulmonary Embolism CT Dataset. Radiology: Artificial "
    "Intelligence 2021;3(2):e200254. doi:10.1148/ryai.2021200254"
)


def _origin(entry: dict) -> str:
    return str(entry.get("from", "folder"))


def _list_kaggle(entry: dict, root: Path, settings: TransferSettings) -> None:
    """Fetch train.csv, unless it is there."""
    if (root / "train.csv").is_file():
        return
    with CompetitionFiles(COMPETITION, settings) as files, ByteProgress(0, "train.csv") as bar:
        try:
            files.fetch("train.csv", root / "train.csv", bar.update)
        except Unobtainable as error:
            raise InputError(
                f"train.csv cannot be had: {error.detail}",
                where=files.page,
                expected="the competition's label table",
                remedy=f"see whether {files.page}/data offers it; use another origin (key `from`) if not",
            ) from error


def _unlabelled(entry: dict, labelled: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table ``left_out`` for series that exist but that train.csv does not name."""
    rest = pairs.merge(labelled[["study_id", "series_id"]], how="left", indicator=True)
    rest = rest.loc[rest["_merge"] == "left_only", ["study_id", "series_id"]]
    return rest.assign(dataset=entry["name"], patient_id=rest["study_id"], reason="no_label")


def _folder_pairs(folder: Path) -> pd.DataFrame:
    found = [(p.parent.name, p.name) for p in sorted((folder / "train").glob("*/*/")) if p.is_dir()]
    return pd.DataFrame(found, columns=["study_id", "series_id"], dtype="str")


def list_series(
    entry: dict, root: Path, shard_size: int, settings: TransferSettings
) -> study_folders.Listing:
    """List the series of train.csv; a study stands for its patient.

    Left out: ``not_selected``; ``second_series`` of a study (the shorter); ``no_label``, series that the
    folder or the archive holds beyond train.csv.

    Raises:
        InputError: no folder, address or credentials, no or a bad train.csv, or, of a folder, a labelled
            series that is not there.
    """
    origin, base, members = _origin(entry), Path(), pd.DataFrame()
    if origin == "folder":
        base = study_folders.existing_folder(entry, LAYOUT)
    elif origin == "archive":
        members = rspect_archive.list_members(entry, root, settings)
    else:
        _list_kaggle(entry, root, settings)
    labels_path = train_csv(entry, root)
    found = count_instances(read_train_csv(labels_path))
    table = found.assign(
        dataset=entry["name"],
        patient_id=found["study_id"],
        path=[
            str(base / "train" / study / series)
            for study, series in zip(found["study_id"], found["series_id"], strict=True)
        ],
    )
    table, second = _one_a_study(table)
    if origin == "archive":
        sizes = members.groupby("series_id")["num_bytes"].sum()
        table = table.assign(num_bytes=table["series_id"].map(sizes).fillna(0).astype(int))
        pairs = members[["study_id", "series_id"]].drop_duplicates()
    else:
        pairs = _folder_pairs(base) if origin == "folder" else found[["study_id", "series_id"]]
    listing = study_folders.listing(table, entry, shard_size, labels_path)
    if origin == "folder":
        _check_present(entry, base, listing.series)
    parts = [listing.left_out, second, _unlabelled(entry, found, pairs)]
    left_out = pd.concat([part[study_folders.LEFT_OUT_COLUMNS] for part in parts], ignore_index=True)
    for reason, number in left_out["reason"].value_counts().items():
        logging.info("%s: %d series left out, %s", entry["name"], number, reason)
    return study_folders.Listing(series=listing.series, left_out=left_out)


def _one_a_study(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The longest series of every study, and the others with the reason ``second_series``."""
    longest = table.sort_values(["num_instances", "series_id"], ascending=[False, True], kind="stable")
    second = longest["study_id"].duplicated()
    others = longest[second].assign(reason="second_series")
    return table.drop(others.index).reset_index(drop=True), others


def _check_present(entry: dict, folder: Path, series: pd.DataFrame) -> None:
    absent = series[[not Path(path).is_dir() for path in series["path"]]]
    if len(absent):
        raise InputError(
            f"{len(absent)} labelled series have no folder: {absent['study_id'].head(5).tolist()}",
            where=folder / "train",
            expected=LAYOUT,
            remedy=f"complete the folder, or name the studies you have in `patients` of {entry['name']}",
        )


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Fetch the files of the series that are lacking; of a user's folder, check that all are there.

    Returns:
        Series that cannot be had: ``not_found``, ``incomplete`` (archive), ``altered``.

    Raises:
        InputError: access, connection or disk; a series of the user's folder lacks instances.
    """
    if _origin(entry) == "archive":
        return rspect_archive.obtain(entry, root, series_rows, settings)
    if _origin(entry) == "kaggle":
        return _obtain_kaggle(entry, root, series_rows, settings)
    for row in series_rows.to_dict("records"):
        if not study_folders.is_whole(root, row["path"], row["num_instances"]):
            raise InputError(
                f"series {row['series_id']} is gone or lacks instances",
                where=row["path"],
                expected=f"{row['num_instances']} DICOM files, as train.csv names",
                remedy="complete the folder, or leave the study out through `patients`",
            )
    return {}


def _obtain_kaggle(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    names = instances_of(root / "train.csv", series_rows["series_id"].tolist())
    study, series, instance = ID_COLUMNS
    names = names[names[study].isin(series_rows["study_id"])]
    names = names.assign(file="train/" + names[study] + "/" + names[series] + "/" + names[instance] + ".dcm")
    # A file has its name only once it is whole.
    names = names[[not (root / file).is_file() for file in names["file"]]]
    if names.empty:
        return {}
    check_space(root, len(names) * SLICE_BYTES, settings)
    title = f"{entry['name']}: {len(names)} files, size estimated"
    with (
        CompetitionFiles(COMPETITION, settings) as files,
        ByteProgress(len(names) * SLICE_BYTES, title) as bar,
    ):
        failed = transfer_all(
            {file: partial(files.fetch, file, root / file, bar.update) for file in names["file"]}, settings
        )
    # The first file that cannot be had speaks for its series.
    lost = names[names["file"].isin(list(failed))].drop_duplicates(series)
    return {key: failed[file] for key, file in zip(lost[series], lost["file"], strict=True)}


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance; addresses without what may be a signature."""
    kaggle = f"https://www.kaggle.com/competitions/{COMPETITION}"
    num_scans = len(entry.get("patients") or []) or NUM_SCANS
    by_origin: dict[str, dict[str, Any]] = {
        "folder": {
            "source": str(entry.get("folder")),
            "terms": "those under which the copy was obtained: the competition's rules on Kaggle or RSNA's "
            "terms",
            "description": "the user's own copy, e.g. the competition's zip from Kaggle, unpacked",
        },
        "kaggle": {
            "source": kaggle,
            "terms": f"a Kaggle account that has accepted the rules at {kaggle}/rules; no redistribution",
            "description": "fetched file by file; for the whole collection it asks less of Kaggle to unpack "
            "the competition's zip by hand and use it with `from: folder`",
            "approximate_bytes": round(REPORTED_BYTES * num_scans / NUM_SCANS),
            "size_note": "Kaggle states no sizes beforehand; estimated from 900 GB for 7,279 scans, as "
            "reported by others",
        },
        "archive": {
            "source": rspect_archive.shown_address(entry),
            "terms": f"RSNA's terms, to be accepted through {rspect_archive.REGISTRY}",
            "description": "fetched from RSNA's archive by byte range",
            "size_note": "the archive is packed: others report 534 GB to transfer for all of it",
        },
    }
    facts = by_origin[_origin(entry)]
    return {
        "version": "RSNA-STR pulmonary embolism CT (RSPECT), training part",
        "licence": _LICENCE,
        "citation": [_CITATION],
        "stand_in": False,
        **facts,
        "description": f"CT pulmonary angiograms labelled for pulmonary embolism; {facts['description']}",
    }
