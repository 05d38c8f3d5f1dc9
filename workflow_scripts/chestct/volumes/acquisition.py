"""How a scan was acquired, from its DICOM headers: what could tell the label without the image.

Only fields that identify nobody are kept. Free text is trimmed and written alike, so that two spellings of
one manufacturer are one group; ages above 89 count as 90, since they identify (HIPAA's Safe Harbor rule).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chestct.volumes.slice_header import SliceHeader

#: Ages above 89 years identify a person: they become this one.
OLDEST_YEARS = 90
_MAX_CHARACTERS = 64
#: A manufacturer whose name begins with one of these words is written as that word alone.
_MANUFACTURERS = ("GE", "SIEMENS", "PHILIPS", "TOSHIBA", "CANON", "HITACHI", "FUJIFILM", "IMATRON", "PICKER")
#: Years of DICOM's units of age.
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE = re.compile(r"(\d{1,3})([YMWD]?)")
#: What headers say where no contrast agent was given.
_NO_AGENT = frozenset({"NONE", "NO", "N", "0", "NON", "WITHOUT", "NO CONTRAST", "W/O", "NATIVE"})
_UNKNOWN = frozenset({"UNKNOWN", "N/A", "NA", "-", "?", "ANONYMOUS", "ANONYMIZED", "REMOVED"})
_SEXES = frozenset({"M", "F", "O"})


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """How a scan was acquired; None where the file does not say.

    Attributes:
        manufacturer, scanner_model, kernel: upper-case text.
        slice_thickness_mm: SliceThickness, of what one image averages over.
        spacing_z_mm: between slices.
        pixel_mm: mean of the rows' and the columns' spacing, before resampling.
        num_slices: of the scan as read.
        contrast: 1 where the header names a contrast agent, 0 where it says that none was given.
        age_years: whole years, 90 for all above 89.
        sex: M, F or O.
    """

    manufacturer: str | None = None
    scanner_model: str | None = None
    kernel: str | None = None
    slice_thickness_mm: float | None = None
    spacing_z_mm: float
    pixel_mm: float
    num_slices: int
    contrast: int | None = None
    age_years: int | None = None
    sex: str | None = None


def plain_text(text: str) -> str | None:
    """Text in upper case without odd characters and repeated blanks; None where nothing is left.

    >>> plain_text("  Sensation   64 ")
    'SENSATION 64'
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(printable.upper().split())[:_MAX_CHARACTERS].strip()
    return None if not words or words in _UNKNOWN else words


def manufacturer_name(text: str) -> str | None:
    """One name a manufacturer.

    >>> manufacturer_name("GE MEDICAL SYSTEMS"), manufacturer_name("Siemens Healthineers")
    ('GE', 'SIEMENS')
    """
    name = plain_text(text)
    first = re.split(r"[ ,._-]", name)[0] if name else None
    return first if first in _MANUFACTURERS else name


def kernel_name(parts: Sequence[str]) -> str | None:
    """The convolution kernel; several values, as iterative reconstructions have, are joined by a slash."""
    return plain_text("/".join(part.strip() for part in parts if part.strip()))


def contrast_given(agent: str) -> int | None:
    """Whether ContrastBolusAgent names an agent: 1; 0 where it denies one, None where it is empty.

    Empty or absent does not mean that none was given: de-identification empties it too.
    """
    name = plain_text(agent)
    return None if name is None else int(name not in _NO_AGENT)


def age_in_years(text: str) -> int | None:
    """Whole years of a DICOM age such as 063Y, 018M, 004W or 012D; None where it is none.

    >>> age_in_years("063Y"), age_in_years("018M"), age_in_years("095Y"), age_in_years("old")
    (63, 1, 90, None)
    """
    found = _AGE.fullmatch(text.strip().upper())
    if not found:
        return None
    years = int(int(found[1]) * _YEARS[found[2] or "Y"])
    return OLDEST_YEARS if years >= OLDEST_YEARS else years


def sex_of(text: str) -> str | None:
    """M, F or O, else None."""
    sex = text.strip().upper()
    return sex if sex in _SEXES else None


def read_acquisition(
    header: SliceHeader, *, spacing_z_mm: float, pixel_mm: float, num_slices: int
) -> Acquisition:
    """What a header of a series says, beside the geometry of the series as read.

    Args:
        header: of any of its images; these fields are the same in all images of a series.
        spacing_z_mm, pixel_mm, num_slices: see ``Acquisition``.
    """
    thickness = header.slice_thickness
    return Acquisition(
        manufacturer=manufacturer_name(header.manufacturer),
        scanner_model=plain_text(header.scanner_model),
        kernel=kernel_name(header.kernel),
        slice_thickness_mm=thickness if thickness is not None and thickness > 0 else None,
        spacing_z_mm=spacing_z_mm,
        pixel_mm=pixel_mm,
        num_slices=num_slices,
        contrast=contrast_given(header.contrast_agent),
        age_years=age_in_years(header.patient_age),
        sex=sex_of(header.patient_sex),
    )
