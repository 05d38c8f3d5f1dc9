"""One CT series from a folder of DICOM files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chestct.intensity import AIR_HU, HU, OFFSET_HU
from chestct.volumes.acquisition import read_acquisition
from chestct.volumes.choose_series import choose_series
from chestct.volumes.decoders import LOSSY_SYNTAXES
from chestct.volumes.geometry import Stack, arrange
from chestct.volumes.hounsfield import check_hounsfield
from chestct.volumes.one_pass import EarlyPlanes, read_files
from chestct.volumes.pixels import check_pixel_format, read_hu
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample import resample_plane, resampled_grid
from chestct.volumes.scan import Report, Scan
from chestct.volumes.slice_header import SliceHeader

_DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_OTHER_NAMES = {"dicomdir", "license", "readme", "version", "md5sum", "thumbs.db"}


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
    """List the DICOM files of a folder by name; folders inside it are not searched.

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
        others = sorted({path.name for path in files} - {path.name for path in dicom})
        report.notes.append(f"{len(others)} other file(s) beside the series: {', '.join(others[:3])}")
    report.num_files = len(dicom)
    return dicom


def _check_number(headers: Sequence[SliceHeader], num_instances: int, series_id: str | None) -> None:
    """Refuse a folder with fewer images than announced, counted in the named series, or else in all.

    Copies of an image carry its identifier and count once.
    """
    mine = [header for header in headers if series_id in (None, header.series_uid)]
    found = len({header.sop_uid for header in mine if header.sop_uid})
    found += sum(not header.sop_uid for header in mine)
    if mine and found < num_instances:
        copies = f", {len(mine) - found} more are copies" if found < len(mine) else ""
        raise RefusedScan("fewer_files_than_expected", f"{found} of {num_instances}{copies}")


def _note_compression(headers: Sequence[SliceHeader], report: Report) -> None:
    """Note where compression may have lost detail, which is accepted: the values are still HU."""
    names = sorted(
        {LOSSY_SYNTAXES.get(h.transfer_syntax, "declared") for h in headers if h.lossy}
        | {LOSSY_SYNTAXES[h.transfer_syntax] for h in headers if h.transfer_syntax in LOSSY_SYNTAXES}
    )
    if names:
        report.notes.append(f"lossy compression: {', '.join(names)}")


def _read_plane(group: Sequence[SliceHeader], z_mm: float) -> np.ndarray:
    """Read the first of the files at one position in HU, as stored; the others must hold the same image."""
    header, *others = group
    plane = read_hu(header)
    for other in others:
        difference = np.abs(read_hu(other).astype(np.float64) - plane)
        if difference.any():
            detail = (
                f"z {z_mm:.3f} mm: {header.path.name} and {other.path.name} differ in "
                f"{np.count_nonzero(difference)} pixels by up to {difference.max():.0f} HU"
            )
            raise RefusedScan("duplicate_positions", detail)
    return plane


def _read_volume(stack: Stack, size_px: int | None, early: EarlyPlanes) -> np.ndarray:
    """Take the slices that ``early`` holds; read, orient and resample the others one after the other."""
    hu, is_done = early.arranged([group[0].path for group in stack.positions])
    for index, group in enumerate(stack.positions):
        if hu is not None and is_done[index]:
            # Halving commutes with turning, so that it doesn't matter which comes first.
            if stack.plane.turns:
                hu[index] = stack.plane.apply(hu[index]).copy()
            if len(group) == 1:
                continue
        plane = _read_plane(group, float(stack.z_mm[index]))
        plane = resample_plane(np.ascontiguousarray(stack.plane.apply(plane)), size_px)
        if hu is None:
            hu = np.empty((len(stack.positions), *plane.shape), dtype=np.int16)
        hu[index] = plane
    assert hu is not None
    return hu


def _copies(stack: Stack) -> dict[str, int]:
    """SOPInstanceUIDs of the images that are dropped, and the index of the slice that stays for each."""
    return {
        header.sop_uid: index
        for index, group in enumerate(stack.positions)
        for header in group[1:]
        if header.sop_uid and header.sop_uid != group[0].sop_uid
    }


def read_dicom_series(
    folder: Path,
    *,
    size_px: int | None,
    report: Report,
    num_instances: int = 0,
    series_id: str | None = None,
    intensity: str = HU,
) -> Scan:
    """Read the CT series of a folder.

    Args:
        folder: holds the files of one series, perhaps beside others (``choose_series``); folders inside
            are not searched.
        size_px: rows and columns after in-plane resampling, None: as stored.
        report: filled while reading, also where the scan is refused.
        num_instances: files that there must be at least, 0 where unknown.
        series_id: SeriesInstanceUID that the series must have, if known.
        intensity: what rescaled values are, hu or hu_plus_1024 (``chestct.intensity``).

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
    """
    paths = list_dicom_files(folder, report)
    if len(paths) < num_instances:
        raise RefusedScan("fewer_files_than_expected", f"{len(paths)} of {num_instances}")
    everything, early = read_files(paths, size_px, series_id)
    _check_number(everything, num_instances, series_id)
    headers = choose_series(everything, report, series_id)
    first = headers[0]
    report.num_slices = len(headers)
    report.patient_id, report.study_id, report.series_id = first.patient_id, first.study_uid, first.series_uid
    for header in headers:
        check_pixel_format(header)
    _note_compression(headers, report)
    stack = arrange(headers)
    report.num_slices = len(stack.positions)
    hu = _read_volume(stack, size_px, early)
    if OFFSET_HU[intensity]:
        hu = np.maximum(hu, AIR_HU + OFFSET_HU[intensity]) - np.int16(OFFSET_HU[intensity])
    check_hounsfield(hu, intensity=intensity)
    if len(headers) > len(stack.positions):
        report.repairs.append(("dropped_duplicates", f"{len(headers) - len(stack.positions)} file(s)"))
    shape = (first.columns, first.rows) if stack.plane.transpose else (first.rows, first.columns)
    (spacing_y, spacing_x), (shift_y, shift_x) = resampled_grid(shape, stack.plane.spacing_mm, size_px)
    x, y, z = stack.origin_mm
    return Scan(
        hu=hu,
        spacing_mm=(stack.spacing_z_mm, spacing_y, spacing_x),
        origin_mm=(x + shift_x, y + shift_y, z),
        z_mm=stack.z_mm,
        sop_uids=tuple(group[0].sop_uid or None for group in stack.positions),
        acquisition=read_acquisition(
            first,
            spacing_z_mm=stack.spacing_z_mm,
            pixel_mm=sum(stack.plane.spacing_mm) / 2,
            num_slices=len(stack.positions),
        ),
        copies=_copies(stack),
    )
