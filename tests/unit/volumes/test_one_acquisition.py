"""One scan is one acquisition: two of them in one stack are refused, whatever their identifiers say."""

import numpy as np
import pytest
from dicom_files import phantom, property_test, refusal, setting, write_series
from hypothesis import given
from hypothesis import strategies as st

from chestct.volumes.convert_scan import convert_one, read_series

#: What tells two acquisitions apart: an element and its values in the one and in the other.
APART = {
    "kernels": ("ConvolutionKernel", "B30f", "B70f"),
    "kernel in one of them": ("ConvolutionKernel", "B30f", None),
    "energies": ("KVP", "80", "140"),
    "contrast": ("ContrastBolusAgent", "Omnipaque 350", None),
    "thicknesses": ("SliceThickness", "1.25", "2.5"),
    "phases": ("TemporalPositionIdentifier", 1, 2),
    "phases of the heart": ("NominalPercentageOfCardiacPhase", 30.0, 75.0),
    "series": ("SeriesNumber", 3, 4),
    "descriptions": ("SeriesDescription", "arterial of Jane Doe", "venous"),
    "reconstructions": ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL"], ["ORIGINAL", "PRIMARY", "AXIAL", "X"]),
    "times of series": ("SeriesTime", "101500", "101641"),
    "protocols": ("ProtocolName", "Thorax", "Thorax late"),
    "patients": ("PatientName", "Doe^Jane", "Roe^Richard"),
    "acquisitions": ("AcquisitionNumber", 1, 2),
    "times": ("AcquisitionTime", "101500.25", "101541"),
    "dates": ("AcquisitionDate", "20200101", "20200102"),
    "scanners": ("ManufacturerModelName", "A", "B"),
    "serial numbers": ("DeviceSerialNumber", "1", "2"),
    "ages": ("PatientAge", "060Y", "061Y"),
    "routes": ("ContrastBolusRoute", "IV", "ORAL"),
}
BLANKED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID", "PatientID")


def mix(folder, which, *edits):
    """Twelve slices, each of the acquisition that ``which`` says of it; ``edits`` change every slice."""

    def edit(i, dataset):
        dataset.AcquisitionTime = "101500"
        for change in edits:
            change(i, dataset, which[i])

    return write_series(folder, phantom((12, 12, 16)), edit=edit)


def telling(keyword, first, second):
    def change(i, dataset, which):
        value = (first, second)[which]
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)

    return change


def blanking(i, dataset, which):
    for keyword in BLANKED:
        setattr(dataset, keyword, "")


INTERLEAVED, END_TO_END = [0, 1] * 6, [0] * 6 + [1] * 6


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("which", [INTERLEAVED, END_TO_END], ids=["interleaved", "end to end"])
@pytest.mark.parametrize("name", APART)
def test_two_acquisitions_in_one_stack_are_refused(tmp_path, name, which, blank):
    edits = [telling(*APART[name]), *([blanking] if blank else [])]
    if name == "dates":
        edits.append(telling("AcquisitionTime", "101500", "101500"))
    if name == "acquisitions":
        edits.append(telling("AcquisitionTime", None, None))
    refused = refusal(mix(tmp_path / "s", which, *edits))
    assert refused.reason == "several_acquisitions", refused
    assert "Jane" not in refused.detail and "arterial" not in refused.detail


def test_the_same_is_taken_if_the_user_accepts_it(tmp_path):
    folder = mix(tmp_path / "s", INTERLEAVED, telling(*APART["kernels"]))
    row, scan = convert_one(folder, dataset="d", size_px=None, accept=["several_acquisitions"])
    np.testing.assert_array_equal(scan.hu, phantom((12, 12, 16)))
    assert row["status"] == "repaired" and row["reason"] == "accepted_by_hand"
    assert "several_acquisitions, 2 kernels (B30F, B70F)" in row["detail"]


ALIKE = {
    "a helical scan": lambda i: {"AcquisitionTime": f"1015{i:02d}.5", "AcquisitionNumber": 3},
    "two slices a rotation": lambda i: {"AcquisitionTime": f"1015{0.75 * (i // 2):05.2f}"},
    "images made long after": lambda i: {"ContentTime": f"11{i:02d}00"},
    "times without numbers": lambda i: {"AcquisitionTime": f"1015{i:02d}"},
    "across midnight": lambda i: {"AcquisitionTime": "235959.9" if i < 6 else "000000.4"},
    "times with colons": lambda i: {"AcquisitionTime": f"10:15:{i:02d}"},
    "a date without a time": lambda i: {"AcquisitionDateTime": "20000101", "AcquisitionTime": ""},
    "times that are none": lambda i: {"AcquisitionTime": "later", "AcquisitionDate": "20201301"},
    "a table that stops for every rotation": lambda i: {
        "AcquisitionNumber": i // 4 + 1,
        "AcquisitionTime": "",
    },
    "a rotation a slice, with breaths between": lambda i: {
        "AcquisitionTime": f"10{15 + i // 2:02d}{i % 2 * 30:02d}"
    },
    "two groups without a pause": lambda i: {
        "AcquisitionNumber": 1 + i // 5,
        "AcquisitionTime": f"1015{i:02d}",
    },
    "numbered from the head": lambda i: {"InstanceNumber": 40 - i},
    "instances all alike": lambda i: {"InstanceNumber": 1},
    "kernels of several values": lambda i: {"ConvolutionKernel": ["I30f", "3"]},
    "thickness written in two ways": lambda i: {"SliceThickness": "2.5" if i % 2 else "2.500001"},
    "current that follows the patient": lambda i: {"XRayTubeCurrent": 100 + i, "Exposure": 7 * i},
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("name", ALIKE)
def test_what_one_acquisition_may_vary_passes(tmp_path, name):
    def edit(i, dataset):
        for keyword, value in ALIKE[name](i).items():
            setattr(dataset, keyword, value)

    scan, report = read_series(write_series(tmp_path / "s", phantom((12, 12, 16)), edit=edit))
    np.testing.assert_array_equal(scan.hu, phantom((12, 12, 16)))
    assert report.repairs == []


@pytest.mark.parametrize(
    "numbers",
    [
        [n for i in range(6) for n in (i + 1, i + 101)],
        [n for i in range(6) for n in (i + 1, i + 7)],
        [n for i in range(6) for n in (i + 1, 60 - i)],
        [n for i in range(6) for n in (i + 1, i + 1)],
        [n for i in range(4) for n in (i + 1, i + 11, i + 21)],
        [*range(1, 7), *range(1, 7)],
        [*range(6, 0, -1), *range(6, 0, -1)],
    ],
)
def test_instance_numbers_tell_of_two_series_where_all_else_was_blanked(tmp_path, numbers):
    def edit(i, dataset):
        blanking(i, dataset, 0)
        dataset.InstanceNumber = numbers[i]

    refused = refusal(write_series(tmp_path / "s", phantom((12, 12, 16)), edit=edit))
    assert refused.reason == "several_acquisitions" and "instance numbers" in refused.detail


@pytest.mark.parametrize("values", [(100, 400), (100, 400, 700)])
@pytest.mark.parametrize(
    "keyword",
    ["TriggerTime", "ImageComments", "XRayTubeCurrent", "IrradiationEventUID", "CTDIvol", "RescaleIntercept"],
)
def test_settings_that_take_turns_are_those_of_two_scans(tmp_path, keyword, values):
    """Slices were numbered anew by their position, so that nothing else tells."""

    def edit(i, dataset):
        blanking(i, dataset, 0)
        value = float(values[i % len(values)]) if keyword == "CTDIvol" else str(values[i % len(values)])
        setattr(dataset, keyword, value)

    refused = refusal(write_series(tmp_path / "s", phantom((12, 12, 16)), edit=edit))
    assert (
        refused.reason == "several_acquisitions" and f"{keyword} has {len(values)} values" in refused.detail
    )


@pytest.mark.parametrize("keyword", ["AcquisitionTime", "ContentTime"])
@pytest.mark.parametrize(
    "seconds",
    [
        lambda i: 2 * (i % 2),
        lambda i: 0.1 * (i // 2) + 2 * (i % 2),
        lambda i: 0.4 * (i % 3),
        lambda i: 600 * (i % 2) - i,
    ],
    ids=["two phases", "two that run", "three of a breath", "late"],
)
def test_times_that_take_turns_are_those_of_two_scans(tmp_path, keyword, seconds):
    """However near they are: a scan's times run one way."""

    def edit(i, dataset):
        blanking(i, dataset, 0)
        minutes, rest = divmod(30 + seconds(i), 60)
        setattr(dataset, keyword, f"10{int(minutes):02d}{rest:05.2f}")

    refused = refusal(write_series(tmp_path / "s", phantom((12, 12, 16)), edit=edit))
    assert refused.reason == "several_acquisitions", refused


def test_a_setting_that_changes_once_is_noted(tmp_path):
    def edit(i, dataset):
        dataset.TableHeight = "140.5" if i < 5 else "150"

    _, report = read_series(write_series(tmp_path / "s", phantom((12, 12, 16)), edit=edit))
    assert report.notes == ["TableHeight changes once, after 5 slices"]


@property_test(25)
@given(
    name=st.sampled_from([*APART]),
    which=st.lists(st.integers(0, 1), min_size=12, max_size=12).filter(lambda which: 0 < sum(which) < 12),
    blank=st.booleans(),
)
def test_any_mixture_is_refused(tmp_path_factory, name, which, blank):
    edits = [telling(*APART[name]), *([blanking] if blank else [])]
    edits += [telling("AcquisitionTime", None, None)] if name == "acquisitions" else []
    folder = mix(tmp_path_factory.mktemp("case") / "s", which, *edits)
    assert refusal(folder).reason == "several_acquisitions"


@pytest.mark.parametrize(
    ("thickness", "reason", "noted"),
    [
        (2.5, None, False),
        (5.0, None, False),
        (8.0, None, True),
        (12.0, "thick_slabs", False),
        (2.0, None, True),
        (0.8, "gaps_between_slices", False),
        (0.0, None, False),
    ],
)
def test_thickness_against_spacing(tmp_path, thickness, reason, noted):
    """Slices 2.5 mm apart; of LIDC-IDRI's 1,018 scans none is refused, two are noted."""
    folder = write_series(tmp_path / "s", phantom(), edit=setting("SliceThickness", thickness))
    row, scan = convert_one(folder, dataset="d", size_px=None)
    assert row["reason"] == reason and (scan is None) == (reason is not None)
    assert bool(row["detail"]) == (noted or reason is not None)
    if reason is not None:
        row, scan = convert_one(folder, dataset="d", size_px=None, accept=[reason])
        assert row["reason"] == "accepted_by_hand" and scan is not None
