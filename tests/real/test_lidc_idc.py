"""Imaging Data Commons' real index, and the real series fetched from a bucket as the index has it."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from chestct.download.labels import lidc_labels
from chestct.download.sources import imaging_data_commons, lidc_idri
from chestct.download.transfer.retries import TransferSettings
from tests.unit.download.file_server import BucketServer, running

PATIENT = "LIDC-IDRI-0001"
SETTINGS = TransferSettings(attempts=2, first_wait_s=0.01, reserve_bytes=0)
#: Both copies have 133 files; The Cancer Imaging Archive's are 6 bytes longer each.
LONGER_BY = 6
_VERSION_NAME = b"\x02\x00\x13\x00SH"


@pytest.fixture(autouse=True)
def without_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are no matter here: nothing from a package index."""
    monkeypatch.setattr(lidc_labels, "prepare", lambda *_: None)


def entry_of(**more: object) -> dict:
    return {"name": "lidc", "source": "lidc_idri", "from": "idc", **more}


def test_the_index_holds_the_published_collection(tmp_path: Path) -> None:
    listing = lidc_idri.list_series(entry_of(), tmp_path, 20, SETTINGS)
    series = listing.series
    assert len(series) == series["series_id"].nunique() == series["study_id"].nunique() == 1018
    assert series["patient_id"].nunique() == 1010
    assert series["num_instances"].sum() == 243_958
    assert series["num_bytes"].sum() == 128_405_916_114
    assert series["patient_id"].is_monotonic_increasing
    assert series["shard"].value_counts().max() == 20 and series["shard"].max() == 50
    assert listing.left_out.empty
    two = series["patient_id"].value_counts()
    assert " ".join(sorted(two[two == 2].index.str[-4:])) == "0132 0151 0315 0332 0355 0365 0442 0484"


def test_radiographs_are_counted_and_analyses_are_not(tmp_path: Path) -> None:
    modalities = imaging_data_commons.read_collection("lidc_idri")["modality"].value_counts().to_dict()
    assert modalities == {"CT": 1018, "DX": 237, "CR": 53}
    facts = lidc_idri.manifest(entry_of())
    assert (facts["num_patients"], facts["num_studies"], facts["num_other_series"]) == (1010, 1018, 290)
    assert facts["licence"] == "CC BY 3.0" and facts["source"].startswith("s3://idc-open-data at AWS")


def test_three_patients_first(tmp_path: Path) -> None:
    patients = [PATIENT, "LIDC-IDRI-0002", "LIDC-IDRI-0132"]
    listing = lidc_idri.list_series(entry_of(patients=patients), tmp_path, 2, SETTINGS)
    assert listing.series["patient_id"].tolist() == [*patients, "LIDC-IDRI-0132"]
    assert len(listing.left_out) == 1018 - 4 and set(listing.left_out["reason"]) == {"not_selected"}


def as_in_the_index(content: bytes) -> bytes:
    """The file with a name of the writing software that is 6 letters shorter: the index's length.

    The name stands in the file's own header; the image's data set is untouched.
    """
    at = content.index(_VERSION_NAME, 132, 600)
    (length,) = struct.unpack_from("<H", content, at + 6)
    (group,) = struct.unpack_from("<I", content, 140)
    shorter = content[at + 8 : at + 8 + length - LONGER_BY]
    meta = content[:140] + struct.pack("<I", group - LONGER_BY) + content[144:at]
    element = _VERSION_NAME + struct.pack("<H", len(shorter)) + shorter
    return meta + element + content[at + 8 + length :]


def row_of(series: Path) -> pd.Series:
    """The index's row of a series."""
    return imaging_data_commons.read_collection("lidc_idri").set_index("series_id").loc[series.name]


def bucket_of(series: Path) -> BucketServer:
    """A series under the prefix that the index names, with the index's length of files."""
    prefix = row_of(series)["prefix"]
    paths = series.glob("*.dcm")
    return BucketServer({f"{prefix}{path.stem}-0.dcm": as_in_the_index(path.read_bytes()) for path in paths})


@pytest.fixture(scope="module")
def bucket(real_series: Path) -> Iterator[BucketServer]:
    """The real series in a bucket."""
    with running(bucket_of(real_series)) as served:
        yield served


def test_the_real_series_agrees_with_the_index(real_series: Path) -> None:
    row = row_of(real_series)
    files = sorted(real_series.glob("*.dcm"))
    assert len(files) == row["num_instances"] == 133
    assert (row["patient_id"], row["study_id"]) == (real_series.parents[1].name, real_series.parent.name)
    lengths = sum(path.stat().st_size for path in files)
    assert lengths - row["num_bytes"] == LONGER_BY * len(files)


def test_the_real_series_arrives_whole(bucket: BucketServer, real_series: Path, tmp_path: Path) -> None:
    entry = entry_of(endpoint_url=bucket.url, patients=[PATIENT])
    rows = lidc_idri.list_series(entry, tmp_path, 5, SETTINGS).series
    assert lidc_idri.obtain(entry, tmp_path, rows, SETTINGS) == {}
    files = sorted((tmp_path / rows.loc[0, "path"]).iterdir())
    assert len(files) == 133 and sum(path.stat().st_size for path in files) == rows.loc[0, "num_bytes"]
    for path in files:
        original = real_series / f"{path.stem.removesuffix('-0')}.dcm"
        assert path.read_bytes() == as_in_the_index(original.read_bytes())


def test_a_bucket_with_other_bytes_than_the_index_says_is_refused(
    bucket: BucketServer, real_series: Path, tmp_path: Path
) -> None:
    entry = entry_of(endpoint_url=bucket.url, patients=[PATIENT])
    rows = lidc_idri.list_series(entry, tmp_path, 5, SETTINGS).series
    first = min(real_series.glob("*.dcm"))
    key = next(key for key in bucket.objects if first.stem in key)
    bucket.objects[key] = first.read_bytes()
    failed = lidc_idri.obtain(entry, tmp_path, rows, SETTINGS)
    bucket.objects[key] = as_in_the_index(first.read_bytes())
    assert {uid: error.reason for uid, error in failed.items()} == {real_series.name: "altered"}
    assert not list(tmp_path.rglob("*.dcm"))
