"""One CT series from a folder of DICOM files."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from chestct import pictures
from chestct.dicom_folder import MAX_DEPTH, MAX_FOLDERS, find_dicom, is_archive, packed_dicom
from chestct.intensity import AIR_HU, HU, OFFSET_HU
from chestct.volumes.acquisition import read_acquisition
from chestct.volumes.choose_series import choose_series, other_series
from chestct.volumes.decoders import LOSSY_SYNTAXES
from chestct.volumes.file_content import READABLE, check_entries, check_fetched, check_packed, folders_of
from chestct.volumes.geometry import Stack, arrange
from chestct.volumes.hounsfield import check_hounsfield
from chestct.volumes.one_acquisition import check_one_acquisition
from chestct.volumes.one_pass import EarlyPlanes, read_files
from chestct.volumes.pixels import check_pixel_format, read_hu
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample import resample_plane, resampled_grid
from chestct.volumes.scan import Report, Scan
from chestct.volumes.slice_header import SliceHeader
from chestct.volumes.volume_header import check_spacing


def list_dicom_files(path: Path, report: Report) -> list[Path]:
    """List the DICOM files of a folder, or of the folders inside if it holds none itself; of a file, itself.

    Raises:
        RefusedScan: ``missing_files``, ``no_dicom_files``, ``packed_files``.
    """
    if path.is_file():
        report.num_files = 1
        return [path]
    try:
        found = find_dicom(path)
        # Of folders inside, one without a file that is there may hold the series that is wanted.
        check_entries([path] if found.dicom and not found.inside else folders_of(path))
        packed = packed_dicom(found.others)
    except OSError as error:
        raise RefusedScan("missing_files", error.strerror or type(error).__name__) from error
    # Beside a series, an archive holds something else, or the same; a compressed file is a slice of it.
    if slices := [file for file in packed if not is_archive(file)]:
        raise RefusedScan("packed_files", f"{len(slices)} compressed DICOM file(s): unpack them (gunzip)")
    if packed and not found.dicom:
        raise RefusedScan("packed_files", f"{len(packed)} archive(s) of DICOM: unpack them into the folder")
    if not found.dicom:
        beside = f"{len(found.others)} other file(s), {found.num_folders} folder(s)"
        detail = f"{beside}; no DICOM down to {MAX_DEPTH} levels below"
        if volumes := sum(file.name.lower().endswith(READABLE) for file in found.others):
            detail += f"; {volumes} volume file(s): the path must name one of them, not its folder"
        raise RefusedScan("no_dicom_files", detail)
    if found.inside:
        levels = {len(folder.relative_to(path).parts) for folder in found.inside}
        where = f"{min(levels)} to {max(levels)}" if len(levels) > 1 else f"{min(levels)}"
        report.notes.append(f"DICOM found in {len(found.inside)} folder(s) {where} level(s) below the path")
        if found.is_cut:
            report.notes.append(f"only the first {MAX_FOLDERS} folders searched: there are more")
    elif found.num_folders:
        report.notes.append(f"{found.num_folders} folder(s) beside the series not searched")
    if found.others:
        report.notes.append(f"{len(found.others)} other file(s) beside the series")
    report.num_files = len(found.dicom)
    return found.dicom


def _check_number(
    headers: Sequence[SliceHeader], num_instances: int, series_id: str | None, report: Report
) -> None:
    """Refuse a folder with fewer images than announced, counted in the named series, or else in all.

    Copies of an image carry its identifier and count once.
    """
    mine = [header for header in headers if series_id in (None, header.series_uid)]
    found = len({header.sop_uid for header in mine if header.sop_uid})
    found += sum(not header.sop_uid for header in mine)
    if mine and found < num_instances:
        copies = f", {len(mine) - found} more are copies" if found < len(mine) else ""
        report.refuse("fewer_files_than_expected", f"{found} of {num_instances}{copies}")


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


def _of_study(headers: list[SliceHeader], study_uid: str | None, report: Report) -> list[SliceHeader]:
    """The files of the study (or series) that a user's identifier names, if some of them do; else all."""
    if study_uid is None:
        return headers
    mine = [header for header in headers if study_uid in (header.study_uid, header.series_uid)]
    if not mine:
        report.notes.append("the scan's identifier is a UID that its files do not have")
    elif len(mine) < len(headers):
        report.notes.append(f"{len(headers) - len(mine)} file(s) of other studies beside the one named")
    return mine or headers


def read_dicom_series(
    folder: Path,
    *,
    size_px: int | None,
    report: Report,
    num_instances: int = 0,
    series_id: str | None = None,
    intensity: str = HU,
    study_uid: str | None = None,
    files: Collection[Path] | None = None,
) -> Scan:
    """Read the CT series of a folder.

    Args:
        folder: holds the files of one series, perhaps beside others (``choose_series``), or folders with such
            files; or is one DICOM file.
        size_px: rows and columns after in-plane resampling, None: as stored.
        report: filled while reading, also where the scan is refused.
        num_instances: files that there must be at least, 0 where unknown.
        series_id: SeriesInstanceUID that the series must have, if known.
        intensity: what rescaled values are, hu or hu_plus_1024 (``chestct.intensity``).
        study_uid: StudyInstanceUID that the user may mean: its files are taken if there are any.
        files: those of ``series_id``, where it is known which they are: others are counted and not read.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
    """
    paths = list_dicom_files(folder, report)
    if len(paths) < num_instances:
        report.refuse("fewer_files_than_expected", f"{len(paths)} of {num_instances}")
    own = paths if files is None else [path for path in paths if path in files]
    if not own:
        raise RefusedScan("missing_files", "the files of the series are no longer there")
    found, early = _read_headers(own, size_px, series_id, report)
    everything = _of_study(found, study_uid, report)
    report.burned_in = pictures.of_headers(header.burned_in for header in everything)
    if len(own) >= num_instances:
        _check_number(everything, num_instances, series_id, report)
    if len(own) < len(paths):
        report.notes.append(other_series(len(paths) - len(own)))
    headers = choose_series(everything, report, series_id)
    _note_series(headers, report)
    if len(headers) == 1 and folder.is_file():
        raise RefusedScan("too_few_slices", "1 slice: the path names a file of a series, not its folder")
    stack = arrange(headers, report)
    check_spacing((stack.spacing_z_mm, *stack.plane.spacing_mm))
    check_one_acquisition(stack, report)
    report.num_slices = len(stack.positions)
    hu = _read_volume(stack, size_px, early)
    if OFFSET_HU[intensity]:
        hu = np.maximum(hu, AIR_HU + OFFSET_HU[intensity]) - np.int16(OFFSET_HU[intensity])
    report.notes += check_hounsfield(hu, intensity=intensity)
    if len(headers) > len(stack.positions):
        report.repairs.append(("dropped_duplicates", f"{len(headers) - len(stack.positions)} file(s)"))
    return _scan_of(stack, hu, headers[0], size_px)


def _read_headers(
    paths: Sequence[Path], size_px: int | None, series_id: str | None, report: Report
) -> tuple[list[SliceHeader], EarlyPlanes]:
    """Headers of the images among the files, and what ``read_files`` read of their pixels on the way."""
    try:
        found, early = read_files(paths, size_px, series_id)
    except RefusedScan as refused:
        if refused.reason == "unreadable_file":
            check_fetched(paths)  # pointers in the place of files, which only now are worth the look
            check_packed(paths)
        raise
    directories = len(paths) - len({header.path for header in found})
    if directories:
        report.num_files -= directories
        report.notes.append(f"{directories} file(s) that list images (Media Storage Directory) passed over")
    if not found:
        detail = "nothing but Media Storage Directories, which list images: the path must name their folder"
        raise RefusedScan("no_dicom_files", detail)
    report.headers = found
    return found, early


def _note_series(headers: Sequence[SliceHeader], report: Report) -> None:
    """Put the chosen series into the report, and refuse pixels that are not read."""
    first = headers[0]
    report.burned_in = pictures.of_headers(header.burned_in for header in headers)
    report.num_slices = len(headers)
    report.patient_id, report.study_id, report.series_id = first.patient_id, first.study_uid, first.series_uid
    for header in headers:
        check_pixel_format(header)
    _note_compression(headers, report)


def _scan_of(stack: Stack, hu: np.ndarray, first: SliceHeader, size_px: int | None) -> Scan:
    """The scan of a stack of slices, with its voxels and the grid on which they lie after resampling.

    Args:
        stack: slices in their order.
        hu: voxels, shape (z, y, x), turned and resampled.
        first: header of the first file of the series, for what concerns the whole of it.
        size_px: rows and columns after in-plane resampling, None: as stored.
    """
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
