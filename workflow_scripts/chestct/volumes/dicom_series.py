"""One CT series from a folder of DICOM files."""

from pathlib import Path

import numpy as np
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from chestct.volumes.geometry import Stack, arrange
from chestct.volumes.headers import SliceHeader, read_header
from chestct.volumes.pixels import check_pixel_format, read_hu
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample import resample_plane, resampled_grid
from chestct.volumes.scan import Report, Scan

_DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_OTHER_NAMES = {"dicomdir", "license", "readme", "version", "md5sum", "thumbs.db"}
#: CT images; the enhanced ones are multiframe and refused as such.
_CT_CLASSES = {"", CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}


def _looks_like_dicom(path: Path) -> bool:
    """Whether a file must belong to the series.

    It must if its name says so (.dcm, .dicom, .ima; no suffix, or a number as in names made of UIDs), or
    if it carries DICOM's marker. Other files (readers' XML, licences, lists) lie beside series and are
    left alone.
    """
    suffix = path.suffix.lower()
    if suffix in _DICOM_SUFFIXES:
        return True
    if path.name.lower() in _OTHER_NAMES:
        return False
    if suffix in ("", ".") or suffix[1:].isdigit():
        return True
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def list_dicom_files(folder: Path, report: Report) -> list[Path]:
    """List the DICOM files of a folder by name, not of folders inside it.

    Raises:
        RefusedScan: ``missing_files``, ``no_dicom_files``.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        dicom = [path for path in files if _looks_like_dicom(path)]
    except OSError as error:
        raise RefusedScan("missing_files", str(error)) from error
    if not dicom:
        raise RefusedScan("no_dicom_files", f"{len(files)} other file(s) in {folder.name}")
    if len(files) > len(dicom):
        others = [path.name for path in files if path not in set(dicom)]
        report.notes.append(f"{len(others)} other file(s) beside the series: {', '.join(others[:3])}")
    report.num_files = len(dicom)
    return dicom


def select_series(
    headers: list[SliceHeader], report: Report, series_id: str | None = None
) -> list[SliceHeader]:
    """Keep the original CT images, which must be of one series.

    Left out, and reported as repairs, are objects other than CT images and secondary captures (by
    Modality and SOP class), localizers and derived images (by ImageType). An absent ImageType, as in
    anonymised data, passes.

    Args:
        headers: of every DICOM file in the folder.
        report: receives the repairs.
        series_id: SeriesInstanceUID that the series must have, if known.

    Raises:
        RefusedScan: ``wrong_modality``, ``no_original_images``, ``several_series``, ``wrong_series``.
    """
    modalities = sorted({header.modality for header in headers})
    if "CT" not in modalities:
        raise RefusedScan("wrong_modality", f"{', '.join(modalities)} instead of CT")
    kept: list[SliceHeader] = []
    dropped = {"dropped_secondary": 0, "dropped_localizers": 0, "dropped_derived": 0}
    for header in headers:
        kind = header.image_type
        if header.modality != "CT" or header.sop_class not in _CT_CLASSES:
            dropped["dropped_secondary"] += 1
        elif "LOCALIZER" in kind or "SCOUT" in kind:
            dropped["dropped_localizers"] += 1
        elif "DERIVED" in kind[:1] or "SECONDARY" in kind[1:2]:
            dropped["dropped_derived"] += 1
        else:
            kept.append(header)
    found = [(reason, f"{count} file(s)") for reason, count in dropped.items() if count]
    if not kept:
        types = sorted({"\\".join(header.image_type) for header in headers})
        counts = ", ".join(f"{reason.removeprefix('dropped_')} {count}" for reason, count in dropped.items())
        raise RefusedScan("no_original_images", f"{counts}; image types {', '.join(types[:3])}")
    series = sorted({header.series_uid for header in kept})
    if len(series) > 1:
        counts = ", ".join(f"{uid} ({sum(h.series_uid == uid for h in kept)} files)" for uid in series[:4])
        raise RefusedScan("several_series", f"{len(series)} series in one folder: {counts}")
    if series_id is not None and series_id != series[0]:
        raise RefusedScan("wrong_series", f"found {series[0]}, expected {series_id}")
    report.repairs.extend(found)
    return kept


def _read_positions(stack: Stack, size_px: int | None, report: Report) -> np.ndarray:
    """Read, orient and resample one slice after the other, so that memory holds the result alone."""
    num_duplicates = 0
    hu: np.ndarray | None = None
    for index, (header, *others) in enumerate(stack.positions):
        plane = read_hu(header)
        for other in others:
            difference = np.abs(read_hu(other).astype(np.float64) - plane)
            if difference.any():
                detail = (
                    f"z {stack.z_mm[index]:.3f} mm: {header.path.name} and {other.path.name} differ in "
                    f"{np.count_nonzero(difference)} pixels by up to {difference.max():.0f} HU"
                )
                raise RefusedScan("duplicate_positions", detail)
            num_duplicates += 1
        plane = resample_plane(np.ascontiguousarray(stack.plane.apply(plane)), size_px)
        if hu is None:
            hu = np.empty((len(stack.positions), *plane.shape), dtype=np.int16)
        hu[index] = plane
    if num_duplicates:
        report.repairs.append(("dropped_duplicates", f"{num_duplicates} file(s)"))
    assert hu is not None
    return hu


def read_dicom_series(
    folder: Path,
    *,
    size_px: int | None,
    report: Report,
    num_instances: int = 0,
    series_id: str | None = None,
) -> Scan:
    """Read the CT series of a folder.

    Args:
        folder: holds the files of one series; folders inside are not searched.
        size_px: rows and columns after in-plane resampling, None: as stored.
        report: filled while reading, also where the scan is refused.
        num_instances: files that there must be at least, 0 where unknown.
        series_id: SeriesInstanceUID that the series must have, if known.

    Raises:
        RefusedScan: with a reason out of ``refusals``.
    """
    paths = list_dicom_files(folder, report)
    if len(paths) < num_instances:
        raise RefusedScan("fewer_files_than_expected", f"{len(paths)} of {num_instances}")
    headers = select_series([read_header(path) for path in paths], report, series_id)
    first = headers[0]
    report.num_slices = len(headers)
    report.patient_id, report.study_id, report.series_id = first.patient_id, first.study_uid, first.series_uid
    for header in headers:
        check_pixel_format(header)
    stack = arrange(headers)
    report.num_slices = len(stack.positions)
    hu = _read_positions(stack, size_px, report)
    shape = (first.columns, first.rows) if stack.plane.transpose else (first.rows, first.columns)
    (spacing_y, spacing_x), (shift_y, shift_x) = resampled_grid(shape, stack.plane.spacing_mm, size_px)
    x, y, z = stack.origin_mm
    return Scan(
        hu=hu,
        spacing_mm=(stack.spacing_z_mm, spacing_y, spacing_x),
        origin_mm=(x + shift_x, y + shift_y, z),
        z_mm=stack.z_mm,
        sop_uids=tuple(group[0].sop_uid or None for group in stack.positions),
    )
