"""Reading one scan, whatever it comes as."""

from pathlib import Path

from chestct.volumes.dicom_series import read_dicom_series
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Report, Scan


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
        num_instances: DICOM files that there must be at least, 0 where unknown.
        series_id: SeriesInstanceUID that a DICOM series must have, if known.
        report: filled while reading, so that a refused scan leaves its numbers; made if None.

    Returns:
        The scan, with axes (z, y, x) from feet to head, front to back, the patient's right to left, and
        the report.

    Raises:
        RefusedScan: with a reason out of ``refusals``.
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
