"""A volume file (NIfTI, NRRD, MetaImage), read and written by SimpleITK, and checked for what ITK leaves out.

ITK fills the missing end of a cut NIfTI file with zeros and hands out what a damaged compressed MetaImage
left in memory (tried with SimpleITK 2.5.7), both without an error: a wrong volume, silently.

A NRRD or MetaImage may say more of itself under keys of its own (``THICKNESS_KEY``, ``SLICES_KEY``).
"""

import gzip
import math
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its customary name)

from chestct.files import atomic_path
from chestct.intensity import AIR_HU, DISPLAY, DISPLAY_RANGE, FILL, HU, OFFSET_HU
from chestct.volumes.acquisition import Acquisition
from chestct.volumes.geometry import AXIS_TOLERANCE_DEGREES
from chestct.volumes.hounsfield import check_hounsfield
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.resample import resample_plane, resampled_grid
from chestct.volumes.scan import Report, Scan

#: Suffixes that can be read; those that can be written are without the two that split header and data.
READABLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")
#: Keys of a header: SliceThickness in mm; names of the slices, feet to head, separated by blanks.
THICKNESS_KEY, SLICES_KEY = "slice_thickness_mm", "slice_names"
#: Bytes read at once.
_BLOCK = 1 << 20
_INT16_MAX = np.iinfo(np.int16).max


class _DamagedFileError(Exception):
    """A volume file whose voxels are not all there."""


def _check_nifti(path: Path) -> None:
    """Compare the bytes of a NIfTI file with what its header announces; reads gzip to its checksum."""
    compressed = path.name.lower().endswith(".gz")
    with gzip.open(path, "rb") if compressed else path.open("rb") as file:
        header = file.read(352)
        if len(header) < 352:
            raise _DamagedFileError(f"{len(header)} of 352 header bytes")
        # NIfTI-1 alone: ITK reads no NIfTI-2. The length of the header tells its byte order.
        order = "<" if struct.unpack_from("<i", header)[0] == 348 else ">"
        size = struct.unpack_from(f"{order}8h", header, 40)
        (bits,) = struct.unpack_from(f"{order}h", header, 72)
        (start,) = struct.unpack_from(f"{order}f", header, 108)
        expected = int(start) + bits // 8 * math.prod(size[1 : 1 + size[0]])
        found = len(header)
        while block := file.read(_BLOCK):
            found += len(block)
    if found < expected:
        raise _DamagedFileError(f"{found} of {expected} bytes")


def _check_meta_image(path: Path, num_voxel_bytes: int) -> None:
    """Decompress a MetaImage's voxels to their checksum, where they are compressed and in one file."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "ElementDataFile" not in fields and (line := file.readline(_BLOCK)):
            key, _, value = line.decode("latin-1").partition("=")
            fields[key.strip()] = value.strip()
        start = file.tell()
    if fields.get("CompressedData", "").lower() != "true":
        return  # ITK itself finds missing bytes of uncompressed voxels
    data_file = fields.get("ElementDataFile", "")
    local = data_file.lower() == "local"
    data_path = path if local else path.parent / data_file
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    found = 0
    with open(data_path, "rb") as file:
        file.seek(start if local else 0)
        while not inflate.eof and (block := file.read(_BLOCK)):
            found += len(inflate.decompress(block))
    if not inflate.eof or found != num_voxel_bytes:
        raise _DamagedFileError(f"{found} of {num_voxel_bytes} voxel bytes")


def _check_whole(path: Path, num_voxel_bytes: int) -> None:
    """Check that a volume file holds all its voxels.

    Args:
        path: NIfTI, NRRD or MetaImage file.
        num_voxel_bytes: size of the voxels in the file's own type; only MetaImage needs it.

    Raises:
        _DamagedFileError: with the numbers.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith((".mha", ".mhd")):
            _check_meta_image(path, num_voxel_bytes)
        # NRRD: ITK finds missing bytes and wrong checksums.
    except (OSError, EOFError, zlib.error, struct.error, ValueError, OverflowError) as error:
        raise _DamagedFileError(f"{type(error).__name__}: {error}") from error


def _open(path: Path) -> sitk.Image:
    if not path.name.lower().endswith(READABLE):
        raise RefusedScan("unsupported_format", f"{path.name}: expected a folder of DICOM or {READABLE}")
    with tempfile.TemporaryDirectory() as folder:
        # Asked for a.nii.gz, ITK reads a.nii where both exist; in a folder of its own it can't.
        alone = Path(folder) / "volume.nii.gz"
        is_gzip = path.name.lower().endswith(".nii.gz")
        if is_gzip:
            alone.symlink_to(path.resolve())
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(alone if is_gzip else path))
        try:
            reader.ReadImageInformation()
            if reader.GetDimension() != 3:
                raise RefusedScan("not_3d", f"{path.name}: size {reader.GetSize()}")
            if reader.GetNumberOfComponents() != 1:
                detail = f"{path.name}: {reader.GetNumberOfComponents()} values a voxel"
                raise RefusedScan("not_scalar", detail)
            image = reader.Execute()
            num_voxel_bytes = image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
            _check_whole(path, num_voxel_bytes)
        except RuntimeError as error:
            # SimpleITK's message is many lines, of which the last says what is wrong.
            last = str(error).strip().splitlines()[-1].strip()
            last = last.replace(str(alone), path.name)
            raise RefusedScan("unreadable_file", f"{path.name}: {last}"[:500]) from error
        except _DamagedFileError as error:
            raise RefusedScan("unreadable_file", f"{path.name}: damaged, {error}"[:500]) from error
    return image


def _to_lps(image: sitk.Image, name: str) -> sitk.Image:
    """Permute and flip axes to the patient's axes; never interpolates.

    Raises:
        RefusedScan: ``not_axial`` for oblique volumes, ``bad_geometry``.
    """
    direction = np.abs(np.array(image.GetDirection()).reshape(3, 3))
    spacing = np.array(image.GetSpacing())
    if not (np.isfinite(direction).all() and np.isfinite(spacing).all() and (spacing > 0.01).all()):
        raise RefusedScan(
            "bad_geometry", f"{name}: spacing {spacing.tolist()}, direction {direction.tolist()}"
        )
    degrees = float(np.degrees(np.arccos(np.clip(direction.max(axis=0).min(), 0, 1))))
    if degrees > AXIS_TOLERANCE_DEGREES:
        raise RefusedScan("not_axial", f"{name}: axes {degrees:.1f} degrees from the patient's")
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
    found = _open(path)
    image = _to_lps(found, path.name)
    voxels = sitk.GetArrayViewFromImage(image)
    report.num_slices = len(voxels)
    if len(voxels) < 2 and intensity != DISPLAY:
        raise RefusedScan("too_few_slices", f"{path.name}: {len(voxels)} slice(s)")
    if voxels.dtype.kind == "f" and not np.isfinite(voxels.sum(dtype=np.float64)):
        raise RefusedScan("not_finite", f"{np.count_nonzero(~np.isfinite(voxels))} voxels")
    offset = OFFSET_HU.get(intensity, 0)
    if intensity == DISPLAY:
        _check_display(voxels)
    else:
        check_hounsfield(voxels - np.float32(offset) if offset else voxels, intensity=intensity)
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
    """Write (z, y, x) HU with spacing (z, y, x) and origin (x, y, z) in LPS, whole or not at all."""
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([float(value) for value in reversed(spacing_mm)])
    image.SetOrigin([float(value) for value in origin_mm])
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
