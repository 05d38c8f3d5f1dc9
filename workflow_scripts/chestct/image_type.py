"""What ImageType (0008,0008) says of a CT image, by the standard and by vendors' words.

The standard (PS3.3 C.7.6.1.1.2) gives the values a place each: 1, ORIGINAL or DERIVED, whether the pixels
were computed from other images; 2, PRIMARY or SECONDARY, whether the image was made by the examination or
after it; 3, AXIAL or LOCALIZER (C.8.2.1.1.1); 4, for multi-energy images, what was computed
(C.8.15.3.8, C.8.16.1). Writers keep neither to places nor to words: `DERIVED\\CT_SOM5 SPI\\PRIMARY\\AXIAL`,
`ORIGINAL\\PRIMARY\\AXIAL\\MIP`, `CT_SOM5 AVE`. So the words count wherever they stand.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

#: Kinds of images, from the one that makes a scan to those that never do.
ORIGINAL, LATER, DERIVED_SLICE = "original", "later", "derived_slice"
DERIVED, NO_HU, LOCALIZER = "derived", "no_hu", "localizers"

_LOCALIZERS = re.compile(
    r"LOCALI[SZ]ERS?|SCOUT\w*|TOP|TOPO(?:GRAM\w*)?|SURV(?:IEW|EY)S?|SCANO\w*|PILOT|RADIOGRAPH\w*"
)
#: Images computed over slices, phases or energies: in HU, but of no one acquisition, or of another geometry.
_COMPUTED = re.compile(
    # Longer words hold some of them: PHASEAVG, THINMIP, MIPZ. COMPRESSED holds MPR, SAVE holds AVE.
    r".*MIP.*|.*M(?:AX|IN|X|N|EAN)I(?:P|NT).*|.*AVG.*|(?:.*[^SW])?AVE|.*MEAN|.*MEDIAN|.*MPR|MPR.*|.*VNC.*|.*VMI.*"
    r"|.*\d*KEV|(?:T|TEMP|4D|CT|DE)?(?:AIP|AVES|AVRG|AVEIP|AVIP|MINP|MAX|MIN|MPVR|MPPR|CPR|TNC|VUE|DRR)"
    r"|(?:T|TEMP|4D|CT|DE)?SUM(?:MED|MATION)?|INTEGRAL|.*SLABS?|MAXIMUM|MINIMUM|MONO(?!CHROME\d?$).*"
    r"|RADIAL|COMPOSED|COMPOSITE|MONTAGE|ADDITION|DIVISION|MULTIPLICATION|MASKED|VPCT|DISTORTED"
)
_COMPUTED_STEMS = (
    *("AVERAG", "PROJECT", "REFORM", "RESAMPL", "RESLIC", "CURV", "STITCH", "MULTIPLANAR", "INTERPOL"),
    *("REGISTER", "DEFORM", "WARP", "VIRTUAL", "SYNTHE", "SIMULAT", "REMOV", "CSAPARALLEL", "CSARADIAL"),
)
#: Images whose values are no HU of tissue: amounts of a material, blood flow, differences, pictures.
_NO_HU = re.compile(
    r"SSD|VRT|VRS?|CB[FV]\w?|MTT\w?|TTP\w?|TMAX|PBV|ECV|WATER|CALCIUM|URIC|GOUT|FAT|HAP|RHOZ?|ELECTRON|XENON|DSA|SUBS?"
    r"|DIFF|QUANTITY|VARIANCE|RGB|REPORT|PROT|FFR|SCREEN|SCREENSHOT|SCREENSAVE|PATLAK|.*DENSITY|.*MAPS?"
)
_NO_HU_STEMS = (
    *("IODIN", "ZEFF", "MATERIAL", "SUBTRACT", "SURESUBTR", "DIFFEREN", "PERFUS", "PERMEAB", "VENTILAT"),
    *("BLOODFLOW", "BLOODVOL", "EXTRACTION", "STOPPING", "RENDER", "SURFACE", "OVERLAY", "FUSION", "FUSED"),
    *("COLOR", "COLOUR", "CAPTUR", "SEGMENTE", "SEGMENTA", "PROTOCOL"),
)
_NO_HU_PHRASES = (
    *("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE", "EFF_ATOMIC", "ATOMIC_NUM", "Z_EFF", "EFFECTIVE_Z"),
    *("STD_DEV", "STANDARD_DEVIATION", "BLOOD_FLOW", "BLOOD_VOLUME", "DOSE_INFO", "DOSE_REPORT"),
)
#: Phrases of several words for images in HU.
_COMPUTED_PHRASES = ("MAT_REMOVED", "MAT_MODIFIED", "RAY_SUM", "RAYSUM", "CSA_PARALLEL", "MULTI_PLANAR")
#: Words that a derived image may have and yet be a slice: how it was scanned, reconstructed, packed;
#: any other word may be a vendor's own for something computed.
_OF_SLICES = re.compile(
    r"DERIVED|PRIMARY|AXIAL|VOLUME|NONE|CT|SOM[S\d]*|SPI|SPO|SEQ|SPIRAL|SEQUENCE|SEQUENCED|HELIX|HELICAL|VOLUMETRIC|DUAL|DET|AB?|B"
    r"|STD|STANDARD|SNRG|SOFT|SHARP|LUNG|BONE|BODY|CHEST|THORAX|LOW|DOSE|THIN|SLICES?|3DSLICE|HR|HD|FBP|IR|ASIR|ASIRV|V"
    r"|DLIR|QIR|PIQE|AR|SS|IDOSE|IMR|SAFIRE|ADMIRE|AIDR|AIDR3D|FIRST|AICE|VEO|MBIR|TRUEFIDELITY|RECON\w*|FILTER\w*|DENOIS\w*|SMOOTH\w*"
    r"|CORRECT\w*|HEADER|CONVERTED|ANONYM\w*|DEIDENTIFIED|COMPRESS\w*|LOSSY|LOSSLESS|JPEG\w*|JP2K?|J2K|JPG|JLS|RLE|\d+"
)


@lru_cache(maxsize=256)
def _words(values: tuple[str, ...]) -> tuple[str, ...]:
    words = re.split(r"[^A-Z0-9]+", "_".join(values).upper())
    # MIP10MM is a MIP; a number alone stays.
    return tuple(re.sub(r"(?<=[A-Z])\d+(?:MM)?$", "", word) for word in words if word)


def _is_no_hu(words: tuple[str, ...], phrase: str) -> bool:
    return any(part in phrase for part in _NO_HU_PHRASES) or any(
        _NO_HU.fullmatch(word) or word.startswith(_NO_HU_STEMS) for word in words
    )


def _is_computed(words: tuple[str, ...], phrase: str) -> bool:
    return any(part in phrase for part in _COMPUTED_PHRASES) or any(
        _COMPUTED.fullmatch(word) or word.startswith(_COMPUTED_STEMS) for word in words
    )


@lru_cache(maxsize=256)
def kind_of_image(values: tuple[str, ...]) -> str:
    """What a CT image is, by its ImageType.

    Args:
        values: of ImageType, in any case; none, as in anonymised data, passes as original.

    Returns:
        ``original``, or ``later`` (ORIGINAL\\SECONDARY: its pixels are original, it was made after the
        examination), or ``derived_slice`` (DERIVED\\PRIMARY\\AXIAL, or VOLUME as of enhanced CT, and no
        word but of how it was scanned, reconstructed, filtered or compressed); ``derived`` (computed, values
        in HU), ``no_hu`` (values that are no HU of tissue), ``localizers``.

    >>> kind_of_image(("ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"))
    'original'
    >>> kind_of_image(("ORIGINAL", "SECONDARY", "AXIAL")), kind_of_image(("DERIVED", "PRIMARY", "AXIAL"))
    ('later', 'derived_slice')
    >>> kind_of_image(("ORIGINAL", "PRIMARY", "AXIAL", "MIP")), kind_of_image(("DERIVED", "IODINE"))
    ('derived', 'no_hu')
    """
    words = _words(values)
    phrase, present = "_".join(words), set(words)
    if any(_LOCALIZERS.fullmatch(word) for word in words):
        return LOCALIZER
    if _is_no_hu(words, phrase):
        return NO_HU
    if _is_computed(words, phrase):
        return DERIVED
    # MIXED in value 1 stands for frames of both kinds, in a file that does not say which is which.
    if "DERIVED" in present or words[:1] == ("MIXED",):
        is_slice = {"DERIVED", "PRIMARY"} <= present and not present.isdisjoint(("AXIAL", "VOLUME"))
        is_slice &= all(_OF_SLICES.fullmatch(word) for word in words)
        return DERIVED_SLICE if is_slice else DERIVED
    return LATER if "SECONDARY" in present else ORIGINAL


def values_of(image_type: str | Iterable[str] | None) -> tuple[str, ...]:
    """The values of ImageType as pydicom gives them: several, one alone as a text, or none."""
    return (image_type,) if isinstance(image_type, str) else tuple(image_type or ())


def rank_of_image(values: str | Iterable[str] | None) -> int:
    """How far an image comes first among those of a study: the higher, the rather it is taken.

    Args:
        values: of ImageType, as pydicom gives them.
    """
    return {ORIGINAL: 3, LATER: 2, DERIVED_SLICE: 1}.get(kind_of_image(values_of(values)), 0)


def computed_words(text: str) -> list[str]:
    """Words of a series' description that name a computed image, as this module spells them.

    Nothing else of the text is returned, since free text may name a patient.

    >>> computed_words("Thorax MIP 10mm of Jane Doe")
    ['MIP']
    """
    words = _words((text,))
    named = ("MIP", "MINIP", "MAXIP", "MPR", "CPR", "AVG", "AVE", "AIP", "MEAN", "VMI", "VNC", "VUE", "DRR")
    found = {word for word in words if word in named}
    stems = ("AVERAG", "PROJECTION", "REFORM", "MONOE", "IODIN")
    found |= {stem for word in words for stem in stems if word.startswith(stem)}
    return sorted(found)
