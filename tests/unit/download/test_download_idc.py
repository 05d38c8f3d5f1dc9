"""LIDC-IDRI from a public bucket on this machine: resumed, verified, and every harm ends well."""

from dataclasses import replace
from pathlib import Path

import pytest

from chestct.download.sources import lidc_idri
from chestct.download.transfer import s3
from chestct.errors import InputError
from tests.unit.download.file_server import ALWAYS, SETTINGS, BucketServer, Fault
from tests.unit.download.idc_bucket import (
    BUCKET,
    NUM_FILES,
    PATIENTS,
    cached_client,
    contents,
    entry_of,
    expected_tree,
    key,
    obtain,
    prefix_of,
    tree,
)


def test_all_files_arrive_and_are_not_fetched_again(
    bucket: BucketServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert obtain(bucket, tmp_path) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert "12 files: 100%" in capfd.readouterr().err
    bucket.asked.clear()
    assert obtain(bucket, tmp_path) == {}
    assert sorted(bucket.asked) == [f"?{prefix_of(n)}" for n in range(3)]


def test_listing_counts_and_manifest(bucket: BucketServer, tmp_path: Path) -> None:
    entry = entry_of(bucket, patients=PATIENTS[1:])
    listing = lidc_idri.list_series(entry, tmp_path, 1, SETTINGS)
    assert listing.series["series_id"].tolist() == ["1.2.1", "1.2.2"]
    assert listing.series["shard"].tolist() == [0, 1]
    assert listing.series["num_bytes"].tolist() == [sum(map(len, contents(n).values())) for n in (1, 2)]
    assert listing.left_out.to_numpy().tolist() == [["lidc", PATIENTS[0], "1.1.0", "1.2.0", "not_selected"]]
    facts = lidc_idri.manifest(entry)
    assert (facts["num_patients"], facts["num_other_series"], facts["stand_in"]) == (2, 1, False)
    assert facts["source"] == f"s3://{BUCKET} at {bucket.url}"
    assert facts["licence"] == "CC BY 3.0" and any("10.1148/rg.230180" in t for t in facts["citation"])


def test_only_what_is_lacking_or_damaged_is_fetched(bucket: BucketServer, tmp_path: Path) -> None:
    obtain(bucket, tmp_path)
    folder = tmp_path / PATIENTS[1] / "1.1.1" / "1.2.1"
    (folder / "f0-0000.dcm").unlink()
    (folder / "f1-0000.dcm").write_bytes(b"cut off")
    damaged = bytearray((folder / "f2-0000.dcm").read_bytes())
    damaged[1500] ^= 1
    (folder / "f2-0000.dcm").write_bytes(damaged)
    bucket.asked.clear()
    assert obtain(bucket, tmp_path) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert set(bucket.fetches()) == {key(1, k) for k in range(3)}


FILE, LIST = key(1, 3), f"?{prefix_of(1)}"
PASSING = [
    Fault("cut", name=FILE, at=0),
    Fault("cut", name=FILE),
    Fault("short", name=FILE),
    Fault("flip", name=FILE),
    Fault("status", name=FILE, status=429, code="TooManyRequests", headers={"Retry-After": "0"}),
    Fault("status", name=FILE, status=503, code="SlowDown"),
    Fault("status", name=FILE, status=500, code="InternalError"),
    Fault("status", name=FILE, status=400, code="RequestTimeout"),
    Fault("status", name=LIST, status=503, code="SlowDown"),
    Fault("cut", name=LIST),
    Fault("short", name=LIST),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.kind}-{fault.code}-{fault.name[:1]}")
def test_a_fault_that_passes_leaves_no_trace(bucket: BucketServer, tmp_path: Path, fault: Fault) -> None:
    bucket.faults = [replace(fault)]
    assert obtain(bucket, tmp_path) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert bucket.asked.count(fault.name) == 2


@pytest.mark.parametrize(
    ("fault", "reason", "tries"),
    [
        (Fault("flip", ALWAYS, name=FILE), "altered", 3),
        (Fault("short", ALWAYS, name=FILE), "altered", 3),
        (Fault("status", ALWAYS, 404, "NoSuchKey", name=FILE), "not_found", 1),
    ],
)
def test_a_fault_that_lasts_costs_one_series(
    bucket: BucketServer, tmp_path: Path, fault: Fault, reason: str, tries: int
) -> None:
    bucket.faults = [fault]
    failed = obtain(bucket, tmp_path, replace(SETTINGS, attempts=3))
    assert {series: error.reason for series, error in failed.items()} == {"1.2.1": reason}
    assert FILE in failed["1.2.1"].detail
    assert bucket.asked.count(FILE) == tries
    found = tree(tmp_path)
    assert found.items() >= expected_tree(0, 2).items()
    assert found.items() <= expected_tree(0, 1, 2).items()
    assert not any("f3" in name for name in found if PATIENTS[1] in name)


@pytest.mark.parametrize(
    ("fault", "words", "tries"),
    [
        (Fault("status", ALWAYS, 403, "AccessDenied"), "refuses access", 1),
        (Fault("status", ALWAYS, 301, "PermanentRedirect"), "does not serve", 1),
        (Fault("status", ALWAYS, 500, "InternalError"), "no good answer after 3 attempts", 3),
        (Fault("cut", ALWAYS), "no good answer after 3 attempts", 3),
    ],
)
@pytest.mark.parametrize("wanted", [FILE, LIST], ids=["file", "list"])
def test_what_concerns_all_stops_with_one_message_and_whole_files_stay(
    bucket: BucketServer, tmp_path: Path, fault: Fault, words: str, tries: int, wanted: str
) -> None:
    bucket.faults = [replace(fault, name=wanted)]
    with pytest.raises(InputError, match=words) as caught:
        obtain(bucket, tmp_path, replace(SETTINGS, attempts=3))
    assert bucket.url in str(caught.value) and BUCKET in str(caught.value)
    assert bucket.asked.count(wanted) == tries
    found = tree(tmp_path)
    assert found.items() <= expected_tree(0, 1, 2).items()
    bucket.be_kind()
    assert obtain(bucket, tmp_path) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert bucket.fetches().total() == 3 * NUM_FILES - len(found)


def test_no_server_and_no_bucket(bucket: BucketServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no good answer after 2 attempts: EndpointConnectionError"):
        obtain(bucket, tmp_path, replace(SETTINGS, attempts=2), endpoint_url="http://127.0.0.1:9")
    bucket.faults = [Fault("status", ALWAYS, 404, "NoSuchBucket")]
    with pytest.raises(InputError, match="does not have the bucket"):
        obtain(bucket, tmp_path)
    assert tree(tmp_path) == {}


def test_a_silent_server_times_out(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "TIMEOUT_S", (60, 1))
    monkeypatch.setattr(s3, "make_client", cached_client.__wrapped__)
    bucket.faults = [Fault("silent", name=key(0, 0))]
    assert obtain(bucket, tmp_path) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert bucket.asked.count(key(0, 0)) >= 2  # a busy machine may be silent for a second, too


def test_a_users_own_aws_settings(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "make_client", cached_client.__wrapped__)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    entry = {"name": "lidc", "from": "idc", "patients": PATIENTS[:1]}
    rows = lidc_idri.list_series(entry, tmp_path, 10, SETTINGS).series
    assert lidc_idri.obtain(entry, tmp_path, rows, SETTINGS) == {}
    assert tree(tmp_path) == expected_tree(0)
    assert bucket.url in lidc_idri.manifest(entry)["source"]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match="nobody"):
        lidc_idri.obtain(entry, tmp_path, rows, SETTINGS)
