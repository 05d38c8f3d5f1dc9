"""The bytes of the elements that a header is made of, and the numbers and texts in them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydicom.tag import Tag

_KEYWORDS = (
    "ImageType SOPClassUID SOPInstanceUID Modality PatientID GantryDetectorTilt StudyInstanceUID "
    "SeriesInstanceUID FrameOfReferenceUID InstanceNumber ImagePositionPatient ImageOrientationPatient "
    "BurnedInAnnotation "
    "SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns PixelSpacing BitsAllocated "
    "BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit RescaleIntercept "
    "RescaleSlope RescaleType LossyImageCompression ModalityLUTSequence PixelData "
    "Manufacturer ManufacturerModelName ConvolutionKernel SliceThickness ContrastBolusAgent PatientAge "
    "PatientSex SeriesDescription SeriesNumber KVP AcquisitionNumber AcquisitionDate AcquisitionTime "
    "AcquisitionDateTime ContentTime TemporalPositionIdentifier NominalPercentageOfCardiacPhase"
)
#: Elements of a patient, a study or a series, which all its files hold alike (PS3.3 C.7.1 to C.7.3), and
#: settings of a scanner that it keeps for a scan. What they say is of no concern but where it differs.
CONSTANT_KEYWORDS = (
    *("PatientName", "PatientBirthDate", "PatientPosition", "StudyDate", "StudyTime", "SeriesDate"),
    *("SeriesTime", "ProtocolName", "FilterType", "ScanOptions", "ReconstructionDiameter"),
    *("ContrastBolusVolume", "ContrastBolusStartTime", "ContrastBolusIngredient", "ContrastBolusRoute"),
    *("StudyDescription", "AccessionNumber", "BodyPartExamined", "StationName", "DeviceSerialNumber"),
    *("SoftwareVersions", "ReconstructionAlgorithm"),
)
#: What may change along a scan, but not to and fro from slice to slice.
SETTING_KEYWORDS = (
    "TriggerTime",
    "ImageComments",
    "ExposureTime",
    "TableHeight",
    "XRayTubeCurrent",
    "Exposure",
    "IrradiationEventUID",
    "SpiralPitchFactor",
    "RevolutionTime",
    "DataCollectionDiameter",
    "FocalSpots",
    "ContrastFlowRate",
    "CTDIvol",
    "DerivationDescription",
)
#: The elements that a header is made of, by keyword.
TAGS: dict[str, int] = {
    keyword: int(Tag(keyword)) for keyword in (*_KEYWORDS.split(), *CONSTANT_KEYWORDS, *SETTING_KEYWORDS)
}
_CONSTANT_TAGS = [TAGS[keyword] for keyword in CONSTANT_KEYWORDS]
_SETTING_TAGS = [TAGS[keyword] for keyword in SETTING_KEYWORDS]
#: Values longer than this (the pixels) are not part of a header.
DEFER_BYTES = 4096
#: Length of a value that goes on to a delimiter.
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class Elements:
    """The raw elements of one file.

    Attributes:
        values: bytes by tag, of elements present in the file; None: left in the file for its length.
        span: offset and length of PixelData's value, where present; UNDEFINED_LENGTH if encapsulated.
        little_endian: byte order of binary values.
    """

    values: Mapping[int, bytes | None]
    span: tuple[int, int] | None
    little_endian: bool = True


# Slices of a series share most values, so that converting each distinct one once saves half the time.
@lru_cache(maxsize=4096)
def _texts(value: bytes) -> tuple[str, ...]:
    text = value.decode("latin-1").strip(" \x00")
    return tuple(part.strip(" \x00") for part in text.split("\\"))


@lru_cache(maxsize=4096)
def _floats(value: bytes, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(part) for part in _texts(value))
    except ValueError:
        return None
    # Python reads 1_0 as ten; DICOM knows no underscores.
    if len(values) != count or not all(map(math.isfinite, values)) or b"_" in value:
        return None
    return values


class RawValues:
    """Values of elements, by keyword."""

    def __init__(self, elements: Elements) -> None:
        self._values = elements.values
        self._order = "little" if elements.little_endian else "big"

    def constants(self) -> tuple[bytes, ...]:
        """Bytes of the elements ``CONSTANT_KEYWORDS``, empty where absent."""
        values = self._values
        return tuple([values.get(tag) or b"" for tag in _CONSTANT_TAGS])

    def settings(self) -> tuple[bytes, ...]:
        """Bytes of the elements ``SETTING_KEYWORDS``, empty where absent."""
        values = self._values
        return tuple([values.get(tag) or b"" for tag in _SETTING_TAGS])

    def text(self, keyword: str) -> str:
        value = self._values.get(TAGS[keyword])
        return _texts(value)[0] if value else ""

    def texts(self, keyword: str) -> tuple[str, ...]:
        value = self._values.get(TAGS[keyword])
        return _texts(value) if value else ()

    def floats(self, keyword: str, count: int) -> tuple[float, ...] | None:
        value = self._values.get(TAGS[keyword])
        return _floats(value, count) if value else None

    def decimal(self, keyword: str) -> float | None:
        values = self.floats(keyword, 1)
        return values[0] if values else None

    def number(self, keyword: str, default: int) -> int:
        values = self.floats(keyword, 1)
        return default if values is None else int(values[0])

    def unsigned(self, keyword: str) -> int | None:
        value = self._values.get(TAGS[keyword])
        if not value or len(value) > 4:
            return None
        return int.from_bytes(value, self._order)  # type: ignore[arg-type]
