"""From a DICOM file to the integers stored in it.

pydicom decodes what is uncompressed, deflated or RLE; GDCM, which SimpleITK carries, everything else
(JPEG, JPEG lossless, JPEG-LS, JPEG 2000, HTJ2K). GDCM is given the compressed frame in a new file without
rescaling: whether it rescales the original file's values depends on the object's class.
"""

import errno
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames, get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import UID, CTImageStorage, RLELossless

from chestct.volumes.compressed_frame import check_frame
from chestct.volumes.error_words import error_words
from chestct.volumes.raw_elements import DEFER_BYTES
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.slice_header import SliceHeader

#: Transfer syntaxes that may lose detail, by UID.
LOSSY_SYNTAXES = {
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
}


def plain_pixels(header: SliceHeader, content: memoryview) -> np.ndarray | None:
    """View the pixels of an uncompressed 16-bit file in its bytes; None for other files.

    Args:
        header: of that file.
        content: every byte of the file.

    Returns:
        int16 or uint16, shape (rows, columns); a view, gone with ``content``.
    """
    if header.pixel_span is None or header.bits_allocated != 16:
        return None
    offset, length = header.pixel_span
    if length != 2 * header.rows * header.columns:
        return None
    stored = np.frombuffer(content, "<i2" if header.signed else "<u2", length // 2, offset)
    return stored.reshape(header.rows, header.columns)


def fits_bits(header: SliceHeader, low: int, high: int) -> bool:
    """Whether values from ``low`` to ``high`` fit the stored bits; the others may hold anything."""
    half = 1 << (header.bits_stored - 1)
    return -half <= low and high < half if header.signed else low >= 0 and high < 2 * half


def _decode_with_gdcm(header: SliceHeader, frame: bytes) -> np.ndarray:
    """Decode one compressed frame, shape (rows, columns).

    Raises:
        ValueError: the frame holds an image of another size, or values beyond the stored bits.
    """
    image, bits = check_frame(frame, header)
    import SimpleITK as sitk  # noqa: N813 (its customary name; half a second that few jobs need)

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = header.rows, header.columns
    # As many bits as the frame has: told of fewer, GDCM silently cuts what does not fit.
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = header.bits_allocated, bits, bits - 1
    dataset.PixelRepresentation = int(header.signed)
    dataset.PixelData = encapsulate([image])
    dataset["PixelData"].is_undefined_length = True
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "frame.dcm")
        dataset.save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(path)
        decoded = sitk.GetArrayFromImage(reader.Execute())
    stored = decoded.reshape(decoded.shape[-2:])
    if not fits_bits(header, int(stored.min()), int(stored.max())):
        detail = f"{stored.min()} to {stored.max()} in {header.bits_stored} bits, signed: {header.signed}"
        raise ValueError(detail)
    return stored


@lru_cache(maxsize=1)
def _frame_table(path: Path, state: tuple[int, int]) -> tuple[int, int, tuple[bytes, bytes] | None]:
    """Where the pixels of an encapsulated file start, its number of frames, its extended offset table.

    ``state`` is the file's size and time of change: another file under the name is another entry.
    """
    tags = ["NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"]
    dataset = pydicom.dcmread(path, defer_size=DEFER_BYTES, specific_tags=tags, force=True)
    element = dataset.get_item("PixelData", keep_deferred=True)
    assert isinstance(element, RawDataElement)  # deferred
    table = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    extended = (table[0], table[1]) if table[0] and table[1] else None
    return int(element.value_tell), int(dataset.get("NumberOfFrames") or 1), extended


@lru_cache(maxsize=1)
def _all_frames(path: Path, state: tuple[int, int]) -> np.ndarray:
    """Every image of a file, (frames, rows, columns), which is compressed as a whole; ``state`` as above."""
    return pydicom.dcmread(path, force=True).pixel_array


def _decode_frame(header: SliceHeader, frame: int) -> np.ndarray:
    """Decode one of the images of a file, without reading the others where that can be."""
    syntax = UID(header.transfer_syntax)
    stat = header.path.stat()
    state = stat.st_size, stat.st_mtime_ns
    if syntax.is_deflated:
        frames = _all_frames(header.path, state)
        return frames[frame] if frames.ndim > 2 else frames
    if not syntax.is_encapsulated or syntax == RLELossless:
        return pixel_array(header.path, index=frame, raw=True)
    start, count, extended = _frame_table(header.path, state)
    with open(header.path, "rb") as file:
        file.seek(start)
        content = get_frame(file, frame, number_of_frames=count, extended_offsets=extended)
    return _decode_with_gdcm(header, content)


def _decode(header: SliceHeader) -> np.ndarray:
    if header.frame is not None:
        return _decode_frame(header, header.frame)
    dataset = pydicom.dcmread(header.path, force=True)
    syntax = UID(header.transfer_syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax.is_encapsulated and syntax != RLELossless:
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        return _decode_with_gdcm(header, frame)
    expected = header.rows * header.columns * header.bits_allocated // 8
    if not syntax.is_encapsulated and len(dataset.PixelData) < expected:
        detail = f"{header.path.name}: {len(dataset.PixelData)} of {expected} pixel bytes"
        raise RefusedScan("truncated_file", detail)
    return dataset.pixel_array


def read_stored(header: SliceHeader) -> np.ndarray:
    """Read the stored integers of one file, shape (rows, columns).

    Raises:
        RefusedScan: ``truncated_file``, ``undecodable_pixels``.
        OSError: the system does not give the file, or has no room for a frame that is decoded.
    """
    try:
        stored = None
        if header.pixel_span is not None:
            offset, length = header.pixel_span
            with open(header.path, "rb") as file:
                file.seek(offset)
                content = file.read(length)
            if len(content) < length:
                detail = f"{header.path.name}: {len(content)} of {length} pixel bytes"
                raise RefusedScan("truncated_file", detail)
            stored = plain_pixels(replace(header, pixel_span=(0, length)), memoryview(content))
        if stored is None or not fits_bits(header, int(stored.min()), int(stored.max())):
            stored = _decode(header)
        if stored.shape != (header.rows, header.columns) or stored.dtype.kind not in "iu":
            raise ValueError(f"{stored.dtype} pixels of shape {stored.shape}")
        return stored
    except RefusedScan:
        raise
    except Exception as error:
        # A damaged length leads to an impossible place in the file; all else is the disk's.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        # Decoders fail in many ways on damaged data; all mean the same to the study.
        detail = f"{header.path.name}: {error_words(error)}"
        raise RefusedScan("undecodable_pixels", detail[:500]) from error
