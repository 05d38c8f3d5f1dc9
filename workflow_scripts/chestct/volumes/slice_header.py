"""What is known of one DICOM file before its pixels are read.

``make_header`` turns the raw bytes of some forty elements into numbers, whoever parsed the file:
pydicom here (``read_header``), or ``fast_header`` where a file is plain enough.
"""

import errno
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from chestct.volumes.deflated_file import check_deflated
from chestct.volumes.error_words import error_words
from chestct.volumes.raw_elements import (
    DEFER_BYTES,
    SETTING_KEYWORDS,
    TAGS,
    UNDEFINED_LENGTH,
    Elements,
    RawValues,
)
from chestct.volumes.refusals import RefusedScan

#: Elements that change from slice to slice, or that more than their bytes decide of; the others are shared.
_OF_A_SLICE = (
    "SOPInstanceUID SOPClassUID InstanceNumber ImagePositionPatient AcquisitionNumber AcquisitionDateTime "
    "AcquisitionDate AcquisitionTime ContentTime ModalityLUTSequence PixelData"
)
_SHARED_TAGS = [
    tag for keyword, tag in TAGS.items() if keyword not in (*_OF_A_SLICE.split(), *SETTING_KEYWORDS)
]


@dataclass(frozen=True, kw_only=True)
class SliceHeader:
    """What the conversion needs to know of one DICOM file.

    Numbers that are absent or malformed are None; whether that matters is decided where they are used.

    Attributes:
        position: ImagePositionPatient (x, y, z), mm.
        orientation: ImageOrientationPatient, direction of increasing column, then of increasing row.
        pixel_spacing: mm between rows, mm between columns.
        high_bit: highest bit of a stored value; that of ``bits_stored`` where absent.
        padding: lowest and highest stored value that mean "no image here".
        burned_in: whether the pixels show text that identifies (BurnedInAnnotation), as written.
        has_lut: stored values become HU by a table (Modality LUT), not by slope and intercept.
        lossy: some lossy compression was applied, now or earlier.
        pixel_span: offset and length in bytes of the pixels where they lie uncompressed, little endian.
        manufacturer, scanner_model, kernel, slice_thickness, contrast_agent, patient_age, patient_sex: as
            written, for ``acquisition``, which leaves out what identifies.
        description, series_number, kvp, phase, acquisition_number, acquired: what tells one acquisition from
            another (``one_acquisition``): SeriesDescription; kV; temporal position, percentage of
            the heart's cycle and, of frames, stack; date and time of the acquisition in one, its date, time.
        content_time: when the image was made, often long after.
        constants: of what a series has once, as bytes (``raw_elements.CONSTANT_KEYWORDS``).
        settings: of a scanner, as bytes (``raw_elements.SETTING_KEYWORDS``).
        frame: number of the frame, from 0, in a file of several images; None: the file is one image.
        fault: why a file of several images cannot be read as slices, if so.
    """

    path: Path
    patient_id: str
    study_uid: str
    series_uid: str
    frame_uid: str
    sop_uid: str
    sop_class: str
    modality: str
    image_type: tuple[str, ...]
    instance_number: int
    num_frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    burned_in: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    has_lut: bool
    lossy: bool
    tilt_degrees: float
    padding: tuple[int, int] | None
    transfer_syntax: str
    has_pixels: bool
    pixel_span: tuple[int, int] | None
    manufacturer: str
    scanner_model: str
    kernel: tuple[str, ...]
    slice_thickness: float | None
    contrast_agent: str
    patient_age: str
    patient_sex: str
    description: str
    series_number: str
    kvp: float | None
    phase: tuple[str, ...]
    acquisition_number: str
    acquired: tuple[str, str, str]
    content_time: str
    constants: tuple[bytes, ...]
    settings: tuple[bytes, ...]
    frame: int | None = None
    fault: str = ""


def _padding(raw: RawValues, bits: int, signed: bool) -> tuple[int, int] | None:
    """Range of padded stored values.

    The value representation of PixelPaddingValue (US or SS) is often wrong; what counts are its bits
    read as the pixels are read.
    """
    value, limit = raw.unsigned("PixelPaddingValue"), raw.unsigned("PixelPaddingRangeLimit")
    if value is None:
        return None
    ends = [value] if limit is None else [value, limit]
    if signed:
        ends = [end - (1 << bits) if end >= 1 << (bits - 1) else end for end in ends]
    return min(ends), max(ends)


def make_header(path: Path, elements: Elements, *, transfer_syntax: str, sop_class: str) -> SliceHeader:
    """Turn raw elements into a header.

    Args:
        path: the file, for messages and for reading its pixels.
        elements: as parsed.
        transfer_syntax: its UID.
        sop_class: from the file meta information, used where the data set has none.

    Raises:
        ValueError: no modality, which every DICOM object has: not a DICOM file, or one that is damaged or
            cut; as an object of another modality it would be left out, and the end of a scan with it.
    """
    values = elements.values
    # A list, since a generator takes twice as long.
    shared = tuple([values.get(tag) for tag in _SHARED_TAGS])
    fields = _shared_fields(shared, elements.little_endian)
    if not fields["modality"]:
        raise ValueError("no modality: not a DICOM file, or a damaged one")
    raw = RawValues(elements)
    span = elements.span
    plain = transfer_syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    return SliceHeader(
        path=path,
        sop_uid=raw.text("SOPInstanceUID"),
        sop_class=raw.text("SOPClassUID") or sop_class,
        instance_number=raw.number("InstanceNumber", 0),
        position=raw.floats("ImagePositionPatient", 3),
        acquisition_number=raw.text("AcquisitionNumber"),
        acquired=(raw.text("AcquisitionDateTime"), raw.text("AcquisitionDate"), raw.text("AcquisitionTime")),
        content_time=raw.text("ContentTime"),
        settings=raw.settings(),
        has_lut=TAGS["ModalityLUTSequence"] in values,
        transfer_syntax=transfer_syntax,
        has_pixels=span is not None,
        pixel_span=span if plain and span is not None and span[1] != UNDEFINED_LENGTH else None,
        **fields,
    )


# Slices of a series differ in few elements, so that the others' texts and numbers are made once a series.
@lru_cache(maxsize=256)
def _shared_fields(values: tuple[bytes | None, ...], little_endian: bool) -> dict[str, Any]:
    """The fields of a header that follow from the elements ``_SHARED_TAGS``."""
    present = dict(zip(_SHARED_TAGS, values, strict=True))
    raw = RawValues(Elements(values=present, span=None, little_endian=little_endian))
    bits = raw.unsigned("BitsAllocated") or 0
    bits_stored = raw.unsigned("BitsStored") or bits
    high_bit = raw.unsigned("HighBit")
    signed = raw.unsigned("PixelRepresentation") == 1
    return {
        "patient_id": raw.text("PatientID"),
        "study_uid": raw.text("StudyInstanceUID"),
        "series_uid": raw.text("SeriesInstanceUID"),
        "frame_uid": raw.text("FrameOfReferenceUID"),
        "modality": raw.text("Modality"),
        "image_type": tuple(part.upper() for part in raw.texts("ImageType")),
        "num_frames": raw.number("NumberOfFrames", 1),
        "rows": raw.unsigned("Rows") or 0,
        "columns": raw.unsigned("Columns") or 0,
        "samples": raw.unsigned("SamplesPerPixel") or 1,
        "photometric": raw.text("PhotometricInterpretation"),
        "burned_in": raw.text("BurnedInAnnotation").upper(),
        "bits_allocated": bits,
        "bits_stored": bits_stored,
        "high_bit": bits_stored - 1 if high_bit is None else high_bit,
        "signed": signed,
        "orientation": raw.floats("ImageOrientationPatient", 6),
        "pixel_spacing": raw.floats("PixelSpacing", 2),
        "slope": raw.decimal("RescaleSlope"),
        "intercept": raw.decimal("RescaleIntercept"),
        "rescale_type": raw.text("RescaleType").upper(),
        "lossy": raw.text("LossyImageCompression") == "01",
        "tilt_degrees": raw.decimal("GantryDetectorTilt") or 0.0,
        "padding": _padding(raw, bits, signed) if bits in (8, 16, 32) else None,
        "manufacturer": raw.text("Manufacturer"),
        "scanner_model": raw.text("ManufacturerModelName"),
        "kernel": raw.texts("ConvolutionKernel"),
        "slice_thickness": raw.decimal("SliceThickness"),
        "contrast_agent": raw.text("ContrastBolusAgent"),
        "patient_age": raw.text("PatientAge"),
        "patient_sex": raw.text("PatientSex"),
        "description": raw.text("SeriesDescription"),
        "series_number": raw.text("SeriesNumber"),
        "kvp": raw.decimal("KVP"),
        # Four bytes of a binary number, of which only equality counts.
        "phase": (
            raw.text("TemporalPositionIdentifier"),
            str(raw.unsigned("NominalPercentageOfCardiacPhase") or ""),
        ),
        "constants": raw.constants(),
    }


def _guess_syntax(dataset: pydicom.Dataset) -> str:
    """Transfer syntax of a file without the meta information that names it, as pydicom parsed it."""
    implicit, little = dataset.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _elements(dataset: pydicom.Dataset) -> Elements:
    """Elements as pydicom read them; converting each to pydicom's classes costs more than the parse."""
    values: dict[int, bytes | None] = {}
    span = None
    little_endian = True
    for tag in list(TAGS.values()):
        element = dataset.get_item(tag, keep_deferred=True)
        if isinstance(element, RawDataElement):
            values[tag] = element.value
            little_endian = element.is_little_endian
            if tag == TAGS["PixelData"]:
                span = element.value_tell, element.length
        elif element is not None:
            values[tag] = None  # a sequence, of which only the presence counts
    return Elements(values=values, span=span, little_endian=little_endian)


def read_header(path: Path) -> SliceHeader | None:
    """Read one file's header by pydicom, whatever its transfer syntax.

    Returns:
        None for a Media Storage Directory (DICOMDIR, DIRFILE or any other name), which is no image.

    Raises:
        RefusedScan: ``unreadable_file``, the file is no DICOM or does not parse.
        OSError: the system does not give the file.
    """
    try:
        check_deflated(path)
        # force: files without the 128-byte preamble are common in old archives.
        dataset = pydicom.dcmread(path, defer_size=DEFER_BYTES, specific_tags=list(TAGS.values()), force=True)
        meta = dataset.file_meta
        if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return None
        return make_header(
            path,
            _elements(dataset),
            transfer_syntax=str(meta.get("TransferSyntaxUID", "")) or _guess_syntax(dataset),
            sop_class=str(meta.get("MediaStorageSOPClassUID", "")),
        )
    except Exception as error:
        # A damaged length leads to an impossible place in the file; all else that the system says is of the
        # disk, or of rights.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        # A damaged file makes the parser fail in many ways; all mean the same to the study.
        detail = f"{path.name}: {error_words(error)}"
        raise RefusedScan("unreadable_file", detail[:500]) from error
