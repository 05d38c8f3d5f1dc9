"""LIDC-IDRI from a folder that the user has: PATIENT/STUDY/SERIES/*.dcm with the readers' XML beside.

Armato III et al., Data From LIDC-IDRI, The Cancer Imaging Archive, 2015,
doi 10.7937/K9/TCIA.2015.LO9QL9SX. The collection also holds radiographs: only Modality CT is taken.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from pydicom.errors import InvalidDicomError

from chestct.download import layout
from chestct.download.lidc_xml import Reading, cluster_annotations, read_xml, readers_by_slice, readers_of
from chestct.errors import InputError

LAYOUT = "PATIENT/STUDY/SERIES/*.dcm, readers' XML in the series' folder"
#: Readers who must have marked the same nodule for a scan to be positive (design: the scan's label).
CONSENSUS_READERS = 3
_IDS = ["Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
_GEOMETRY = ["SOPInstanceUID", "ImagePositionPatient", "PixelSpacing"]


def _read_header(path: Path, tags: list[str]) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise InputError(
            f"a DICOM file does not open: {error}",
            where=path,
            expected="a DICOM file of the collection",
            remedy="obtain the file again, or leave its patient out",
        ) from error


def list_series(entry: dict, root: Path, shard_size: int) -> pd.DataFrame:
    """List the CT series of the entry's folder (table ``series``, paths absolute).

    Raises:
        InputError: no folder, no CT series in it, a file that is no DICOM, a study with two CT series,
            or a patient named in ``patients`` who is not there.
    """
    folder = layout.existing_folder(entry, LAYOUT)
    wanted = {str(patient) for patient in entry.get("patients") or ()}
    rows = []
    for series_dir in sorted(path for path in folder.glob("*/*/*") if path.is_dir()):
        # Patients' folders carry the patients' names: no header is read in vain.
        if wanted and series_dir.parents[1].name not in wanted:
            continue
        files = sorted(series_dir.glob("*.dcm"))
        if not files:
            continue
        header = _read_header(files[0], _IDS)
        if header.get("Modality") != "CT":
            continue
        rows.append(
            {
                "dataset": entry["name"],
                "patient_id": str(header.get("PatientID") or series_dir.parents[1].name),
                "study_id": str(header.StudyInstanceUID),
                "series_id": str(header.SeriesInstanceUID),
                "path": str(series_dir),
                "num_instances": len(files),
            }
        )
    if not rows:
        raise InputError(
            "no CT series found",
            where=f"{folder}, patients: {sorted(wanted)[:5] or 'all'}",
            expected=LAYOUT,
            remedy=f"correct `folder` or `patients` of dataset {entry['name']}",
        )
    table = layout.select_patients(pd.DataFrame(rows), entry, folder)
    double = table[table["study_id"].duplicated(keep=False)]
    if len(double):
        raise InputError(
            f"{double['study_id'].nunique()} study(ies) hold more than one CT series",
            where=", ".join(double["path"].head(4)),
            expected="one CT series a study",
            remedy="move the series that is not to be used out of the folder",
        )
    return layout.assign_shards(table, shard_size)


def obtain(entry: dict, root: Path, series_rows: pd.DataFrame, progress: Callable[[int], object]) -> None:
    """Nothing to fetch: check that the listed series still lie in the user's folder.

    Raises:
        InputError: a series is gone or has lost files.
    """
    for row in series_rows.to_dict("records"):
        if not layout.is_whole(root, row["path"], row["num_instances"]):
            raise InputError(
                f"series {row['series_id']} is gone or has lost files",
                where=row["path"],
                expected=f"{row['num_instances']} DICOM files",
                remedy="restore the folder, or run the rule list_series again",
            )
        progress(1)


def _reading_of(folder: Path, series_id: str) -> tuple[Reading | None, str | None]:
    """The reading of a series and, where there is none, why."""
    readings = [reading for path in sorted(folder.glob("*.xml")) if (reading := read_xml(path)) is not None]
    readings = [reading for reading in readings if reading.series_id in ("", series_id)]
    if len(readings) == 1:
        return readings[0], None
    return None, "several_readings" if readings else "no_reading"


def _geometry(files: list[Path]) -> tuple[tuple[float, float], float, dict[str, float]]:
    """Pixel spacing (row, column) and slice spacing in mm, and z in mm by SOPInstanceUID."""
    z_mm = {}
    spacing = (0.0, 0.0)
    for path in files:
        header = _read_header(path, _GEOMETRY)
        try:
            z_mm[str(header.SOPInstanceUID)] = float(header.ImagePositionPatient[2])
            spacing = (float(header.PixelSpacing[0]), float(header.PixelSpacing[1]))
        except (AttributeError, TypeError, IndexError) as error:
            raise InputError(
                f"a CT slice has no position or pixel spacing: {error}",
                where=path,
                expected="ImagePositionPatient and PixelSpacing",
                remedy="obtain the file again, or leave its patient out",
            ) from error
    steps = np.diff(np.unique(np.round(list(z_mm.values()), 3)))
    return spacing, float(np.median(steps)) if len(steps) else 0.0, z_mm


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of scans (table ``labels``) and slices (table ``slice_labels``) from the readers' XML.

    A scan is positive where some nodule was marked by at least three readers after clustering. A scan
    without XML has no label (exclusion ``no_reading``), for nobody says that it was read.

    Raises:
        InputError: an XML or DICOM file does not parse.
    """
    scans, slices = [], []
    for row in series.to_dict("records"):
        folder = root / row["path"]
        reading, reason = _reading_of(folder, row["series_id"])
        label = None
        if reading is not None:
            label = 0
            if reading.annotations:
                spacing, slice_spacing, z_mm = _geometry(layout.series_files(root, row["path"]))
                clusters = cluster_annotations(reading.annotations, spacing, slice_spacing)
                label = int(any(readers_of(cluster) >= CONSENSUS_READERS for cluster in clusters))
                for sop, (z_read, number) in readers_by_slice(clusters).items():
                    if sop not in z_mm:
                        logging.warning("%s: readers marked %s, which the series lacks", folder, sop)
                    slices.append((row["study_id"], sop, z_mm.get(sop, z_read), number))
        scans.append(
            {
                "dataset": entry["name"],
                "patient_id": row["patient_id"],
                "study_id": row["study_id"],
                "label": label,
                "exclusion": reason,
                "baseline": None,
            }
        )
    columns = ["study_id", "sop_instance_uid", "z_mm", "num_readers"]
    return pd.DataFrame(scans), pd.DataFrame(slices, columns=columns)


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance."""
    return {
        "version": "LIDC-IDRI, The Cancer Imaging Archive",
        "source": str(entry.get("folder")),
        "licence": "CC BY 3.0",
        "citation": "Armato III et al., Data From LIDC-IDRI, The Cancer Imaging Archive, 2015, "
        "doi:10.7937/K9/TCIA.2015.LO9QL9SX; Armato III et al., Medical Physics 38:915-931, 2011",
        "stand_in": False,
        "description": "Chest CT with lung nodules marked by four readers; the user's own copy",
    }
