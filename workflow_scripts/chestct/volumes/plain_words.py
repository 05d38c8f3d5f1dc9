"""What ledgers and logs say of files and headers: places, numbers and known words, never names.

The name of a file, and any text of a header, may be a patient's. A ledger is read by colleagues, and a log is
sent to whoever can help. So every detail of a scan passes here, whoever worded it.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chestct.volumes.slice_header import SliceHeader

#: Words that the standard defines, or manufacturers write, in Modality, ImageType, RescaleType,
#: PhotometricInterpretation and ConvolutionKernel: none of them names anybody.
_WORDS = (
    "CT MR PT PET NM US CR DX MG XA RF OT SC SR SEG RTSTRUCT RTDOSE RTPLAN KO PR DOC REG PX IO ES XC OP SM "
    "ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER SCOUT HELIX VOLUME REFORMATTED MPR CPR MIP MINIP "
    "MAXIP T-MAXIP AVERAGE AVG AVE MEAN PROJECTION SSD VRT DRR 3D COMBINED SUBTRACTION PERFUSION OVERLAY "
    "IODINE WATER CT_SOM5 CT_SOM7 SPI SPO SEQ SUB STD NORM OTHER NONE MIXED RESAMPLED FILTERED "
    "HU HU_MOD OD MGML Z_EFF ED EDW PCT MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_ICT YBR_RCT "
    "YBR_PARTIAL_420 PALETTE COLOR ARGB STANDARD LUNG BONE BONEPLUS SOFT CHEST DETAIL EDGE ULTRA"
)
_KNOWN = frozenset(_WORDS.split())
#: Codes of kernels (B30F, BL57D3, FC08), UIDs and numbers.
_CODE = re.compile(r"[A-Z]{1,2}[0-9]{1,3}[A-Z]{0,2}[0-9]?|[0-9]+(\.[0-9]+)*")
#: Words of details themselves, which are no names where a file or folder is called so: all that the texts of
#: this package hold (a test looks), but for those that are surnames, too.
_OWN_WORDS = (
    "above acquisition acquisitiondate acquisitiondatetime acquisitionnumber acquisitions acquisitiontime "
    "add after again agents ages air all alone along analyze and anew angles annex another apart applied "
    "archive are asks axes axis back baseline before begin begins below beside between beyond bit bits "
    "bitsallocated bitsstored both burnedinannotation but byte bytes called can centi changes char codes "
    "codestream columns compressed compression computed content contenttime contrast contrastbolusagent "
    "convolutionkernel copies copy correct count crop cut damaged data dataset datatype deci declared "
    "deflated degrees derived descriptions device dicom differ different differs digest dimensions "
    "dimsize direction directions directories directory disk display does down download duplicates each "
    "early elementspacing elementtype else empty end ends energies energy error every expected extended "
    "far feet fetch fewer file files first folder folders for format forth found frame "
    "frameofreferenceuid frames from functional gantry gantrydetectortilt gap gaps get git gone groups "
    "gunzip gzip has have header headers high highbit highest hold holds hounsfield huffman identifier "
    "identifiers image imageorientationpatient imagepositionpatient images imagetype inch infinite "
    "instance instancenumber instead int integers intensity intercept interleaved into its join jpeg "
    "kernel kernels kilo known kvp labels largest left length lengths less level levels lfs library lies "
    "like line list little login longer looks lossless lossy lossyimagecompression lost low lut made "
    "manufacturer manufacturermodelname mask mean media median met metaimage micro microns missing "
    "modality modalitylutsequence more most move much must name named names nan nano near negative "
    "neighbouring neither network next nifti noise nominalpercentageofcardiacphase none nor not nothing "
    "nrrd number numberofframes numbers oddest off offset once one ones only orientation origin original "
    "origins orthonormal other others out outside over own packed pair parse passed path patient "
    "patientage patientid patients patientsex pause pauses people phase phases photometricinterpretation "
    "pipe pixel pixeldata pixelpaddingrangelimit pixelpaddingvalue pixelrepresentation pixels "
    "pixelspacing plane point position positions power ppm predictor pull put qform raw read readers "
    "reads reconstruction reference remove rename rescale rescaled rescaleintercept rescaleslope "
    "rescaletype right rows run same samplesperpixel say says scaled scan scans searched sec sequential "
    "series seriesdescription seriesinstanceuid seriesnumber set sexes sform shape sheared shift shifted "
    "side sign signed size sizes slice slices slicethickness slope smallest some sopclassuid "
    "sopinstanceuid space spacing spacings start storage stored stretches studies study studyinstanceuid "
    "such take taken temporalpositionidentifier test text than that the their them then there these they "
    "thick thicknesses those though three tiles tilt tilted time times tissue tolerance too train "
    "training transform transformmatrix turn turned turns twice two type types uid under unit units "
    "unknown unpack unsigned used utf value values voltages volume volumes voxel voxels was were what "
    "whatever where which whose window with within without word words write written zeros zip "
    "hu_plus_1024"
)
_OURS = frozenset(_OWN_WORDS.split())
#: Texts of a header that details may repeat.
_TEXTS: tuple[str, ...] = (
    "image_type",
    "modality",
    "photometric",
    "rescale_type",
    "patient_id",
    "study_uid",
    "series_uid",
)
_TEXTS += ("frame_uid", "sop_uid", "sop_class", "kernel", "description", "phase")
_TEXTS += ("manufacturer", "scanner_model", "contrast_agent")
#: Shorter names cannot be told from numbers and words of the detail itself, and name nobody.
_SHORTEST, _SHORTEST_NUMBER = 3, 5


def without_names(detail: str, path: Path, headers: Sequence["SliceHeader"] = ()) -> str:
    """A detail of the ledger without names of files and folders, and without texts of headers.

    Args:
        detail: numbers behind a reason.
        path: of the scan. Its files become ``file 3 of 120``, in the order of their names; its folder and
            those inside ``a folder``.
        headers: of its files, as far as they were read. Texts that are no known word, nor a UID, become
            ``(text)``.
    """
    if len(path.parts) > 1:  # one name alone is in words and numbers, as the dot of the working directory
        detail = detail.replace(str(path), "the scan")
    replaced = dict(_places(path)) | dict.fromkeys(_folders(path), "a folder")
    replaced |= dict.fromkeys(_texts(headers), "(text)")
    # The longest first: a name may be part of another one.
    for name in sorted((name for name in replaced if name.lower() in detail.lower()), key=len, reverse=True):
        detail = re.sub(rf"(?i)(?<![\w.]){re.escape(name)}(?!\w)", replaced[name], detail)
    return detail


def _can_name(text: str) -> bool:
    has_letter = any(letter.isalpha() for letter in text)
    is_ours = text.lower() in _OURS or text.upper() in _KNOWN
    return not is_ours and len(text) >= (_SHORTEST if has_letter else _SHORTEST_NUMBER)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def _places(path: Path) -> Iterator[tuple[str, str]]:
    if not _is_folder(path):
        if _can_name(path.name):
            yield path.name, "the file"
        return
    found = [(folder, name) for folder, _, names in os.walk(path) for name in names]
    for number, (folder, name) in enumerate(sorted(found), start=1):
        if _can_name(name):
            words = f"file {number} of {len(found)}"
            yield name, words
            yield os.path.relpath(os.path.join(folder, name), path), words  # noqa: PTH118


def _folders(path: Path) -> Iterator[str]:
    if _is_folder(path):
        inside = (name for _, folders, _ in os.walk(path) for name in folders)
        yield from filter(_can_name, (path.name, *inside))


def _texts(headers: Iterable["SliceHeader"]) -> set[str]:
    values = {value for header in headers for name in _TEXTS for value in _several(getattr(header, name, ""))}
    return {text for text in values if _can_name(text) and not _is_known(text)}


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _is_known(text: str) -> bool:
    words = re.split(r"[\s\\]+", text.upper())
    return all(word in _KNOWN or _CODE.fullmatch(word) for word in words)
