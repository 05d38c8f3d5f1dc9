"""Headers of single DICOM files, read once and without their pixels."""

import math
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from chestct.volumes.refusals import RefusedScan

_KEYWORDS = (
    "ImageType SOPClassUID SOPInstanceUID Modality PatientID GantryDetectorTilt StudyInstanceUID "
    "SeriesInstanceUID InstanceNumber ImagePositionPatient ImageOrientationPatient SamplesPerPixel "
    "PhotometricInterpretation NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored "
    "PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit RescaleIntercept RescaleSlope "
    "RescaleType PixelData"
)
_TAGS: dict[str, BaseTag] = {keyword: Tag(keyword) for keyword in _KEYWORDS.split()}
_TAG_LIST = list(_TAGS.values())
#: Values longer than this (the pixels) stay on disk until they are wanted.
_DEFER_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class SliceHeader:
    """What the conversion needs to know of one DICOM file.

    Numbers that are absent or malformed are None; whether that matters is decided where they are used.

    Attributes:
        position: ImagePositionPatient (x, y, z), mm.
        orientation: ImageOrientationPatient, direction of increasing column, then of increasing row.
        pixel_spacing: mm between rows, mm between columns.
        padding: lowest and highest stored value that mean "no image here".
        pixel_span: offset and length in bytes of the pixels where they lie uncompressed, little endian.
    """

    path: Path
    patient_id: str
    study_uid: str
    series_uid: str
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
    bits_allocated: int
    bits_stored: int
    signed: bool
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    tilt_degrees: float
    padding: tuple[int, int] | None
    transfer_syntax: str
    has_pixels: bool
    pixel_span: tuple[int, int] | None


class _Raw:
    """Elements of a dataset as pydicom read them; converting each to its class costs more than the parse."""

    def __init__(self, dataset: pydicom.Dataset) -> None:
        self._dataset = dataset

    def element(self, keyword: str) -> RawDataElement | None:
        element = self._dataset.get_item(_TAGS[keyword], keep_deferred=True)
        return element if isinstance(element, RawDataElement) else None

    def texts(self, keyword: str) -> tuple[str, ...]:
        element = self.element(keyword)
        if element is None or not element.value:
            return ()
        text = element.value.decode("latin-1").strip(" \x00")
        return tuple(part.strip(" \x00") for part in text.split("\\"))

    def text(self, keyword: str) -> str:
        return next(iter(self.texts(keyword)), "")

    def floats(self, keyword: str, count: int) -> tuple[float, ...] | None:
        try:
            values = tuple(float(part) for part in self.texts(keyword))
        except ValueError:
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None

    def number(self, keyword: str, default: int) -> int:
        values = self.floats(keyword, 1)
        return default if values is None else int(values[0])

    def unsigned(self, keyword: str) -> int | None:
        element = self.element(keyword)
        if element is None or not element.value or len(element.value) > 4:
            return None
        return int.from_bytes(element.value, "little" if element.is_little_endian else "big")


def _padding(raw: _Raw, bits: int, signed: bool) -> tuple[int, int] | None:
    """Range of padded stored values.

    The value representation of PixelPaddingValue (US or SS) is often wrong; what counts are its bits
    read as the pixels are read.
    """
    limits = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = raw.unsigned(keyword)
        if value is not None:
            limits.append(value - (1 << bits) if signed and value >= 1 << (bits - 1) else value)
    if raw.element("PixelPaddingValue") is None or not limits:
        return None
    return min(limits), max(limits)


def _span(raw: _Raw, syntax: str) -> tuple[int, int] | None:
    """Where the pixels lie in the file; deflated and encapsulated data have no such place."""
    element = raw.element("PixelData")
    if element is None or element.length == 0xFFFFFFFF:
        return None
    if syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        return None
    return element.value_tell, element.length


def _guess_syntax(dataset: pydicom.Dataset) -> str:
    """Transfer syntax of a file without the meta information that names it, as pydicom parsed it."""
    implicit, little = dataset.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def read_header(path: Path) -> SliceHeader:
    """Read one file's header.

    Raises:
        RefusedScan: ``unreadable_file``, the file is no DICOM or does not parse.
    """
    try:
        # force: files without the 128-byte preamble are common in old archives.
        dataset = pydicom.dcmread(path, defer_size=_DEFER_BYTES, specific_tags=_TAG_LIST, force=True)
        raw = _Raw(dataset)
        meta = dataset.file_meta
        sop_class = raw.text("SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
        if not sop_class and not raw.text("Modality"):
            raise ValueError("neither a SOP class nor a modality: not a DICOM file, or a damaged one")
        bits = raw.unsigned("BitsAllocated") or 0
        signed = raw.unsigned("PixelRepresentation") == 1
        slope, intercept = raw.floats("RescaleSlope", 1), raw.floats("RescaleIntercept", 1)
        syntax = str(meta.get("TransferSyntaxUID", "")) or _guess_syntax(dataset)
        return SliceHeader(
            path=path,
            patient_id=raw.text("PatientID"),
            study_uid=raw.text("StudyInstanceUID"),
            series_uid=raw.text("SeriesInstanceUID"),
            sop_uid=raw.text("SOPInstanceUID"),
            sop_class=sop_class,
            modality=raw.text("Modality"),
            image_type=tuple(part.upper() for part in raw.texts("ImageType")),
            instance_number=raw.number("InstanceNumber", 0),
            num_frames=raw.number("NumberOfFrames", 1),
            rows=raw.unsigned("Rows") or 0,
            columns=raw.unsigned("Columns") or 0,
            samples=raw.unsigned("SamplesPerPixel") or 1,
            photometric=raw.text("PhotometricInterpretation"),
            bits_allocated=bits,
            bits_stored=raw.unsigned("BitsStored") or bits,
            signed=signed,
            position=raw.floats("ImagePositionPatient", 3),
            orientation=raw.floats("ImageOrientationPatient", 6),
            pixel_spacing=raw.floats("PixelSpacing", 2),
            slope=slope[0] if slope else None,
            intercept=intercept[0] if intercept else None,
            rescale_type=raw.text("RescaleType").upper(),
            tilt_degrees=(raw.floats("GantryDetectorTilt", 1) or (0.0,))[0],
            padding=_padding(raw, bits, signed) if bits in (8, 16, 32) else None,
            transfer_syntax=syntax,
            has_pixels=raw.element("PixelData") is not None,
            pixel_span=_span(raw, syntax),
        )
    except Exception as error:
        # A damaged file makes the parser fail in many ways; all mean the same to the study.
        detail = f"{path.name}: {type(error).__name__}: {error}"
        raise RefusedScan("unreadable_file", detail[:500]) from error
