"""Enhanced and legacy-converted CT: a file of several images is one volume where its frames are a stack."""

import numpy as np
import pytest
from dicom_files import compress, make_slice, phantom, refusal, write_series
from encoded_frames import FRAMES, IMAGES
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from chestct.volumes.convert_scan import convert_one, read_series
from chestct.volumes.multi_frame import is_multi_frame, slices_of
from chestct.volumes.slice_header import read_header

NUM = 6


def group(**elements):
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return [item]


def frame_groups(i, order):
    item = Dataset()
    z = -300 + 2.5 * order[i]
    item.PlanePositionSequence = group(ImagePositionPatient=[-100, -80, z])
    item.FrameContentSequence = group(FrameAcquisitionNumber=1, TemporalPositionIndex=1)
    item.CTImageFrameTypeSequence = group(FrameType=["ORIGINAL", "PRIMARY", "AXIAL", "NONE"])
    item.ConversionSourceAttributesSequence = group(
        ReferencedSOPClassUID=uid.CTImageStorage, ReferencedSOPInstanceUID=f"1.2.3.{order[i] + 1}"
    )
    return item


def multi_frame(stored, *, order=None, edit=None, sop_class=uid.EnhancedCTImageStorage):
    """One file of the slices ``stored`` (n, rows, columns); frame i is slice ``order[i]``."""
    order = range(len(stored)) if order is None else order
    dataset = make_slice(stored[0], position=(0, 0, 0))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del dataset[keyword]
    del dataset["RescaleSlope"], dataset["RescaleIntercept"]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.75, 0.75], SliceThickness=2.5)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelValueTransformationSequence = group(RescaleIntercept=0, RescaleSlope=1, RescaleType="HU")
    shared.CTReconstructionSequence = group(ConvolutionKernel="B30f")
    shared.CTXRayDetailsSequence = group(KVP=120.0)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [frame_groups(i, order) for i in range(len(stored))]
    dataset.NumberOfFrames = len(stored)
    content = b"".join(stored[i].tobytes() for i in order)
    dataset["PixelData"] = DataElement("PixelData", "OW", content)
    if edit is not None:
        edit(dataset)
    return dataset


def write(folder, dataset, name="volume.dcm"):
    folder.mkdir(exist_ok=True)
    dataset.save_as(folder / name, enforce_file_format=True)
    return folder


@pytest.mark.parametrize("sop_class", [uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage])
@pytest.mark.parametrize("order", [None, [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]])
def test_frames_are_slices_in_the_order_of_their_positions(tmp_path, hu, sop_class, order):
    folder = write(tmp_path / "s", multi_frame(hu, order=order, sop_class=sop_class))
    scan, report = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.spacing_mm == (2.5, 0.75, 0.75) and scan.origin_mm == (-100, -80, -300)
    assert scan.sop_uids == tuple(f"1.2.3.{i + 1}" for i in range(NUM))
    assert (report.num_files, report.num_slices, report.repairs) == (1, NUM, [])
    assert (scan.acquisition.kernel, scan.acquisition.slice_thickness_mm) == ("B30F", 2.5)
    np.testing.assert_array_equal(read_series(folder / "volume.dcm")[0].hu, hu)


def test_each_frame_has_its_own_rescale(tmp_path, hu):
    def edit(dataset):
        del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            item.PixelValueTransformationSequence = group(
                RescaleIntercept=-i, RescaleSlope=1, RescaleType="HU"
            )

    scan, _ = read_series(write(tmp_path / "s", multi_frame(hu, edit=edit)))
    np.testing.assert_array_equal(scan.hu, np.maximum(hu - np.arange(NUM)[:, None, None], -1024))


def test_a_volume_in_two_files_of_a_concatenation(tmp_path, hu):
    for number, start in enumerate((0, 3)):
        dataset = multi_frame(hu[start : start + 3])
        dataset.ConcatenationFrameOffsetNumber, dataset.InConcatenationNumber = start, number + 1
        for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            item.PlanePositionSequence[0].ImagePositionPatient = [-100, -80, -300 + 2.5 * (start + i)]
            del item.ConversionSourceAttributesSequence
        write(tmp_path / "s", dataset, f"{number}.dcm")
    np.testing.assert_array_equal(read_series(tmp_path / "s")[0].hu, hu)


def test_one_frame_a_file(tmp_path, hu):
    for i in range(NUM):
        dataset = multi_frame(hu[i : i + 1])
        position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
        position.ImagePositionPatient = [-100, -80, -300 + 2.5 * i]
        dataset.PerFrameFunctionalGroupsSequence[0].ConversionSourceAttributesSequence = group(
            ReferencedSOPInstanceUID=f"1.2.3.{i + 1}"
        )
        write(tmp_path / "s", dataset, f"{i}.dcm")
    np.testing.assert_array_equal(read_series(tmp_path / "s")[0].hu, hu)


def test_frames_are_halved_as_slices_are(tmp_path):
    hu = phantom((NUM, 16, 16))
    np.testing.assert_array_equal(
        read_series(write(tmp_path / "s", multi_frame(hu)), size_px=8)[0].hu,
        read_series(write_series(tmp_path / "slices", hu), size_px=8)[0].hu,
    )


@pytest.mark.parametrize("name", ["jpeg_lossless_1", "jpeg_2000"])
def test_compressed_frames(tmp_path, name):
    image = IMAGES["rough"]
    syntax = uid.JPEGLosslessSV1 if name.startswith("jpeg_lossless") else uid.JPEG2000Lossless
    dataset = multi_frame(np.stack([image] * 3))
    groups = dataset.SharedFunctionalGroupsSequence[0]
    groups.PixelValueTransformationSequence[0].RescaleIntercept = -1024
    compress(dataset, FRAMES[name], syntax, bits=12)
    dataset["PixelData"] = DataElement("PixelData", "OB", encapsulate([FRAMES[name]] * 3))
    dataset["PixelData"].is_undefined_length = True
    scan, _ = read_series(write(tmp_path / "s", dataset))
    np.testing.assert_array_equal(scan.hu, np.stack([image.astype(int) - 1024] * 3))


@pytest.mark.parametrize("extended", [False, True])
def test_frames_that_run_length_encoding_packs(tmp_path, hu, extended):
    dataset = multi_frame(hu, order=[3, 0, 5, 1, 4, 2])
    dataset.compress(uid.RLELossless, encapsulate_ext=extended)
    np.testing.assert_array_equal(read_series(write(tmp_path / "s", dataset))[0].hu, hu)


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian]
)
def test_frames_in_other_transfer_syntaxes(tmp_path, hu, syntax):
    dataset = multi_frame(hu.astype(">i2") if syntax == uid.ExplicitVRBigEndian else hu)
    dataset.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read_series(write(tmp_path / "s", dataset))[0].hu, hu)


def moving(dataset):
    position = dataset.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0]
    position.ImagePositionPatient = [-100, -80, -290.5]


def losing_a_position(dataset):
    del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence


def two_phases(dataset):
    for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item.FrameContentSequence[0].TemporalPositionIndex = 1 + i % 2


def two_phases_at_the_same_places(dataset):
    for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item.PlanePositionSequence[0].ImagePositionPatient = [-100, -80, -300 + 2.5 * (i // 2)]


def fewer_groups(dataset):
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]


def no_groups(dataset):
    del dataset["PerFrameFunctionalGroupsSequence"]


def a_material_map(dataset):
    for item in dataset.PerFrameFunctionalGroupsSequence:
        item.CTImageFrameTypeSequence[0].FrameType = ["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"]


def fewer_pixels(dataset):
    dataset["PixelData"].value = dataset.PixelData[:-384]


def projecting(dataset):
    for item in dataset.PerFrameFunctionalGroupsSequence:
        item.CTImageFrameTypeSequence[0].VolumeBasedCalculationTechnique = "MAX_IP"


def distorting(dataset):
    dataset.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence = group(
        FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], VolumetricProperties="DISTORTED"
    )
    for item in dataset.PerFrameFunctionalGroupsSequence:
        del item.CTImageFrameTypeSequence


def of_both_kinds(dataset):
    dataset.ImageType = ["MIXED", "PRIMARY", "VOLUME", "NONE"]
    for item in dataset.PerFrameFunctionalGroupsSequence:
        del item.CTImageFrameTypeSequence


def two_stacks(dataset):
    for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item.FrameContentSequence[0].StackID = str(1 + i // 3)


def two_times(dataset):
    for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item.FrameContentSequence[0].FrameReferenceDateTime = f"202001011{i % 2}1500"


def two_fields_of_view(dataset):
    del dataset.SharedFunctionalGroupsSequence[0].CTReconstructionSequence
    for i, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item.CTReconstructionSequence = group(
            ConvolutionKernel="B30f", ReconstructionDiameter=300 + i % 2 * 50
        )


BENT = {
    "projections by their technique": (projecting, "no_original_images"),
    "distorted": (distorting, "no_original_images"),
    "mixed, and nothing by frame": (of_both_kinds, "no_original_images"),
    "two stacks": (two_stacks, "several_acquisitions"),
    "times of reference": (two_times, "several_acquisitions"),
    "fields of view": (two_fields_of_view, "several_acquisitions"),
    "a frame out of step": (moving, "irregular_spacing"),
    "a frame without position": (losing_a_position, "bad_geometry"),
    "two phases": (two_phases, "several_acquisitions"),
    "two images a position": (two_phases_at_the_same_places, "duplicate_positions"),
    "groups missing": (fewer_groups, "multiframe"),
    "no groups": (no_groups, "multiframe"),
    "a map of a material": (a_material_map, "no_original_images"),
    "a frame of pixels less": (fewer_pixels, "undecodable_pixels"),
}


@pytest.mark.parametrize("name", BENT)
def test_frames_that_are_no_stack_are_refused(tmp_path, hu, name):
    edit, reason = BENT[name]
    assert refusal(write(tmp_path / "s", multi_frame(hu, edit=edit))).reason == reason


def test_what_lies_beside_does_not_matter(tmp_path, hu):
    """A multi-frame capture without groups is no CT image; another series of single slices is smaller."""
    folder = write(tmp_path / "s", multi_frame(hu))
    capture = multi_frame(
        hu, edit=no_groups, sop_class=uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    )
    capture.SeriesInstanceUID = "1.2.3.9"
    write(folder, capture, "capture.dcm")
    write_series(folder, phantom((3, 12, 16)), series="1.2.3.4.5", order=[7, 8, 9])
    row, scan = convert_one(folder, dataset="d", size_px=None)
    np.testing.assert_array_equal(scan.hu, hu)
    assert row["reason"] == "dropped_secondary; chose_largest_series"


def test_slices_of_a_file_and_single_ones_of_one_series_make_one_stack(tmp_path, hu):
    folder = write(tmp_path / "s", multi_frame(hu[:4]))
    single = write_series(tmp_path / "single", hu)
    for name in ("004.dcm", "005.dcm"):
        (single / name).rename(folder / name)
    refused = refusal(folder)  # the one says less of its kernel than the other
    assert refused.reason == "several_acquisitions"


def test_headers_of_frames_share_what_the_file_says_once(tmp_path, hu):
    folder = write(tmp_path / "s", multi_frame(hu))
    header = read_header(folder / "volume.dcm")
    assert header is not None and is_multi_frame(header)
    slices = slices_of(header)
    assert [item.frame for item in slices] == list(range(NUM))
    assert {item.series_uid for item in slices} == {header.series_uid}
