"""One scan, a DICOM series or a volume file: read, and converted or refused with a reason."""

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from chestct.dicom_folder import is_dicom_file, packed_dicom
from chestct.files import shown_path
from chestct.intensity import DISPLAY, DISPLAY_WORDS, HU, OFFSET_HU
from chestct.volumes.dicom_series import read_dicom_series
from chestct.volumes.duplicates import content_digest
from chestct.volumes.file_content import unfetched
from chestct.volumes.plain_words import without_names
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample_z import resample_slices, resample_z
from chestct.volumes.scan import Report, Scan

#: Series identifiers of this form are DICOM UIDs and must match the files; others are stand-ins.
_UID = re.compile(r"\d+(\.\d+){4,}|2\.25\.\d{6,}")


def is_uid(name: str) -> bool:
    """Whether an identifier is a DICOM UID, not a stand-in for one."""
    return _UID.fullmatch(name) is not None


def _name_of(path: Path) -> str:
    """The name of a path, also where it is written as ``.`` or ``..``."""
    return shown_path(path.name if path.name not in ("", "..") else path.resolve().name) or "scan"


def read_series(
    path: str | Path,
    *,
    size_px: int | None = None,
    num_instances: int = 0,
    series_id: str | None = None,
    study_uid: str | None = None,
    report: Report | None = None,
    intensity: str = HU,
    files: Collection[Path] | None = None,
) -> tuple[Scan, Report]:
    """Read a folder of DICOM files (one CT series), a DICOM file of several images, or a volume file.

    Args:
        path: folder or file.
        size_px: rows and columns after in-plane resampling (``resample``); None: as stored.
        num_instances: least number of DICOM files, 0 where unknown.
        series_id: SeriesInstanceUID that a DICOM series must have, if known.
        study_uid: StudyInstanceUID that the user may mean: of DICOM, its files are taken if there are any.
        report: filled while reading, so that it holds the numbers of a refused scan too; new if None.
        intensity: what the files' values are (``chestct.intensity``); display only of volume files.
        files: of a folder of DICOM, those of ``series_id``, where it is known which they are.

    Returns:
        The scan, with axes (z, y, x) from feet to head, front to back, the patient's right to left, and
        the report.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
    """
    path = Path(path)
    report = Report() if report is None else report
    try:
        is_dicom = path.is_dir() or is_dicom_file(path)
        if is_dicom and intensity == DISPLAY:
            raise RefusedScan("not_display", f"{path.name} holds DICOM, which is read as HU")
        if path.is_file() and packed_dicom([path]):
            raise RefusedScan("packed_files", "packed DICOM: unpack it into a folder, and name the folder")
        if is_dicom:
            scan = read_dicom_series(
                path,
                size_px=size_px,
                report=report,
                num_instances=num_instances,
                series_id=series_id,
                intensity=intensity,
                study_uid=study_uid,
                files=files,
            )
        elif path.is_file():
            # SimpleITK takes longer to import than a series of DICOM to convert.
            from chestct.volumes.volume_file import read_volume_file

            scan = read_volume_file(path, size_px=size_px, report=report, intensity=intensity)
        else:
            raise RefusedScan("missing_files", unfetched(path) or "it is gone")
    except OSError as error:
        raise RefusedScan("missing_files", error.strerror or type(error).__name__) from error
    return replace(scan, content=content_digest(scan.hu)), report


def convert_one(
    path: str | Path,
    *,
    dataset: str,
    size_px: int | None,
    patient_id: str | None = None,
    study_id: str | None = None,
    series_id: str | None = None,
    num_instances: int = 0,
    spacing_z_mm: float | None = None,
    num_slices: int | None = None,
    intensity: str = HU,
    accept: Collection[str] = (),
    files: Collection[Path] | None = None,
) -> tuple[dict[str, Any], Scan | None]:
    """Convert one scan; a scan that can't be converted is refused in the ledger row, not raised.

    Args:
        path: folder of one DICOM series, or a volume file.
        dataset: name for the ledger.
        size_px: rows and columns after area averaging; None keeps those of the scan.
        patient_id, study_id, series_id: identifiers for the tables; where None, those in the files, or
            else the name of the path. A ``series_id`` that is a DICOM UID must be that of the files, unless
            it is the ``study_id`` too: then it stands in for a series, and chooses among studies if it can.
        num_instances: least number of DICOM files, 0 where unknown.
        spacing_z_mm: between slices after resampling along z (``resample_z``); None keeps that of the scan.
        num_slices: after resampling along z, in the place of a spacing; None keeps those of the scan.
        intensity: what the files' values are: hu, hu_plus_1024 or display.
        accept: reasons among ``refusals.ACCEPTABLE`` by which the scan shall not be refused.
        files: of a folder of DICOM, those of ``series_id``, where it is known which they are; others are not
            read.

    Returns:
        The row of the ledger (``schemas/ledger.schema.yaml``), and the scan, None where it is refused.
    """
    report = Report(accept=frozenset(accept))
    uids = {name for name in (series_id, study_id) if name is not None and is_uid(name)}
    expected = series_id if series_id in uids and series_id != study_id else None
    meant = study_id if study_id in uids and expected is None else None
    scan: Scan | None = None
    try:
        scan, _ = read_series(
            path,
            size_px=size_px,
            num_instances=num_instances,
            series_id=expected,
            study_uid=meant,
            report=report,
            intensity=intensity,
            files=files,
        )
        if intensity == DISPLAY:
            report.notes.append(DISPLAY_WORDS)
        elif intensity != HU:
            report.notes.append(f"{intensity} in the files: {OFFSET_HU[intensity]} taken off")
        found = scan
        if spacing_z_mm is not None:
            scan = resample_z(scan, spacing_z_mm)
        elif num_slices is not None:
            scan = resample_slices(scan, num_slices)
        if scan is not found:
            report.notes.append(
                f"along z from {found.spacing_mm[0]:g} to {scan.spacing_mm[0]:g} mm: {len(scan.hu)} slices"
            )
        remarks = [f"{reason}: {numbers}" for reason, numbers in report.repairs] + report.notes
        outcome = {
            "status": "repaired" if report.repairs else "accepted",
            "reason": "; ".join(reason for reason, _ in report.repairs) or None,
            "detail": "; ".join(remarks) or None,
        }
    except RefusedScan as refusal:
        outcome = {"status": "refused", "reason": refusal.reason, "detail": refusal.detail}
    if outcome["detail"]:
        outcome["detail"] = without_names(str(outcome["detail"]), Path(path), report.headers)
    name = _name_of(Path(path))
    row = {
        "dataset": dataset,
        "patient_id": patient_id or report.patient_id or name,
        "study_id": study_id or report.study_id or name,
        "series_id": series_id or report.series_id or name,
        "num_files": report.num_files,
        "num_slices": report.num_slices,
        "burned_in_annotation": report.burned_in,
    }
    return row | outcome, scan
