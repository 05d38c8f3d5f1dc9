"""LIDC-IDRI from a public bucket on this machine: resumed, verified, and every harm ends well."""

from dataclasses import replace
from pathlib import Path

import pytest

from chestct.download.sources import lidc_idri
from chestct.download.transfer import s3 as idc_s3
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from tests.unit.download.idc_bucket import (
    BUCKET,
    NUM_FILES,
    PATIENTS,
    always,
    cached_client,
    contents,
    entry_of,
    expected_tree,
    fetches,
    key,
    obtain,
    once,
    prefix_of,
    tree,
)
from tests.unit.download.s3_server import Bucket, Fault


def test_all_files_arrive_and_are_not_fetched_again(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert "12 files: 100%" in capfd.readouterr().err
    first = bucket.proxy.gets.copy()
    assert obtain(bucket, tmp_path, settings) == {}
    assert {k: n for k, n in (bucket.proxy.gets - first).items() if n} == {
        f"?{prefix_of(n)}": 1 for n in range(3)
    }


def test_listing_counts_and_manifest(bucket: Bucket, tmp_path: Path, settings: TransferSettings) -> None:
    entry = entry_of(bucket, patients=PATIENTS[1:])
    listing = lidc_idri.list_series(entry, tmp_path, 1, settings)
    assert listing.series["series_id"].tolist() == ["1.2.1", "1.2.2"]
    assert listing.series["shard"].tolist() == [0, 1]
    assert listing.series["num_bytes"].tolist() == [sum(map(len, contents(n).values())) for n in (1, 2)]
    assert listing.left_out.to_dict("records") == [
        {
            "dataset": "lidc",
            "patient_id": PATIENTS[0],
            "study_id": "1.1.0",
            "series_id": "1.2.0",
            "reason": "not_selected",
        }
    ]
    facts = lidc_idri.manifest(entry)
    assert (facts["num_patients"], facts["num_other_series"], facts["stand_in"]) == (2, 1, False)
    assert facts["source"] == f"s3://{BUCKET} at {bucket.proxy.url}"
    assert facts["licence"] == "CC BY 3.0" and any("10.1148/rg.230180" in t for t in facts["citation"])
    with pytest.raises(InputError, match="LIDC-IDRI-9999"):
        lidc_idri.list_series(entry_of(bucket, patients=["LIDC-IDRI-9999"]), tmp_path, 1, settings)


def test_only_what_is_lacking_or_damaged_is_fetched(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings
) -> None:
    obtain(bucket, tmp_path, settings)
    folder = tmp_path / PATIENTS[1] / "1.1.1" / "1.2.1"
    (folder / "f0-0000.dcm").unlink()
    (folder / "f1-0000.dcm").write_bytes(b"cut off")
    damaged = bytearray((folder / "f2-0000.dcm").read_bytes())
    damaged[1500] ^= 1
    (folder / "f2-0000.dcm").write_bytes(damaged)
    bucket.proxy.gets.clear()
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert set(fetches(bucket)) == {key(1, k) for k in range(3)}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut_at=0),
        Fault(cut_at=1234),
        Fault(short_by=77),
        Fault(flip=2000),
        Fault(status=429, code="TooManyRequests", headers={"Retry-After": "0"}),
        Fault(status=503, code="SlowDown"),
        Fault(status=500, code="InternalError"),
        Fault(status=400, code="RequestTimeout"),
    ],
    ids=lambda fault: fault.code or f"cut{fault.cut_at}-short{fault.short_by}-flip{fault.flip}",
)
def test_a_harm_that_passes_leaves_no_trace(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, fault: Fault
) -> None:
    bucket.proxy.harm = once(key(1, 3), fault)
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert bucket.proxy.gets[key(1, 3)] == 2


@pytest.mark.parametrize("fault", [Fault(status=503, code="SlowDown"), Fault(cut_at=60), Fault(short_by=30)])
def test_a_list_that_fails_once_is_asked_again(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, fault: Fault
) -> None:
    bucket.proxy.harm = once(f"?{prefix_of(2)}", fault)
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)


@pytest.mark.parametrize(
    ("fault", "reason", "tries"),
    [
        (Fault(flip=2000), "altered", 3),
        (Fault(short_by=77), "altered", 3),
        (Fault(status=404, code="NoSuchKey"), "not_found", 1),
    ],
)
def test_a_harm_that_lasts_costs_one_series(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, fault: Fault, reason: str, tries: int
) -> None:
    bucket.proxy.harm = always(key(1, 3), fault)
    failed = obtain(bucket, tmp_path, replace(settings, attempts=3))
    assert {series: error.reason for series, error in failed.items()} == {"1.2.1": reason}
    assert key(1, 3) in failed["1.2.1"].detail
    assert bucket.proxy.gets[key(1, 3)] == tries
    found = tree(tmp_path)
    assert found.items() >= expected_tree(0, 2).items()
    assert found.items() <= expected_tree(0, 1, 2).items()
    assert not any("f3" in name for name in found if PATIENTS[1] in name)


@pytest.mark.parametrize(
    ("fault", "words", "tries"),
    [
        (Fault(status=403, code="AccessDenied"), "refuses access", 1),
        (Fault(status=301, code="PermanentRedirect"), "does not serve", 1),
        (Fault(status=500, code="InternalError"), "no good answer after 3 attempts", 3),
        (Fault(cut_at=100), "no good answer after 3 attempts", 3),
    ],
)
@pytest.mark.parametrize("wanted", [key(1, 3), f"?{prefix_of(1)}"])
def test_what_concerns_all_stops_with_one_message_and_whole_files_stay(
    bucket: Bucket,
    tmp_path: Path,
    settings: TransferSettings,
    fault: Fault,
    words: str,
    tries: int,
    wanted: str,
) -> None:
    bucket.proxy.harm = always(wanted, fault)
    with pytest.raises(InputError, match=words) as caught:
        obtain(bucket, tmp_path, replace(settings, attempts=3))
    assert bucket.proxy.url in str(caught.value) and BUCKET in str(caught.value)
    assert bucket.proxy.gets[wanted] == tries
    found = tree(tmp_path)
    assert found.items() <= expected_tree(0, 1, 2).items()
    bucket.be_kind()
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert sum(fetches(bucket).values()) == 3 * NUM_FILES - len(found)


def test_no_server_and_no_bucket(bucket: Bucket, tmp_path: Path, settings: TransferSettings) -> None:
    with pytest.raises(InputError, match="no good answer after 2 attempts: EndpointConnectionError"):
        obtain(bucket, tmp_path, replace(settings, attempts=2), endpoint_url="http://127.0.0.1:9")
    bucket.proxy.harm = lambda path, nth: Fault(status=404, code="NoSuchBucket")
    with pytest.raises(InputError, match="does not have the bucket"):
        obtain(bucket, tmp_path, settings)
    assert tree(tmp_path) == {}


def test_a_silent_server_times_out(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idc_s3, "TIMEOUT_S", (1, 0.2))
    monkeypatch.setattr(idc_s3, "make_client", cached_client.__wrapped__)
    bucket.proxy.harm = once(key(0, 0), Fault(wait_s=0.6))
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert bucket.proxy.gets[key(0, 0)] == 2


def test_a_users_own_aws_settings(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idc_s3, "make_client", cached_client.__wrapped__)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.proxy.url)
    entry = {"name": "lidc", "from": "idc", "patients": PATIENTS[:1]}
    rows = lidc_idri.list_series(entry, tmp_path, 10, settings).series
    assert lidc_idri.obtain(entry, tmp_path, rows, settings) == {}
    assert tree(tmp_path) == expected_tree(0)
    assert bucket.proxy.url in lidc_idri.manifest(entry)["source"]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match="nobody"):
        lidc_idri.obtain(entry, tmp_path, rows, settings)
