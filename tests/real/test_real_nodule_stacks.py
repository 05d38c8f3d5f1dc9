"""Nodules of LIDC-IDRI: the published layout, the packed file and the project's label table agree."""

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from chestct.download.labels.lidc_nodule_table import read_nodules
from chestct.download.labels.map_nodules import map_nodules
from chestct.download.sources import lidc_nodules
from chestct.download.sources.nodule_stacks import FolderStacks, PackedStacks
from chestct.download.transfer.retries import TransferSettings
from chestct.intensity import DISPLAY
from chestct.volumes.convert_scan import convert_one

PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0132"]
ENTRY = {"name": "n", "source": "lidc_nodules", "task": "agreement"}


@pytest.fixture(scope="session")
def nodules(shared):
    folder = shared / "lidc_nodules"
    if not folder.is_dir():
        pytest.skip("no lidc_nodules among the shared data")
    return folder


@pytest.fixture(scope="session")
def layout(nodules, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    shutil.unpack_archive(nodules / "sample_layout.tar.xz", folder)
    return folder


@pytest.fixture(scope="session")
def packed(nodules):
    return PackedStacks(nodules / "slices_u8_64px.npz")


def test_the_same_pixels_from_the_layout_and_the_packed_file(layout, packed):
    folder = FolderStacks(layout)
    assert len(folder.stacks) == 10
    both = sorted(set(folder.stacks) & set(packed.places))
    assert len(both) == 9
    for name in both:
        np.testing.assert_array_equal(folder.read(name), packed.read(name))


def test_every_packed_nodule_has_the_pixels_of_the_label_table(packed):
    for _, row in read_nodules().iterrows():
        lidc_nodules._checked(packed.read(row["folder"]), row)
    assert len(packed.places) == len(read_nodules())


def test_the_label_table_says_what_the_shared_one_says(nodules):
    found = read_nodules().set_index("study_id")
    shared = pd.read_csv(nodules / "labels.csv", dtype={"annotation_ids": "string"}).set_index("volume_id")
    assert found.index.tolist() == shared.index.tolist()
    same = {
        "patient_id": "patient_id",
        "num_slices": "num_slices",
        "pixel_spacing_mm": "pixel_spacing_mm",
        "slice_spacing_mm": "slice_spacing_mm",
        "slice_thickness_mm": "slice_thickness_mm",
        "num_readers": "num_readers",
        "volume_mm3": "volume_mm3",
        "malignancy": "median_malignancy",
        "texture": "median_texture",
        "annotations": "annotation_ids",
    }
    for ours, theirs in same.items():
        assert found[ours].tolist() == shared[theirs].tolist(), ours


def test_both_ways_give_the_same_volumes(layout, nodules, tmp_path):
    contents = {}
    for way in ({"folder": str(layout)}, {"packed": str(nodules / "slices_u8_64px.npz")}):
        entry = ENTRY | way | {"patients": PATIENTS}
        root = tmp_path / next(iter(way))
        series = lidc_nodules.list_series(entry, root, 80, TransferSettings()).series
        assert lidc_nodules.obtain(entry, root, series, TransferSettings()) == {}
        contents[root.name] = {path: (root / path).read_bytes() for path in series["path"]}
        assert len(series) == 9
    assert contents["folder"] == contents["packed"]


def test_slices_run_from_feet_to_head_as_in_the_table(layout, tmp_path):
    entry = ENTRY | {"folder": str(layout), "patients": ["LIDC-IDRI-0001"]}
    series = lidc_nodules.list_series(entry, tmp_path, 80, TransferSettings()).series
    lidc_nodules.obtain(entry, tmp_path, series, TransferSettings())
    row, scan = convert_one(
        tmp_path / series["path"][0], dataset="d", size_px=64, num_slices=8, intensity=DISPLAY
    )
    assert row["num_slices"] == 9
    assert scan.hu.shape == (8, 64, 64)
    assert (np.diff(scan.z_mm) > 0).all()
    assert scan.spacing_mm == pytest.approx((2.5 * 9 / 8, 0.703125, 0.703125))
    # As deep as it is, nothing is resampled: plane k, from feet to head, is the picture slice-k.
    _, scan = convert_one(
        tmp_path / series["path"][0], dataset="d", size_px=64, num_slices=9, intensity=DISPLAY
    )
    (images,) = layout.glob("**/LIDC-IDRI-0001/nodule-0/images")
    first, last = (cv2.imread(str(images / f"slice-{k}.png"), cv2.IMREAD_UNCHANGED) for k in (0, 8))
    assert scan.z_mm[0] < scan.z_mm[8]
    assert not np.array_equal(first, last)
    np.testing.assert_array_equal(scan.hu[0], first[32:96, 32:96])
    np.testing.assert_array_equal(scan.hu[8], last[32:96, 32:96])


def test_the_mapping_is_found_again_from_masks_and_readings(layout, readings_database, capsys):
    rows = pd.DataFrame(map_nodules(layout, readings_database))
    expected = read_nodules()
    expected = expected[expected["patient_id"].isin(PATIENTS)].drop(columns=["patient_id", "study_id"])
    pd.testing.assert_frame_equal(
        rows.sort_values("folder", ignore_index=True),
        expected.sort_values("folder", ignore_index=True),
        check_dtype=False,
    )
    assert "LIDC-IDRI-0132/nodule-0: 0 clusters of annotations fit" in capsys.readouterr().err
