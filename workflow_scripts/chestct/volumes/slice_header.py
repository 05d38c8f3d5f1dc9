"""What is known of one DICOM file before its pixels are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Length of a value that goes on to a delimiter.
UNDEFINED_LENGTH = 0xFFFFFFFF


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
        has_lut: stored values become HU by a table (Modality LUT), not by slope and intercept.
        lossy: some lossy compression was applied, now or earlier.
        pixel_span: offset and length in bytes of the pixels where they lie uncompressed, little endian.
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
