"""RSPECT (RSNA-STR pulmonary embolism CT): from its zip archive, or from an unpacked copy.

Wherever the files come from, they lie as in the release: train.csv and train/STUDY/SERIES/INSTANCE.dcm.
A study stands for its patient: the published tables name none.
"""

import logging
from pathlib import Path

import pandas as pd

from chestct.download.labels.rspect_labels import count_instances, read_labels, read_train_csv, train_csv
from chestct.download.sources import rspect_archive, study_folders
from chestct.download.sources.choose_series import one_series_per_study
from chestct.download.sources.study_folders import LEFT_OUT_COLUMNS, Listing
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError

__all__ = ["list_series", "manifest", "obtain", "read_labels", "steps_by_hand"]

LAYOUT = "train.csv, train/STUDY/SERIES/INSTANCE.dcm"
_LICENCE = (
    "non-commercial use only, including academic research and education; no attempt to identify anyone; "
    "cite it; the competition's rules forbid redistribution"
)
_CITATION = (
    "Colak E, Kitamura FC, Hobbs SB, et al. The RSNA Pulmonary Embolism CT Dataset. Radiology: Artificial "
    "Intelligence 2021;3(2):e200254. doi:10.1148/ryai.2021200254"
)


def _from_archive(entry: dict) -> bool:
    return entry.get("from", "folder") == "archive"


def _series_of_folder(folder: Path) -> pd.DataFrame:
    found = [(p.parent.name, p.name) for p in sorted((folder / "train").glob("*/*/")) if p.is_dir()]
    return pd.DataFrame(found, columns=["study_id", "series_id"], dtype="str")


def list_series(entry: dict, root: Path, shard_size: int, settings: TransferSettings) -> Listing:
    """List the series of train.csv; a study stands for its patient.

    Left out: ``not_selected``; ``second_series`` of a study (``choose_series``); ``no_label``, series that
    the folder or the archive holds but train.csv does not name.

    Raises:
        InputError: no folder or archive, no or a bad train.csv, or, of a folder, a labelled series that is
            not there.
    """
    base, sizes = Path(), None
    if _from_archive(entry):
        members = rspect_archive.list_members(entry, root, settings)
        existing = members[["study_id", "series_id"]].drop_duplicates()
        sizes = members.groupby("series_id")["num_bytes"].sum()
    else:
        base = study_folders.existing_folder(entry, LAYOUT)
        existing = _series_of_folder(base)
    labels_path = train_csv(entry, root)
    labelled = count_instances(read_train_csv(labels_path))
    table = labelled.assign(
        dataset=entry["name"],
        patient_id=labelled["study_id"],
        path=[
            str(base / "train" / study / series)
            for study, series in labelled[["study_id", "series_id"]].values
        ],
    )
    if sizes is not None:
        table = table.assign(num_bytes=table["series_id"].map(sizes).fillna(0).astype(int))
    chosen, second = one_series_per_study(table)
    listing = study_folders.listing(chosen, entry, shard_size, labels_path)
    if not _from_archive(entry):
        _check_present(entry, base, listing.series)
    parts = [listing.left_out, second, _unlabelled(entry, labelled, existing)]
    left_out = pd.concat([part[LEFT_OUT_COLUMNS] for part in parts], ignore_index=True)
    for reason, number in left_out["reason"].value_counts().items():
        logging.info("%s: %d series left out, %s", entry["name"], number, reason)
    return Listing(series=listing.series, left_out=left_out)


def _unlabelled(entry: dict, labelled: pd.DataFrame, existing: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table ``left_out`` for series that exist but that train.csv does not name."""
    rest = existing.merge(labelled[["study_id", "series_id"]], how="left", indicator=True)
    rest = rest[rest["_merge"] == "left_only"]
    return rest.assign(dataset=entry["name"], patient_id=rest["study_id"], reason="no_label")


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
    """Take the missing files of the series from the archive; of a folder, check that all are there.

    Returns:
        Series that cannot be obtained from the archive: ``not_found``, ``incomplete``, ``altered``.

    Raises:
        InputError: access, connection or disk; a series of the user's folder lacks instances.
    """
    if _from_archive(entry):
        return rspect_archive.obtain(entry, root, series_rows, settings)
    for row in series_rows.to_dict("records"):
        if not study_folders.is_whole(root, row["path"], row["num_instances"]):
            raise InputError(
                f"series {row['series_id']} is gone or lacks instances",
                where=row["path"],
                expected=f"{row['num_instances']} DICOM files, as train.csv names",
                remedy="complete the folder, or leave the study out through `patients`",
            )
    return {}


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance; addresses without what may be a signature."""
    facts = {
        "version": "RSNA-STR pulmonary embolism CT (RSPECT), training part",
        "licence": _LICENCE,
        "citation": [_CITATION],
        "stand_in": False,
        "terms": "those under which the copy was obtained: the competition's rules on Kaggle or RSNA's terms",
    }
    if not _from_archive(entry):
        return facts | {
            "source": str(entry.get("folder")),
            "description": "CT pulmonary angiograms labelled for pulmonary embolism; the user's own copy",
        }
    return facts | {
        "source": rspect_archive.shown_location(entry),
        "description": "CT pulmonary angiograms labelled for pulmonary embolism, from the release's zip",
        "size_note": "the archive is packed: others report 534 GB for all of it",
    }


def steps_by_hand(entry: dict) -> list[str]:
    """What a person must do before the scans can be obtained; nothing where the copy or archive is named."""
    if _from_archive(entry):
        return rspect_archive.steps_by_hand(entry)
    folder = Path(str(entry.get("folder")))
    return [] if folder.is_dir() else [f"put a copy of RSPECT ({LAYOUT}) at {folder}"]
