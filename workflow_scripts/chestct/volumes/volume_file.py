"""A volume file (NIfTI, NRRD, MetaImage), read and written by SimpleITK once its own bytes are sound.

ITK mends and misreads without an error: NaN becomes 0, a cut file is filled up, a longer one shifted
(``nifti_file``, ``meta_image``, ``nrrd_file``): a wrong volume, silently.

A NRRD or MetaImage may say more of itself under keys of its own (``THICKNESS_KEY``, ``SLICES_KEY``).
"""

import gzip
import math
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its customary name)

from chestct.files import atomic_path, cannot_write
from chestct.intensity import AIR_HU, DISPLAY, DISPLAY_RANGE, FILL, HU, OFFSET_HU
from chestct.volumes.acquisition import Acquisition
from chestct.volumes.file_content import DETACHED, READABLE, check_content
from chestct.volumes.geometry import AXIS_TOLERANCE_DEGREES
from chestct.volumes.hounsfield import check_hounsfield
from chestct.volumes.meta_image import judge_meta_image
from chestct.volumes.nifti_file import judge_nifti
from chestct.volumes.nrrd_file import judge_nrrd
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample import resample_plane, resampled_grid
from chestct.volumes.scan import Report, Scan
from chestct.volumes.volume_header import VolumeHeader, check_axes, check_finite, check_spacing

#: Keys of a header: SliceThickness in mm; names of the slices, feet to head, separated by blanks.
THICKNESS_KEY, SLICES_KEY = "slice_thickness_mm", "slice_names"
_INT16_MAX = np.iinfo(np.int16).max
#: Reasons by which a file that was just written is not whole.
_CUT = ("unreadable_file", "wrong_length")
#: What a damaged file raises while its bytes are judged.
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, struct.error, ValueError, OverflowError)


def _format_of(path: Path) -> tuple[Callable[[Path], VolumeHeader], str]:
    """By the suffix of a readable file, in any case: who judges it, and ITK's reader, which knows .mhd and
    not .MHD."""
    formats: dict[tuple[str, ...], tuple[Callable[[Path], VolumeHeader], str]] = {
        (".nii", ".nii.gz"): (judge_nifti, "NiftiImageIO"),
        (".mha", ".mhd"): (judge_meta_image, "MetaImageIO"),
        (".nrrd", ".nhdr"): (judge_nrrd, "NrrdImageIO"),
    }
    (found,) = (kind for suffixes, kind in formats.items() if path.name.lower().endswith(suffixes))
    return found


def _judge(path: Path) -> VolumeHeader:
    """Judge a volume file by its own bytes, before a library mends or misreads them.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
        OSError: it cannot be read.
    """
    if not path.name.lower().endswith(READABLE):
        suffixes = ", ".join(READABLE)
        raise RefusedScan(
            "unsupported_format", f"expected a folder of DICOM, or a file that ends in {suffixes}"
        )
    check_content(path)
    if path.name.lower().endswith(DETACHED) and not _is_utf8(path):
        detail = "a header and a file of voxels whose path is not UTF-8: rename them and their folder"
        raise RefusedScan("unreadable_file", detail)
    try:
        return _format_of(path)[0](path)
    except _DAMAGE as error:
        # The words of a ValueError quote the header, which may name the patient.
        words = "a number of the header is none" if isinstance(error, ValueError) else str(error)
        raise RefusedScan("unreadable_file", f"damaged, {words}: copy it again"[:500]) from error
    except OSError as error:
        if error.errno is None:  # how bz2 says that bytes are damaged
            raise RefusedScan("unreadable_file", f"damaged, {error}: copy it again"[:500]) from error
        raise


@contextmanager
def _linked(path: Path, *, always: bool = False) -> Iterator[Path]:
    """A path by which ITK opens a file: one that it would misread, or any, gets a link of another name.

    A name that is no UTF-8 ends the whole process, and of a.nii.nii.gz it opens a.nii.gz.
    """
    suffix = max((end for end in READABLE if path.name.lower().endswith(end)), key=len)
    stem = path.name[: -len(suffix)].lower()
    is_odd = stem.endswith(READABLE) or not _is_utf8(path)
    if suffix in DETACHED or not (always or is_odd):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"volume{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(path: Path, report: Report) -> sitk.Image:
    header = _judge(path)
    report.notes.extend(header.notes)
    # Asked for a.nii.gz, ITK reads a.nii where both exist; in a folder of its own it can't.
    with _linked(path, always=path.name.lower().endswith(".nii.gz")) as file:
        reader = sitk.ImageFileReader()
        reader.SetImageIO(_format_of(path)[1])
        reader.SetFileName(str(file))
        try:
            reader.ReadImageInformation()
            if reader.GetDimension() != 3:
                raise RefusedScan("not_3d", f"size {reader.GetSize()}")
            if reader.GetNumberOfComponents() != 1:
                raise RefusedScan("not_scalar", f"{reader.GetNumberOfComponents()} values a voxel")
            image = reader.Execute()
        except RuntimeError as error:
            # SimpleITK's message is many lines, of which the last says what is wrong.
            last = str(error).strip().splitlines()[-1].strip()
            for name in (str(file), str(path), path.name):
                last = last.replace(name, "the file")
            raise RefusedScan("unreadable_file", last[:500]) from error
    if image.GetNumberOfPixels() != header.num_voxels:
        detail = (
            f"{image.GetNumberOfPixels()} voxels read, {header.num_voxels} by the header: write the scan anew"
        )
        raise RefusedScan("unreadable_file", detail)
    _check_bytes(image, header)
    return image


def _check_bytes(image: sitk.Image, header: VolumeHeader) -> None:
    """Compare the voxels that ITK hands out with the bytes of the file, in one byte order or the other.

    Of a compressed MetaImage without CompressedDataSize, and of some lists, it hands out what memory held.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    if header.crc32 in (None, zlib.crc32(voxels.data)):
        return
    if header.crc32 != zlib.crc32(voxels.byteswap().data):
        detail = "the library reads other voxels than the file holds: write the scan anew, into one file"
        raise RefusedScan("unreadable_file", detail)


def _to_lps(image: sitk.Image) -> sitk.Image:
    """Permute and flip axes to the patient's axes; never interpolates.

    Raises:
        RefusedScan: ``not_axial`` for oblique volumes, ``sheared_axes``, ``bad_geometry``.
    """
    direction = np.array(image.GetDirection()).reshape(3, 3)
    check_axes("axes", direction)
    check_spacing(image.GetSpacing())
    check_finite("origin", image.GetOrigin())
    degrees = float(np.degrees(np.arccos(np.clip(np.abs(direction).max(axis=0).min(), 0, 1))))
    if degrees > AXIS_TOLERANCE_DEGREES:
        raise RefusedScan("not_axial", f"axes {degrees:.1f} degrees from the patient's")
    return sitk.DICOMOrient(image, "LPS")


def _check_display(voxels: np.ndarray) -> None:
    low, high = float(voxels.min()), float(voxels.max())
    if low < DISPLAY_RANGE[0] or high > DISPLAY_RANGE[1]:
        raise RefusedScan("not_display", f"values from {low:g} to {high:g}")


def _thickness_mm(image: sitk.Image) -> float | None:
    try:
        value = float(image.GetMetaData(THICKNESS_KEY)) if image.HasMetaDataKey(THICKNESS_KEY) else 0.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _slice_names(image: sitk.Image, num_slices: int, turned: sitk.Image) -> tuple[str | None, ...]:
    """Names of the slices as the file gives them; None each where it gives none, or its axes were turned."""
    names = image.GetMetaData(SLICES_KEY).split() if image.HasMetaDataKey(SLICES_KEY) else []
    known = len(set(names)) == num_slices and image.GetDirection() == turned.GetDirection()
    return tuple(names) if known else (None,) * num_slices


def read_volume_file(path: Path, *, size_px: int | None, report: Report, intensity: str = HU) -> Scan:
    """Read one volume file.

    Arguments and errors are those of ``dicom_series.read_dicom_series``. Values are taken as HU, or as
    ``intensity`` says: as HU + 1024, or as grey values from 0 to 255 (display), of which one slice is enough.
    """
    report.num_files = 1
    found = _open(path, report)
    image = _to_lps(found)
    voxels = sitk.GetArrayViewFromImage(image)
    report.num_slices = len(voxels)
    if len(voxels) < 2 and intensity != DISPLAY:
        raise RefusedScan("too_few_slices", f"{len(voxels)} slice(s)")
    if voxels.dtype.kind == "f" and not np.isfinite(voxels.sum(dtype=np.float64)):
        raise RefusedScan("not_finite", f"{np.count_nonzero(~np.isfinite(voxels))} voxels")
    offset = OFFSET_HU.get(intensity, 0)
    if intensity == DISPLAY:
        _check_display(voxels)
    else:
        report.notes += check_hounsfield(
            voxels - np.float32(offset) if offset else voxels, intensity=intensity
        )
    planes = []
    for plane in voxels:
        # Whole numbers fit int16 once clipped; fractions are rounded after averaging.
        kind = np.float64 if plane.dtype.kind == "f" else np.int16
        clipped = np.clip(plane.astype(np.float64) - offset, AIR_HU, _INT16_MAX).astype(kind)
        planes.append(resample_plane(clipped, size_px, FILL[DISPLAY if intensity == DISPLAY else HU]))
    x_mm, y_mm, z_mm = image.GetSpacing()
    (spacing_y, spacing_x), (shift_y, shift_x) = resampled_grid(voxels.shape[1:], (y_mm, x_mm), size_px)
    x, y, z = image.GetOrigin()
    return Scan(
        hu=np.stack(planes),
        spacing_mm=(z_mm, spacing_y, spacing_x),
        origin_mm=(x + shift_x, y + shift_y, z),
        z_mm=z + z_mm * np.arange(len(voxels)),
        sop_uids=_slice_names(found, len(voxels), image),
        acquisition=Acquisition(
            slice_thickness_mm=_thickness_mm(found),
            spacing_z_mm=z_mm,
            pixel_mm=(y_mm + x_mm) / 2,
            num_slices=len(voxels),
        ),
        intensity=DISPLAY if intensity == DISPLAY else HU,
    )


def write_volume_file(
    path: Path,
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
) -> None:
    """Write (z, y, x) HU with spacing (z, y, x) and origin (x, y, z) in LPS, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([float(value) for value in reversed(spacing_mm)])
    image.SetOrigin([float(value) for value in origin_mm])
    with atomic_path(path) as temporary:
        try:
            with _linked(temporary) as file:
                sitk.WriteImage(image, str(file), useCompression=True)
            _check_written(temporary, image)
        except (RuntimeError, RefusedScan) as error:
            raise cannot_write(path, OSError("its voxels are not all on the disk")) from error


def _check_written(path: Path, image: sitk.Image) -> None:
    """Read what was written: on a full disk ITK leaves the beginning of a NIfTI file, and no error.

    Raises:
        RefusedScan: it is not what was to be written.
    """
    try:
        header = _judge(path)
    except RefusedScan as refused:
        if refused.reason in _CUT:
            raise
        return  # a size or spacing that no scan has, but a caller may write
    _check_bytes(image, header)
