"""From the stored pixels of one DICOM file to HU."""

import numpy as np
import pydicom
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from chestct.store import AIR_HU
from chestct.volumes.headers import SliceHeader
from chestct.volumes.refusals import RefusedScan

_INT16_MAX = np.iinfo(np.int16).max
#: RescaleType values that mean HU; US is "unspecified", which CT scanners write too.
_HOUNSFIELD = ("", "HU", "US")


def check_pixel_format(header: SliceHeader) -> None:
    """Refuse what can't be a CT slice in HU.

    Raises:
        RefusedScan: ``multiframe``, ``truncated_file``, ``unsupported_pixels``, ``bad_rescale``,
            ``not_hounsfield``.
    """
    name = header.path.name
    if header.num_frames != 1:
        raise RefusedScan("multiframe", f"{name}: {header.num_frames} frames")
    if not header.has_pixels:
        raise RefusedScan("truncated_file", f"{name}: no pixel data")
    if header.samples != 1 or header.photometric not in ("MONOCHROME2", ""):
        raise RefusedScan("unsupported_pixels", f"{name}: {header.samples} x {header.photometric}")
    if header.bits_allocated not in (8, 16, 32) or not 0 < header.bits_stored <= header.bits_allocated:
        bits = f"{header.bits_stored} of {header.bits_allocated} bits"
        raise RefusedScan("unsupported_pixels", f"{name}: {bits}")
    if header.rows < 1 or header.columns < 1:
        raise RefusedScan("unsupported_pixels", f"{name}: {header.rows} x {header.columns} pixels")
    if header.slope is None or header.intercept is None or header.slope <= 0:
        raise RefusedScan("bad_rescale", f"{name}: slope {header.slope}, intercept {header.intercept}")
    if header.rescale_type not in _HOUNSFIELD:
        raise RefusedScan("not_hounsfield", f"{name}: RescaleType {header.rescale_type}")


def _read_span(header: SliceHeader) -> np.ndarray | None:
    """Pixels of an uncompressed 16-bit file straight from disk, or None where that proves nothing."""
    if header.pixel_span is None or header.bits_allocated != 16:
        return None
    offset, length = header.pixel_span
    expected = 2 * header.rows * header.columns
    with open(header.path, "rb") as file:
        file.seek(offset)
        content = file.read(length)
    if len(content) < expected:
        detail = f"{header.path.name}: {len(content)} of {expected} pixel bytes"
        raise RefusedScan("truncated_file", detail)
    if length != expected:
        return None
    stored = np.frombuffer(content, dtype="<i2" if header.signed else "<u2")
    if header.bits_stored < 16:
        # Unused high bits may hold anything; then the general decoder masks them.
        half = 1 << (header.bits_stored - 1)
        low, high = (-half, half - 1) if header.signed else (0, 2 * half - 1)
        if stored.min() < low or stored.max() > high:
            return None
    return stored.reshape(header.rows, header.columns)


def _decode(header: SliceHeader) -> np.ndarray:
    """Pixels by pydicom, or by the GDCM inside SimpleITK for what pydicom has no decoder for."""
    dataset = pydicom.dcmread(header.path, force=True)
    dataset.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
    expected = header.rows * header.columns * header.bits_allocated // 8
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated and len(dataset.PixelData) < expected:
        detail = f"{header.path.name}: {len(dataset.PixelData)} of {expected} pixel bytes"
        raise RefusedScan("truncated_file", detail)
    if not syntax.is_encapsulated or get_decoder(syntax).is_available:
        return dataset.pixel_array
    import SimpleITK as sitk  # noqa: N813 (its customary name; half a second that few jobs need)

    assert header.slope is not None and header.intercept is not None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(header.path))
    rescaled = sitk.GetArrayFromImage(reader.Execute())[0]
    return np.rint((rescaled - header.intercept) / header.slope).astype(np.int32)


def read_stored(header: SliceHeader) -> np.ndarray:
    """Read the stored integers of one file, shape (rows, columns).

    Raises:
        RefusedScan: ``truncated_file``, ``undecodable_pixels``.
    """
    try:
        stored = _read_span(header)
        if stored is None:
            stored = _decode(header)
        if stored.shape != (header.rows, header.columns) or stored.dtype.kind not in "iu":
            raise ValueError(f"{stored.dtype} pixels of shape {stored.shape}")
        return stored
    except RefusedScan:
        raise
    except Exception as error:
        # Decoders fail in many ways on damaged data; all mean the same to the study.
        detail = f"{header.path.name}: {type(error).__name__}: {error}"
        raise RefusedScan("undecodable_pixels", detail[:500]) from error


def _is_padding(header: SliceHeader, stored: np.ndarray) -> np.ndarray | None:
    """Mask of padded pixels, or None.

    Padding above -1024 HU is believed only where a corner of the image holds it: outside the scan
    circle lie the corners, whereas some scanners declare a value (0) that tissue takes as well.
    """
    assert header.slope is not None and header.intercept is not None
    if header.padding is None:
        return None
    low, high = header.padding
    if high * header.slope + header.intercept <= AIR_HU:
        return None  # becomes air below, as everything that low
    mask = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask if mask[0, 0] or mask[0, -1] or mask[-1, 0] or mask[-1, -1] else None


def read_hu(header: SliceHeader) -> np.ndarray:
    """Read one slice in HU, shape (rows, columns); padding and what lies below -1024 HU become -1024.

    Returns int16 where slope and intercept are whole, else float64 that is yet to be rounded (averaging
    comes first, so that the result stays within 0.5 HU of the exact average).

    Raises:
        RefusedScan: as ``read_stored``, or ``bad_rescale`` for values beyond int16.
    """
    stored = read_stored(header)
    slope, intercept = header.slope, header.intercept
    assert slope is not None and intercept is not None
    padding = _is_padding(header, stored)
    low, high = int(stored.min()), int(stored.max())
    whole = slope.is_integer() and intercept.is_integer()
    hu: np.ndarray
    if max(abs(low * slope + intercept), abs(high * slope + intercept)) > _INT16_MAX:
        # Outliers below are air anyway, and padding may lie above; judge what remains.
        kept = stored if padding is None else stored[~padding]
        highest = int(kept.max()) * slope + intercept if kept.size else 0.0
        if highest > _INT16_MAX:
            raise RefusedScan("bad_rescale", f"{header.path.name}: up to {highest:.0f} HU")
        hu = np.clip(stored.astype(np.float64) * slope + intercept, AIR_HU, _INT16_MAX)
        hu = hu.astype(np.int16) if whole else hu
    elif whole and slope == 1 and max(abs(low), abs(high), abs(intercept)) <= _INT16_MAX:
        hu = stored.astype(np.int16) + np.int16(intercept)
    elif whole:
        hu = (stored.astype(np.int64) * int(slope) + int(intercept)).astype(np.int16)
    else:
        hu = stored.astype(np.float64) * slope + intercept
    np.maximum(hu, hu.dtype.type(AIR_HU), out=hu)
    if padding is not None:
        hu[padding] = AIR_HU
    return hu
