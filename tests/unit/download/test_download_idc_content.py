"""What the bucket or its index holds is not what it should be: refused, or set aside, with the reason."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chestct.download.sources import imaging_data_commons, lidc_idri
from chestct.errors import InputError
from tests.unit.download.file_server import SETTINGS, BucketServer, Fault
from tests.unit.download.idc_bucket import (
    BUCKET,
    NUM_FILES,
    PATIENTS,
    dicom_file,
    entry_of,
    expected_tree,
    index_row,
    index_rows,
    obtain,
    tree,
)


@pytest.fixture
def use_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the index by rows."""

    def use(*rows: dict) -> None:
        path = index_rows(list(rows), tmp_path / "index.parquet")
        monkeypatch.setattr(imaging_data_commons, "index_path", lambda: path)

    return use


def only_file(bucket: BucketServer, number: int, key: str, content: bytes) -> dict:
    """Store an object; the row of a series that consists of it alone."""
    bucket.objects[key] = content
    url = f"s3://{BUCKET}/{key.partition('/')[0]}/*"
    return index_row(number, series_aws_url=url, instanceCount=1, series_size_MB=len(content) / 1e6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instanceCount": NUM_FILES + 1}, "incomplete"),
        ({"instanceCount": NUM_FILES - 1}, "altered"),
        ({"series_size_MB": 0.02}, "altered"),
        ({"series_aws_url": f"s3://{BUCKET}/ffffffff-0000/*"}, "not_found"),
    ],
)
def test_bucket_and_index_must_agree(
    bucket: BucketServer, tmp_path: Path, use_index: Callable[..., None], changes: dict, reason: str
) -> None:
    use_index(index_row(0, **changes), index_row(1))
    root = tmp_path / "data"
    failed = obtain(bucket, root)
    assert {series: error.reason for series, error in failed.items()} == {"1.2.0": reason}
    assert tree(root) == expected_tree(1)


def test_a_file_of_another_patient_or_no_dicom_is_refused(
    bucket: BucketServer, tmp_path: Path, use_index: Callable[..., None]
) -> None:
    strange = {"9990-0/a.dcm": dicom_file("LIDC-IDRI-0666", "1.2.0", 1), "9991-1/a.dcm": b"<html>" * 50}
    use_index(*(only_file(bucket, number, *facts) for number, facts in enumerate(strange.items())))
    failed = obtain(bucket, tmp_path / "data", replace(SETTINGS, attempts=1))
    reasons = {series: error.reason for series, error in failed.items()}
    assert reasons == {"1.2.0": "altered", "1.2.1": "altered"}
    assert "another patient" in failed["1.2.0"].detail and "no DICOM" in failed["1.2.1"].detail
    assert tree(tmp_path / "data") == {}


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "../../../evil.dcm", "sub/evil.dcm", "/etc/evil.dcm", ".evil.dcm", "evil.sh"]
)
def test_keys_that_are_no_file_names_are_refused(
    bucket: BucketServer, tmp_path: Path, use_index: Callable[..., None], name: str
) -> None:
    use_index(only_file(bucket, 0, f"eeee-0/{name}", dicom_file(PATIENTS[0], "1.2.0", 1)))
    failed = obtain(bucket, tmp_path / "a" / "b" / "data")
    assert failed["1.2.0"].reason == "altered" and "does not name a DICOM file" in failed["1.2.0"].detail
    assert list(tree(tmp_path)) == ["index.parquet"]


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "../../x"},
        {"SeriesInstanceUID": "."},
        {"StudyInstanceUID": None},
        {"series_aws_url": "https://elsewhere/x/*"},
    ],
)
def test_an_index_with_odd_identifiers_or_places_is_refused(
    tmp_path: Path, use_index: Callable[..., None], changes: dict
) -> None:
    use_index(index_row(0), index_row(1, **changes))
    with pytest.raises(InputError, match="does not give the collection"):
        lidc_idri.list_series({"name": "lidc", "from": "idc"}, tmp_path, 1, SETTINGS)


def test_an_index_changed_since_the_listing_is_named(bucket: BucketServer, tmp_path: Path) -> None:
    rows = lidc_idri.list_series(entry_of(bucket), tmp_path, 5, SETTINGS).series
    rows.loc[1, "num_instances"] = 99
    with pytest.raises(InputError, match="the index") as caught:
        lidc_idri.obtain(entry_of(bucket), tmp_path, rows, SETTINGS)
    assert "1.2.1" in str(caught.value) and bucket.asked == []


def test_objects_without_a_digest_are_checked_by_length_and_header(
    bucket: BucketServer, tmp_path: Path, use_index: Callable[..., None]
) -> None:
    key, content = "7777-0/a.dcm", dicom_file(PATIENTS[0], "1.2.0", 1)
    use_index(only_file(bucket, 0, key, content))
    bucket.in_parts = {key}
    bucket.faults = [Fault("short", name=key)]
    assert obtain(bucket, tmp_path / "data") == {}
    assert tree(tmp_path / "data") == {f"{PATIENTS[0]}/1.1.0/1.2.0/a.dcm": content}
    assert bucket.asked.count(key) == 2


def test_files_of_another_version_are_set_aside_in_the_open(
    bucket: BucketServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / PATIENTS[0] / "1.1.0" / "1.2.0"
    folder.mkdir(parents=True)
    (folder / "old.dcm").write_bytes(b"old")
    (folder / "readers.xml").write_text("<a/>")
    with caplog.at_level(logging.WARNING):
        assert obtain(bucket, tmp_path, patients=PATIENTS[:1]) == {}
    relative = folder.relative_to(tmp_path)
    assert tree(tmp_path) == expected_tree(0) | {
        f"{relative}/not_in_index/old.dcm": b"old",
        f"{relative}/readers.xml": b"<a/>",
    }
    assert "1 files" in caplog.text and "old.dcm" in caplog.text
