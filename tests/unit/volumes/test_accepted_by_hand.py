"""Refusals that a dataset accepts by hand: taken as they are, and said in the ledger."""

import numpy as np
import pytest
import yaml
from dicom_files import refusal, setting, write_series

from chestct.dataset_entries import conversion_of, shares_volumes
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.refusals import ACCEPTABLE, REFUSALS

BENT = {
    "gantry_tilt": {"edit": setting("GantryDetectorTilt", "-12.5")},
    "missing_slices": {"z_offsets": [0, 0, 0, 2.5, 2.5, 2.5]},
    "irregular_spacing": {"z_offsets": [0, 0, 0.4, 0.4, 0.4, 0.4]},
}


def test_the_schema_offers_what_the_code_accepts(root):
    schema = yaml.safe_load((root / "schemas" / "config.schema.yaml").read_text())
    keys = schema["properties"]["datasets"]["items"]["properties"]
    assert tuple(keys["accept"]["items"]["enum"]) == ACCEPTABLE
    assert set(ACCEPTABLE) < set(REFUSALS)
    assert not {"not_hounsfield", "wrong_modality", "duplicate_positions", "mixed_spacing"} & set(ACCEPTABLE)


@pytest.mark.parametrize("reason", BENT)
def test_geometry_that_is_accepted_is_kept_as_it_is(bent_series, hu, reason):
    folder = bent_series(**BENT[reason])
    assert refusal(folder).reason == reason
    row, scan = convert_one(folder, dataset="d", size_px=None, accept=[reason])
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.spacing_mm[0] == pytest.approx(2.5)
    np.testing.assert_allclose(np.diff(scan.z_mm), 2.5 + np.diff(BENT[reason].get("z_offsets", [0] * 6)))
    assert (row["status"], row["reason"]) == ("repaired", "accepted_by_hand")
    assert row["detail"].startswith(f"accepted_by_hand: {reason}, ")
    others = [other for other in ACCEPTABLE if other != reason]
    assert convert_one(folder, dataset="d", size_px=None, accept=others)[0]["reason"] == reason


def test_a_scan_of_fewer_files_than_announced(tmp_path, hu):
    folder = write_series(tmp_path / "s", hu)
    accept = ["fewer_files_than_expected"]
    row, scan = convert_one(folder, dataset="d", size_px=None, num_instances=9, accept=accept)
    assert scan is not None and row["detail"] == "accepted_by_hand: fewer_files_than_expected, 6 of 9"


def test_what_a_dataset_accepts_changes_its_volumes():
    base = {"name": "a", "source": "own_data"}
    other = {"name": "b", "source": "own_data", "scans_of": "a", "accept": ["thick_slabs"]}
    assert conversion_of(base) != conversion_of(other)
    assert not shares_volumes(other, [base, other])
