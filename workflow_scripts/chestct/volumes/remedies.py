"""What to do about a scan that is refused, by reason: the last of a message's four parts."""

from collections.abc import Iterable

from chestct.volumes.refusals import ACCEPTABLE

_AGAIN = "copy it again, or export it anew from where it came"
_SEPARATE = "separate them, a folder each, and name the one that you mean"
#: By reason of ``refusals.REFUSALS``; where the detail says it, too, in general.
REMEDIES = {
    "missing_files": "check the path and its rights; fetch what git-annex or Git LFS keeps elsewhere; remove "
    "links to nothing, pipes and sockets from the folder",
    "no_dicom_files": "name the folder of the series, or the volume file itself",
    "packed_files": "unpack them into a folder, and name that",
    "unreadable_file": f"{_AGAIN}; a file that is no part of the scan belongs elsewhere",
    "unsupported_format": "name a folder of DICOM, or write the volume as NIfTI-1, NRRD or MetaImage in HU",
    "several_series": f"{_SEPARATE}; chestct convert FOLDER OUT_FOLDER converts all of them",
    "several_studies": "name the folder of one study, or give its StudyInstanceUID as the scan's identifier",
    "mixed_identifiers": f"files of several scans, or identifiers that were removed by halves: {_SEPARATE}",
    "wrong_series": "correct the table of series, or download the series again",
    "wrong_modality": "name the folder of the CT series",
    "no_original_images": "name the folder of the reconstructed axial series",
    "several_acquisitions": _SEPARATE,
    "fewer_files_than_expected": "fetch the missing files",
    "multiframe": "export one file a slice, or enhanced CT with functional groups",
    "too_few_slices": "name the folder of the whole series, or the whole volume: one slice has no spacing",
    "bad_geometry": "export the scan anew: where its slices lie cannot be guessed",
    "mixed_sizes": _SEPARATE,
    "mixed_orientation": _SEPARATE,
    "mixed_spacing": _SEPARATE,
    "gantry_tilt": "take another reconstruction, or resample the scan to upright slices with another tool",
    "shifted_slices": "export the scan anew, or resample it with another tool",
    "not_axial": "take the axial reconstruction, or resample the scan to axial slices with another tool",
    "duplicate_positions": f"two reconstructions or phases lie in one folder: {_SEPARATE}",
    "duplicate_identifiers": "export the scan anew: two images bear one identifier",
    "missing_slices": "fetch the missing slices",
    "irregular_spacing": "fetch missing slices, or take another reconstruction",
    "gaps_between_slices": "take a contiguous reconstruction",
    "thick_slabs": "take the thin slices that the slabs were made of",
    "bad_rescale": "export the scan anew with RescaleSlope and RescaleIntercept, or write its volume in HU",
    "not_hounsfield": "take the scan in HU; if all are HU + 1024 or grey values, say so: `intensity` of the "
    "dataset, --intensity of chestct convert",
    "truncated_file": _AGAIN,
    "undecodable_pixels": f"{_AGAIN}, or decompress it with another tool",
    "unsupported_pixels": "name the folder of the CT images themselves: colour and captures hold no HU",
    "not_display": "take grey values from 0 to 255, or leave out `intensity: display`",
    "not_3d": "write one volume a file: of one time, with three dimensions",
    "not_scalar": "take the CT volume itself: colour, vectors and labels of several components hold no HU",
    "not_finite": "write the scan anew, with air (-1024) where there is no image",
    "duplicate": "leave out the repetition, or set `duplicates` of the dataset",
    "wrong_suffix": "rename the file, or pack it as its name says",
    "wrong_length": f"{_AGAIN}, or correct its header",
    "contradicting_header": "write the scan anew with a header that says one thing",
    "sheared_axes": "resample the scan to axes at right angles with another tool",
    "other_units": "write the scan anew in mm",
    "too_large": "crop the scan, or write it with fewer voxels",
    "outside_file": "put the file of voxels beside its header, and name it there without a folder",
    "not_obtained": "the detail says why; the study's command tries again",
    "altered": "the files are not as they were published or taken: restore them, and give the command again",
    "unexpected_error": "report it, with the lines above: it is the program's fault",
}


def remedy_for_reason(reason: str) -> str:
    """What to do about scans that are refused for one reason."""
    remedy = REMEDIES.get(reason, "read the detail")
    if reason in ACCEPTABLE:
        way = f"accept: [{reason}] of the dataset, --accept {reason} of chestct convert"
        remedy += f"; or take such scans as they are: {way}"
    return remedy


def remedy_lines(reasons: Iterable[str]) -> list[str]:
    """A line for each of the reasons, in the order of their first places."""
    return [f"remedy for {reason}: {remedy_for_reason(reason)}" for reason in dict.fromkeys(reasons)]
