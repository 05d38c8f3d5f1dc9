"""Nodules of LIDC-IDRI as stacks: the same whichever way they come, and every defect with its reason."""

import errno
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chestct.download import datasets
from chestct.download.labels.lidc_nodule_table import read_nodules
from chestct.download.sources import lidc_nodules
from chestct.download.sources.nodule_stacks import PackedStacks
from chestct.errors import InputError
from chestct.intensity import DISPLAY
from chestct.tables import read_table
from chestct.volumes.convert_scan import convert_one
from tests.unit.download import nodule_samples as samples
from tests.unit.download.file_server import SETTINGS

ENTRY = {"name": "nodules", "source": "lidc_nodules", "task": "agreement"}
STUDIES = ["P-1_nodule-0", "P-1_nodule-1", "P-2_nodule-0"]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return samples.pictures()


@pytest.fixture(autouse=True)
def table(files, monkeypatch) -> pd.DataFrame:
    nodules = samples.table(files)
    monkeypatch.setattr(lidc_nodules, "read_nodules", lambda: nodules)
    return nodules


@pytest.fixture
def ways(files, tmp_path) -> dict[str, dict]:
    """Keys of a dataset by where the nodules come from."""
    folder = samples.write_folder(files, tmp_path / "copy")
    (tmp_path / "own.zip").write_bytes(samples.zipped(files))
    path = samples.packed(files, tmp_path / "packed.npz")
    return {
        "folder": {"folder": str(folder)},
        "inside": {"folder": str(folder / samples.TOP)},
        "archive": {"archive": str(tmp_path / "own.zip")},
        "packed": {"packed": str(path)},
    }


@pytest.mark.parametrize("way", ["folder", "inside", "archive", "packed"])
def test_the_same_nodules_whichever_way(files, ways, way, run_steps: Callable, tmp_path):
    root = tmp_path / "data" / way
    run_steps(ENTRY | ways[way], root, num_shards=1)
    series = read_table(root / "series.csv", "series")
    assert series["study_id"].tolist() == STUDIES
    left_out = read_table(root / "left_out.csv", "left_out")
    expected = [] if way == "packed" else [("P-2", "P-2_nodule-1", "no_cluster")]
    assert list(left_out[["patient_id", "study_id", "reason"]].itertuples(index=False, name=None)) == expected
    for study_id, path in zip(series["study_id"], series["path"], strict=True):
        row, scan = convert_one(root / path, dataset="d", size_px=64, intensity=DISPLAY)
        assert (row["status"], row["detail"]) == ("accepted", "display values, not HU")
        np.testing.assert_array_equal(scan.hu, samples.stack(files, study_id.replace("_", "/")))
        assert scan.spacing_mm == (1.25, 0.5859375, 0.5859375)
        assert scan.acquisition.slice_thickness_mm == 2.5
        assert scan.sop_uids == tuple(f"slice-{k}" for k in range(len(scan.hu)))


def test_right_files_stay_and_altered_ones_are_written_anew(ways, run_steps, tmp_path, monkeypatch):
    root = tmp_path / "data"
    run_steps(ENTRY | ways["folder"], root, num_shards=1)
    first, second = (root / f"nodules/{name}.nrrd" for name in STUDIES[:2])
    content, kept = first.read_bytes(), second.stat().st_mtime_ns
    first.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    run_steps(ENTRY | ways["folder"], root, num_shards=1)
    assert first.read_bytes() == content
    assert second.stat().st_mtime_ns == kept
    # Where all are right, nothing is opened.
    series = read_table(root / "series.csv", "series")
    monkeypatch.setattr(lidc_nodules, "_open", None)
    assert lidc_nodules.obtain(ENTRY, root, series, SETTINGS) == {}


def test_a_packed_file_that_is_not_there_gives_way_to_the_archive(ways, tmp_path, caplog):
    entry = ENTRY | ways["archive"] | {"packed": str(tmp_path / "nowhere.npz")}
    with caplog.at_level("INFO"):
        lidc_nodules.list_series(entry, tmp_path, 80, SETTINGS)
    assert "there is no" in caplog.text and "nodules from the archive" in caplog.text


IMAGE = f"{samples.TOP}/P-1/nodule-0/images/slice-1.png"


def without(files: dict[str, bytes], part: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if part not in name}


def flipped(files: dict[str, bytes]) -> bytes:
    plane = samples.stack(files, "P-1/nodule-0")[1]
    whole = np.zeros((128, 128), np.uint8)
    whole[32:96, 32:96] = plane
    whole[64, 64] ^= 1
    return samples.png(whole)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        (lambda f: without(f, "P-1/nodule-0/images/slice-1.png"), "incomplete", "lacks slice-1.png"),
        (lambda f: without(f, "P-1/nodule-0/images/slice-3.png"), "incomplete", "3 slices instead of 4"),
        (lambda f: without(f, "P-1/nodule-0/mask"), "incomplete", "has no masks"),
        (lambda f: without(f, "P-1/nodule-0/"), "not_found", "has no slices"),
        (lambda f: f | {IMAGE: samples.png(np.zeros((130, 128), np.uint8))}, "mixed_sizes", r"\(130, 128\)"),
        (lambda f: f | {IMAGE: samples.png(np.zeros((40, 40), np.uint8))}, "altered", r"\(40, 40\)"),
        (lambda f: f | {IMAGE: samples.png(np.zeros((128, 128, 3), np.uint8))}, "altered", "shape"),
        (lambda f: f | {IMAGE: b"not a picture"}, "altered", "is no picture"),
        (lambda f: f | {IMAGE: b""}, "altered", "is no picture"),
        (lambda f: f | {IMAGE: flipped(f)}, "altered", "CRC-32"),
        (lambda f: f | {IMAGE.replace("-1.png", "-4.png"): f[IMAGE]}, "altered", "5 slices instead of 4"),
        (lambda f: f | {IMAGE.replace("-1.png", "-01.png"): f[IMAGE]}, "altered", "slice-0?1.png twice"),
        (lambda f: f | {IMAGE.replace("-1.png", "-999999999.png"): f[IMAGE]}, "incomplete", "slice-4.png"),
    ],
)
@pytest.mark.parametrize("way", ["folder", "archive"])
def test_a_nodule_that_is_not_as_published_goes_to_the_ledger(
    files, change, reason, detail, way, run_steps, tmp_path
):
    changed = change(files)
    if way == "folder":
        entry = ENTRY | {"folder": str(samples.write_folder(changed, tmp_path / "copy"))}
    else:
        (tmp_path / "own.zip").write_bytes(samples.zipped(changed))
        entry = ENTRY | {"archive": str(tmp_path / "own.zip")}
    run_steps(entry, tmp_path / "data", num_shards=1)
    shard = read_table(tmp_path / "data/shards/shard-0.csv", "shard").set_index("study_id")
    assert shard["status"].tolist() == ["failed", "obtained", "obtained"]
    assert shard.loc["P-1_nodule-0", "reason"] == reason
    assert shard["detail"].str.contains(detail, regex=True).fillna(False).tolist() == [True, False, False]
    labels = read_table(tmp_path / "data/labels.csv", "labels").set_index("study_id")
    assert labels.loc["P-1_nodule-0", "exclusion"] == "not_obtained"


@pytest.mark.parametrize("way", ["folder", "archive"])
def test_a_disk_that_fails_stops_and_blames_no_nodule(ways, way, tmp_path, monkeypatch):
    root = tmp_path / "data"
    series = lidc_nodules.list_series(ENTRY | ways[way], root, 80, SETTINGS).series
    # Permissions would not do: tests may run as root.
    opened, failing = (Path, "read_bytes") if way == "folder" else (zipfile.ZipFile, "read")
    whole = getattr(opened, failing)

    def fail(self, *name):
        if str(name[0] if name else self).endswith("P-1/nodule-0/images/slice-2.png"):
            raise OSError(errno.EIO, "Input/output error")
        return whole(self, *name)

    monkeypatch.setattr(opened, failing, fail)
    with pytest.raises(InputError, match=r"cannot be read: Input/output error[\s\S]*slice-2.png"):
        lidc_nodules.obtain(ENTRY | ways[way], root, series, SETTINGS)


def test_labels_of_another_version_stop(files, table, ways, monkeypatch, tmp_path):
    other = table.assign(num_slices=[9, 9, 11])
    monkeypatch.setattr(lidc_nodules, "read_nodules", lambda: other)
    with pytest.raises(InputError, match="different versions: of 4 nodules 3 are in the label table, 2 of"):
        lidc_nodules.list_series(ENTRY | ways["folder"], tmp_path, 80, SETTINGS)


def test_nothing_at_all_stops(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no nodules found"):
        lidc_nodules.list_series(ENTRY | {"folder": str(tmp_path / "empty")}, tmp_path, 80, SETTINGS)
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="the archive does not open"):
        lidc_nodules.list_series(ENTRY | {"archive": str(tmp_path / "a.zip")}, tmp_path, 80, SETTINGS)
    (tmp_path / "b.zip").write_bytes(samples.zipped({}))
    with pytest.raises(InputError, match="the archive holds no nodules"):
        lidc_nodules.list_series(ENTRY | {"archive": str(tmp_path / "b.zip")}, tmp_path, 80, SETTINGS)


def test_patients_that_a_folder_lacks_are_named_or_left_out(files, tmp_path):
    folder = samples.write_folder(without(files, "P-2"), tmp_path / "copy")
    entry = ENTRY | {"folder": str(folder)}
    with pytest.raises(InputError, match=r"1 of 2 patients have no nodule there: \['P-2'\]"):
        lidc_nodules.list_series(entry, tmp_path, 80, SETTINGS)
    listing = lidc_nodules.list_series(entry | {"patients": ["P-1"]}, tmp_path, 80, SETTINGS)
    assert listing.series["study_id"].tolist() == STUDIES[:2]
    assert listing.left_out["reason"].tolist() == ["not_selected"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": np.array([0, 4, 5, 15])}, "offsets that do not divide"),
        ({"offsets": np.array([0, 5, 4, 16])}, "offsets that do not divide"),
        ({"slices": np.zeros((16, 32, 64), np.uint8)}, "slices of shape"),
        ({"slices": np.zeros((16, 64, 64), np.int16)}, "slices of shape"),
        ({"volume_id": np.array(["a_nodule-0"] * 3)}, "names 1 nodules and holds 3"),
        ({"volume_id": np.array(["x", None, "y"], dtype=object)}, "does not read"),  # a pickle
    ],
)
def test_a_packed_file_of_another_kind_stops(files, changes, message, tmp_path):
    path = samples.packed(files, tmp_path / "p.npz", **changes)
    with pytest.raises(InputError, match=message):
        PackedStacks(path)


def test_a_damaged_packed_file_stops(files, tmp_path):
    path = samples.packed(files, tmp_path / "p.npz")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="packed nodules' file does not read"):
        PackedStacks(path)


def test_every_slice_of_a_positive_nodule_is_marked(ways, run_steps, tmp_path):
    root = tmp_path / "data"
    run_steps(ENTRY | ways["packed"], root, num_shards=1)
    labels = read_table(root / "labels.csv", "labels")
    assert labels["label"].tolist() == [1, 0, 1]
    assert labels["baseline"].tolist() == [100.0, 50.0, 900.0]
    marks = read_table(root / "slice_labels.parquet", "slice_labels")
    assert marks.groupby("study_id").size().to_dict() == {"P-1_nodule-0": 4, "P-2_nodule-0": 11}
    assert marks["sop_instance_uid"].tolist()[:4] == ["slice-0", "slice-1", "slice-2", "slice-3"]
    assert marks["z_mm"].tolist()[:4] == [0, 1.25, 2.5, 3.75]
    findings = read_table(root / "findings.csv", "findings")
    assert findings["diameter_mm"].round(2).tolist() == [5.76, 11.98]


def test_manifest_names_source_licence_and_limits(ways):
    facts = lidc_nodules.manifest(ENTRY)
    assert facts["source"] == lidc_nodules.ADDRESS
    assert len(lidc_nodules.COMMIT) == 40
    assert (facts["licence"], facts["stand_in"]) == ("CC BY 3.0", False)
    assert "not HU" in facts["description"]
    assert lidc_nodules.manifest(ENTRY | ways["packed"])["source"].endswith("packed.npz")


def test_the_source_is_known():
    assert datasets.source_of(ENTRY) is lidc_nodules


def test_a_label_table_of_another_version_stops(tmp_path, table):
    path: Path = tmp_path / "lidc_nodules.csv"
    table.drop(columns=["study_id", "patient_id"]).to_csv(path, index=False)
    with pytest.raises(InputError, match="another version: 3 nodules of 2 patients"):
        read_nodules(path)
    table.drop(columns=["study_id", "patient_id", "texture"]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"wrong columns \(missing: \['texture'\]"):
        read_nodules(tmp_path / "b.csv")
