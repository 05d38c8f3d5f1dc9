"""One scan, a DICOM series or a volume file: read, and converted or refused with a reason."""

import re
from dataclasses import dataclass
from pathlib import Path

from chestct.volume_store import Volume
from chestct.volumes.dicom_series import read_dicom_series
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Report, Scan

#: Series identifiers of this form are DICOM UIDs and must match the files; others are stand-ins.
_UID = re.compile(r"\d+(\.\d+){4,}")


def read_series(
    path: str | Path,
    *,
    size_px: int | None = None,
    num_instances: int = 0,
    series_id: str | None = None,
    report: Report | None = None,
) -> tuple[Scan, Report]:
    """Read a folder of DICOM files (one CT series) or a volume file.

    Args:
        path: folder or file.
        size_px: rows and columns after in-plane resampling (``resample``); None: as stored.
        num_instances: least number of DICOM files, 0 where unknown.
        series_id: SeriesInstanceUID that a DICOM series must have, if known.
        report: filled while reading, so that it holds the numbers of a refused scan too; new if None.

    Returns:
        The scan, with axes (z, y, x) from feet to head, front to back, the patient's right to left, and
        the report.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
    """
    path = Path(path)
    report = Report() if report is None else report
    try:
        if path.is_dir():
            scan = read_dicom_series(
                path, size_px=size_px, report=report, num_instances=num_instances, series_id=series_id
            )
        elif path.is_file():
            # SimpleITK takes longer to import than a series of DICOM to convert.
            from chestct.volumes.volume_file import read_volume_file

            scan = read_volume_file(path, size_px=size_px, report=report)
        else:
            raise RefusedScan("missing_files", f"{path} does not exist")
    except OSError as error:
        raise RefusedScan("missing_files", str(error)) from error
    return scan, report


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What became of one scan.

    Attributes:
        ledger: the row of the ledger (``schemas/ledger.schema.yaml``).
        scan, volume: None where the scan is refused; ``volume`` holds the scan's voxels for the store.
    """

    ledger: dict[str, object]
    scan: Scan | None
    volume: Volume | None


def convert_one(
    path: str | Path,
    *,
    dataset: str,
    size_px: int | None,
    patient_id: str | None = None,
    study_id: str | None = None,
    series_id: str | None = None,
    num_instances: int = 0,
) -> Conversion:
    """Convert one scan; a scan that can't be converted is refused in the ledger row, not raised.

    Args:
        path: folder of one DICOM series, or a volume file.
        dataset: name for the ledger.
        size_px: rows and columns after area averaging; None keeps those of the scan.
        patient_id, study_id, series_id: identifiers for the tables; where None, those in the files, or
            else the name of the path. A ``series_id`` that is a DICOM UID must be that of the files.
        num_instances: least number of DICOM files, 0 where unknown.
    """
    report = Report()
    expected = series_id if series_id is not None and _UID.fullmatch(series_id) else None
    scan: Scan | None = None
    refused: RefusedScan | None = None
    try:
        scan, _ = read_series(
            path, size_px=size_px, num_instances=num_instances, series_id=expected, report=report
        )
    except RefusedScan as refusal:
        refused = refusal
    name = Path(path).name
    patient_id = patient_id or report.patient_id or name
    study_id = study_id or report.study_id or name
    series_id = series_id or report.series_id or name
    row: dict[str, object] = {
        "dataset": dataset,
        "patient_id": patient_id,
        "study_id": study_id,
        "series_id": series_id,
        "num_files": report.num_files,
        "num_slices": report.num_slices,
    }
    if scan is None:
        assert refused is not None
        row |= {"status": "refused", "reason": refused.reason, "detail": refused.detail}
        return Conversion(ledger=row, scan=None, volume=None)
    remarks = [f"{reason}: {numbers}" for reason, numbers in report.repairs] + report.notes
    row |= {
        "status": "repaired" if report.repairs else "accepted",
        "reason": "; ".join(reason for reason, _ in report.repairs) or None,
        "detail": "; ".join(remarks) or None,
    }
    volume = Volume(
        patient_id=patient_id,
        study_id=study_id,
        series_id=series_id,
        hu=scan.hu,
        spacing_mm=scan.spacing_mm,
        z_mm=scan.z_mm,
    )
    return Conversion(ledger=row, scan=scan, volume=volume)
