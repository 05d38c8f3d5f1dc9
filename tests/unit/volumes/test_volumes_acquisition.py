"""How a scan was acquired: what headers say, written alike, and nothing that identifies."""

import pytest
from dicom_files import phantom, write_series
from pydicom.uid import ImplicitVRLittleEndian, RLELossless
from shard_jobs import run, series_table

from chestct.tables import read_table
from chestct.volumes.acquisition import (
    age_in_years,
    contrast_given,
    kernel_name,
    manufacturer_name,
    plain_text,
)
from chestct.volumes.convert_scan import read_series

FIELDS = {
    "Manufacturer": "GE MEDICAL SYSTEMS ",
    "ManufacturerModelName": " LightSpeed   VCT",
    "ConvolutionKernel": ["I30f", "3"],
    "SliceThickness": "1.25",
    "ContrastBolusAgent": "APPLIED",
    "PatientAge": "093Y",
    "PatientSex": "F",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19330102",
    "InstitutionName": "Some hospital",
    "DeviceSerialNumber": "4711",
}


def with_fields(index, dataset):
    for keyword, value in FIELDS.items():
        setattr(dataset, keyword, value)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, RLELossless])
def test_header_fields_reach_the_table_whichever_way_a_file_is_read(syntax, tmp_path):
    """RLE goes through pydicom, the others through the fast parser."""
    options = {} if syntax is None else {"syntax": syntax}
    write_series(tmp_path / "scan", phantom((6, 16, 16)), edit=with_fields, **options)
    out = run(series_table("scan"), tmp_path, tmp_path / "results")
    (row,) = read_table(out["acquisition_path"], "acquisition").to_dict("records")
    assert row == {
        "dataset": "d",
        "patient_id": "p-scan",
        "study_id": "s-scan",
        "manufacturer": "GE",
        "scanner_model": "LIGHTSPEED VCT",
        "kernel": "I30F/3",
        "slice_thickness_mm": 1.25,
        "spacing_z_mm": 2.5,
        "pixel_mm": 0.75,
        "num_slices": 6,
        "contrast": 1,
        "age_years": 90,
        "sex": "F",
    }
    text = out["acquisition_path"].read_text()
    assert not any(word in text for word in ("Doe", "DOE", "1933", "hospital", "4711"))


def test_what_a_header_lacks_is_empty_and_the_geometry_is_known(scans, tmp_path):
    out = run(series_table("good", "v.nii.gz", "gap"), scans, tmp_path / "r")
    table = read_table(out["acquisition_path"], "acquisition").set_index("study_id")
    assert table.index.tolist() == ["s-good", "s-v.nii.gz"]  # a refused scan has no row
    unknown = [
        "manufacturer",
        "scanner_model",
        "kernel",
        "slice_thickness_mm",
        "contrast",
        "age_years",
        "sex",
    ]
    assert table[unknown].isna().all(axis=None)
    assert table.loc["s-good", ["spacing_z_mm", "num_slices"]].tolist() == [2.5, 6]
    scan, _ = read_series(scans / "v.nii.gz")
    assert table.loc["s-v.nii.gz", "pixel_mm"] == pytest.approx(scan.acquisition.pixel_mm)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        *[("063Y", 63), ("90Y", 90), ("089Y", 89), ("101Y", 90), ("018M", 1), ("100W", 1), ("045", 45)],
        *[("", None), ("Y63", None), ("63.5", None)],
    ],
)
def test_ages_become_whole_years_and_the_oldest_share_one(text, years):
    assert age_in_years(text) == years


def test_spellings_of_one_name_are_one():
    assert {manufacturer_name(text) for text in ("SIEMENS", "Siemens Healthineers", "Siemens, AG")} == {
        "SIEMENS"
    }
    assert manufacturer_name("Gendex") == "GENDEX"
    assert plain_text("  a\x00b\t c ") == "A B C"
    assert plain_text(" unknown ") is None and plain_text("") is None
    assert kernel_name(("B30f",)) == "B30F" and kernel_name(()) is None


@pytest.mark.parametrize(
    ("agent", "given"), [("Omnipaque 350", 1), ("NONE", 0), ("no", 0), ("", None), (" ", None)]
)
def test_contrast_is_known_only_where_the_header_says(agent, given):
    assert contrast_given(agent) == given
