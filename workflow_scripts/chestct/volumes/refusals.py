"""What becomes of an imperfect scan: every reason that the ledger may name, and the rule behind it."""

#: Scans that are not converted, by reason. Nothing is ever interpolated to mend one.
REFUSALS = {
    "missing_files": "a path or entry that does not exist, cannot be read, or is a pointer or no file",
    "no_dicom_files": "neither the folder nor a folder inside it holds a DICOM file",
    "packed_files": "DICOM files that are compressed (.dcm.gz) or in an archive (.zip): to be unpacked",
    "unreadable_file": "a file that should belong to the scan does not parse; its name is in the detail",
    "unsupported_format": "a file that is neither NIfTI, NRRD nor MetaImage",
    "several_series": "CT images of more than one series in the folder, and none has most slices",
    "several_studies": "CT images of more than one study in the folder, and none of them is named",
    "mixed_identifiers": "one series of several patients, studies, frames of reference or modalities",
    "wrong_series": "the series that the series table names is not in the folder",
    "wrong_modality": "no CT image in the folder",
    "no_original_images": "only localizers, secondary captures or computed images (projections, averages, "
    "material maps, reformations) in the folder",
    "several_acquisitions": "slices of several phases, kernels, energies, contrasts or times, whatever their "
    "identifiers say",
    "fewer_files_than_expected": "fewer DICOM files than the series table announces",
    "multiframe": "several frames in one file, without functional groups that say where each lies",
    "too_few_slices": "fewer than two slices, so that no spacing is known",
    "bad_geometry": "position, orientation or pixel spacing absent, malformed or impossible",
    "mixed_sizes": "slices of different numbers of rows or columns",
    "mixed_orientation": "slices of different orientations",
    "mixed_spacing": "slices of different pixel spacings",
    "gantry_tilt": "a tilt in the header, or slices that shift along the stack",
    "shifted_slices": "slices whose in-plane positions differ without being a tilt",
    "not_axial": "rows and columns that are not within a degree of the patient's axes, or not axial",
    "duplicate_positions": "two different images at one position",
    "duplicate_identifiers": "one SOPInstanceUID at two positions",
    "missing_slices": "a gap of a whole multiple of the slice spacing",
    "irregular_spacing": "slice spacing that varies beyond the tolerance (see geometry.spacing_tolerance_mm)",
    "gaps_between_slices": "slices several times as far apart as they are thick",
    "thick_slabs": "slices several times as thick as they are far apart, as in sliding slabs",
    "bad_rescale": "slope or intercept absent or impossible, or values beyond int16 after rescaling",
    "not_hounsfield": "values that are declared or evidently not HU",
    "truncated_file": "fewer pixel bytes than rows and columns need",
    "undecodable_pixels": "pixel data that no available decoder reads",
    "unsupported_pixels": "colour, inverted grey, or pixels that are no integers of 8, 16 or 32 bits",
    "not_display": "values outside 0 to 255, or DICOM, in a dataset of display images (intensity: display)",
    "not_3d": "a volume file of other than three dimensions",
    "not_scalar": "a volume file of several components a voxel",
    "not_finite": "a volume file with voxels that are not finite",
    "duplicate": "the same voxels as another scan of the dataset, whatever its path and its header",
    "wrong_suffix": "a volume file that is not what its name says, such as a packed .nii",
    "wrong_length": "a volume file with fewer or more voxels than its header says, or other numbers of files",
    "contradicting_header": "a volume file whose header says two things, such as sform and qform that differ",
    "sheared_axes": "a volume file with axes that are not at right angles",
    "other_units": "a volume file with lengths that are not in mm",
    "too_large": "a volume file of more voxels than a scan has",
    "outside_file": "a volume file that names voxels outside its own folder, a pipe or a device",
}

#: Refusals that a dataset may accept by hand (its key ``accept``): voxels stay HU, each where its slice says.
ACCEPTABLE = (
    "no_original_images",
    "several_acquisitions",
    "gaps_between_slices",
    "thick_slabs",
    "gantry_tilt",
    "missing_slices",
    "irregular_spacing",
    "fewer_files_than_expected",
)

#: Scans that are converted after a documented repair, by reason.
REPAIRS = {
    "chose_largest_series": "several series in the folder and none named: the one with most slices is taken",
    "accepted_derived": "only derived CT images: those of type DERIVED\\PRIMARY\\AXIAL are taken",
    "accepted_by_hand": "would be refused, for a reason that the dataset accepts (key accept): in the detail",
    "dropped_duplicates": "identical images at one position: the first by instance number is kept",
    "dropped_localizers": "localizers beside the series left out",
    "dropped_derived": "derived images beside the original ones left out",
    "dropped_secondary": "secondary captures and other objects that are not CT images left out",
}


class RefusedScan(Exception):  # noqa: N818 (a verdict on a scan, not an error of the program)
    """A scan that the study does not take.

    Attributes:
        reason: a key of ``REFUSALS``.
        detail: the numbers behind it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in REFUSALS, reason
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
