"""LIDC-IDRI from a public bucket on this machine: resumed, verified, and every harm ends well."""

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from chestct.download import idc_index, idc_s3, lidc_idri, lidc_labels
from chestct.download.transfer import TransferSettings, Unobtainable
from chestct.errors import InputError
from tests.unit.download.s3_server import Bucket, Fault, public_bucket

#: Making a client takes longer than most of these tests.
cached_client = cache(idc_s3.make_client)
BUCKET = "idc-open-data"
NUM_FILES = 4
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0003"]


def dicom_file(patient: str, series: str, number: int) -> bytes:
    """A small DICOM file of some thousand bytes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = pydicom.Dataset()
    image.file_meta = meta
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.Modality, image.PatientID, image.SeriesInstanceUID = "CT", patient, series
    image.BitsAllocated = 8
    image.PixelData = bytes([number]) * (2900 + 100 * number)
    sink = BytesIO()
    image.save_as(sink, enforce_file_format=True)
    return sink.getvalue()


def prefix_of(number: int) -> str:
    return f"0000000{number}-aaaa-bbbb-cccc-000000000000/"


def contents(number: int) -> dict[str, bytes]:
    """Objects of the n-th patient's series by key."""
    names = [f"{prefix_of(number)}f{k}-0000.dcm" for k in range(NUM_FILES)]
    return {name: dicom_file(PATIENTS[number], f"1.2.{number}", k) for k, name in enumerate(names)}


def index_rows(rows: list[dict], path: Path) -> Path:
    """Write an index file in the form of idc-index-data's."""
    fixed = {"collection_id": "lidc_idri", "analysis_result_id": None, "license_short_name": "CC BY 3.0"}
    table = pd.DataFrame([{**fixed, "source_DOI": "10.1/x", "Modality": "CT", **row} for row in rows])
    table["analysis_result_id"] = table["analysis_result_id"].astype("string")
    table.to_parquet(path)
    return path


def index_row(number: int, **changes: object) -> dict:
    return {
        "PatientID": PATIENTS[number],
        "StudyInstanceUID": f"1.1.{number}",
        "SeriesInstanceUID": f"1.2.{number}",
        "instanceCount": NUM_FILES,
        "series_size_MB": sum(map(len, contents(number).values())) / 1e6,
        "series_aws_url": f"s3://{BUCKET}/{prefix_of(number)}*",
        **changes,
    }


@pytest.fixture(scope="module")
def served() -> Iterator[Bucket]:
    """A server with the three series; tests leave its content as it is."""
    with public_bucket(BUCKET) as bucket:
        for number in range(3):
            for key, content in contents(number).items():
                bucket.put(key, content)
        yield bucket


@pytest.fixture(scope="module")
def small_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    others = [index_row(0, Modality="DX", SeriesInstanceUID="1.3.0"), index_row(1, collection_id="nlst")]
    return index_rows(
        [index_row(n) for n in range(3)] + others, tmp_path_factory.mktemp("index") / "i.parquet"
    )


@pytest.fixture
def bucket(served: Bucket, small_index: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(idc_index, "index_path", lambda: small_index)
    monkeypatch.setattr(idc_s3, "make_client", cached_client)
    monkeypatch.setattr(lidc_labels, "prepare", lambda *_: None)  # nothing from a package index here
    served.be_kind()
    return served


def entry_of(bucket: Bucket, **more: object) -> dict:
    return {"name": "lidc", "source": "lidc_idri", "from": "idc", "endpoint_url": bucket.proxy.url, **more}


def obtain(bucket: Bucket, root: Path, settings: TransferSettings, **more: object) -> dict[str, Unobtainable]:
    entry = entry_of(bucket, **more)
    rows = lidc_idri.list_series(entry, root, 10, settings).series
    return lidc_idri.obtain(entry, root, rows, settings)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def expected_tree(*numbers: int) -> dict[str, bytes]:
    return {
        f"{PATIENTS[n]}/1.1.{n}/1.2.{n}/{key.rpartition('/')[2]}": content
        for n in numbers
        for key, content in contents(n).items()
    }


def key(number: int, k: int) -> str:
    return f"{prefix_of(number)}f{k}-0000.dcm"


def fetches(bucket: Bucket) -> dict[str, int]:
    """Requests for objects, by key."""
    return {k: n for k, n in bucket.proxy.gets.items() if not k.startswith("?")}


def once(wanted: str, fault: Fault) -> Callable[[str, int], Fault | None]:
    return lambda path, nth: fault if path == wanted and nth == 1 else None


def always(wanted: str, fault: Fault) -> Callable[[str, int], Fault | None]:
    return lambda path, nth: fault if path == wanted else None


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
    bucket: Bucket,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict,
    reason: str,
) -> None:
    path = index_rows([index_row(0, **changes), index_row(1)], tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index, "index_path", lambda: path)
    root = tmp_path / "data"
    failed = obtain(bucket, root, settings)
    assert {series: error.reason for series, error in failed.items()} == {"1.2.0": reason}
    assert tree(root) == expected_tree(1)


def test_a_file_of_another_patient_or_no_dicom_is_refused(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = {"9999-0/": dicom_file("LIDC-IDRI-0666", "1.2.0", 1), "9999-1/": b"<html>" * 50}
    rows = []
    for number, (prefix, content) in enumerate(strange.items()):
        bucket.put(f"{prefix}a.dcm", content)
        facts = {"instanceCount": 1, "series_size_MB": len(content) / 1e6}
        rows.append(index_row(number, series_aws_url=f"s3://{BUCKET}/{prefix}*", **facts))
    path = index_rows(rows, tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index, "index_path", lambda: path)
    failed = obtain(bucket, tmp_path / "data", replace(settings, attempts=1))
    assert {series: error.reason for series, error in failed.items()} == {
        "1.2.0": "altered",
        "1.2.1": "altered",
    }
    assert "another patient" in failed["1.2.0"].detail and "no DICOM" in failed["1.2.1"].detail
    assert tree(tmp_path / "data") == {}


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "../../../evil.dcm", "sub/evil.dcm", "/etc/evil.dcm", ".evil.dcm", "evil.sh"]
)
def test_keys_that_are_no_file_names_are_refused(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    prefix, content = f"e{abs(hash(name)) % 10**9}/", dicom_file(PATIENTS[0], "1.2.0", 1)
    bucket.put(prefix + name, content)
    facts = {"instanceCount": 1, "series_size_MB": len(content) / 1e6}
    row = index_row(0, series_aws_url=f"s3://{BUCKET}/{prefix}*", **facts)
    path = index_rows([row], tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index, "index_path", lambda: path)
    failed = obtain(bucket, tmp_path / "a" / "b" / "data", settings)
    assert failed["1.2.0"].reason == "altered" and "does not name a DICOM file" in failed["1.2.0"].detail
    assert tree(tmp_path) == {"index.parquet": path.read_bytes()}


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
    tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch, changes: dict
) -> None:
    path = index_rows([index_row(0), index_row(1, **changes)], tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index, "index_path", lambda: path)
    with pytest.raises(InputError, match="does not give the collection"):
        lidc_idri.list_series({"name": "lidc", "from": "idc"}, tmp_path, 1, settings)


def test_an_index_changed_since_the_listing_is_named(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings
) -> None:
    rows = lidc_idri.list_series(entry_of(bucket), tmp_path, 5, settings).series
    rows.loc[1, "num_instances"] = 99
    with pytest.raises(InputError, match="the index") as caught:
        lidc_idri.obtain(entry_of(bucket), tmp_path, rows, settings)
    assert "1.2.1" in str(caught.value) and bucket.proxy.gets.total() == 0


def test_objects_without_a_digest_are_checked_by_length_and_header(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = dicom_file(PATIENTS[0], "1.2.0", 1)
    bucket.put_in_parts("7777-0/a.dcm", content)
    facts = {"instanceCount": 1, "series_size_MB": len(content) / 1e6}
    row = index_row(0, series_aws_url=f"s3://{BUCKET}/7777-0/*", **facts)
    path = index_rows([row], tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index, "index_path", lambda: path)
    bucket.proxy.harm = once("7777-0/a.dcm", Fault(short_by=1))
    assert obtain(bucket, tmp_path / "data", settings) == {}
    assert tree(tmp_path / "data") == {f"{PATIENTS[0]}/1.1.0/1.2.0/a.dcm": content}
    assert bucket.proxy.gets["7777-0/a.dcm"] == 2


def test_files_of_another_version_are_set_aside_in_the_open(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / PATIENTS[0] / "1.1.0" / "1.2.0"
    folder.mkdir(parents=True)
    (folder / "old.dcm").write_bytes(b"old")
    (folder / "readers.xml").write_text("<a/>")
    with caplog.at_level(logging.WARNING):
        assert obtain(bucket, tmp_path, settings, patients=PATIENTS[:1]) == {}
    relative = folder.relative_to(tmp_path)
    assert tree(tmp_path) == expected_tree(0) | {
        f"{relative}/not_in_index/old.dcm": b"old",
        f"{relative}/readers.xml": b"<a/>",
    }
    assert "1 files" in caplog.text and "old.dcm" in caplog.text


def test_two_runs_on_one_folder_do_not_harm_each_other(
    bucket: Bucket, tmp_path: Path, settings: TransferSettings
) -> None:
    bucket.proxy.harm = lambda path, nth: Fault(wait_s=0.01)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(obtain, bucket, tmp_path, settings) for _ in range(2)]
    assert [run.result() for run in runs] == [{}, {}]
    assert tree(tmp_path) == expected_tree(0, 1, 2)


def _download(index: Path, entry: dict, root: Path, settings: TransferSettings) -> None:
    idc_index.index_path = lambda: index
    lidc_labels.prepare = lambda *_: None
    rows = lidc_idri.list_series(entry, root, 10, settings).series
    lidc_idri.obtain(entry, root, rows, settings)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_resumes(
    bucket: Bucket, small_index: Path, tmp_path: Path, settings: TransferSettings, signal_number: int
) -> None:
    bucket.proxy.harm = lambda path, nth: Fault(wait_s=0.05)
    arguments = (small_index, entry_of(bucket), tmp_path, replace(settings, parallel=2))
    job = multiprocessing.get_context("spawn").Process(target=_download, args=arguments)
    job.start()
    while len(whole := [name for name in tree(tmp_path) if not is_hidden(name)]) < 5:
        assert job.is_alive()
        time.sleep(0.01)
    os.kill(job.pid or 0, signal_number)
    job.join()
    found = tree(tmp_path)
    whole = [name for name in found if not is_hidden(name)]
    assert job.exitcode == -signal_number and 5 <= len(whole) < 3 * NUM_FILES
    assert {name: found[name] for name in whole}.items() <= expected_tree(0, 1, 2).items()
    # What a kill in the middle of a file leaves, for certain.
    (tmp_path / whole[0]).with_name(".f9-0000.dcm.0123abcd.part").write_bytes(b"half")
    time.sleep(0.1)  # requests of the killed job come to their end
    bucket.be_kind()
    assert obtain(bucket, tmp_path, settings) == {}
    assert tree(tmp_path) == expected_tree(0, 1, 2)
    assert len(fetches(bucket)) == 3 * NUM_FILES - len(whole) and set(fetches(bucket).values()) == {1}


def is_hidden(name: str) -> bool:
    return Path(name).name.startswith(".")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of seven pages of 4 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=28k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_in_one_message_and_the_rest_follows_with_room(
    bucket: Bucket, small_disk: Path, settings: TransferSettings
) -> None:
    # 8 files of less than a page each: 28 kB by their sizes, 32 KiB in pages.
    chosen = {"patients": PATIENTS[:2]}
    with pytest.raises(InputError, match="the disk is too small"):
        obtain(bucket, small_disk, settings)
    assert tree(small_disk) == {}
    with pytest.raises(InputError, match="the disk is full") as caught:
        obtain(bucket, small_disk, replace(settings, parallel=1), **chosen)
    assert str(small_disk) in str(caught.value)
    found = tree(small_disk)
    assert 0 < len(found) < 2 * NUM_FILES and found.items() <= expected_tree(0, 1).items()
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    bucket.proxy.gets.clear()
    assert obtain(bucket, small_disk, settings, **chosen) == {}
    assert tree(small_disk) == expected_tree(0, 1)
    assert sum(fetches(bucket).values()) == 2 * NUM_FILES - len(found)


def test_the_reserve_on_the_disk_is_kept(bucket: Bucket, tmp_path: Path, settings: TransferSettings) -> None:
    with pytest.raises(InputError, match="too small"):
        obtain(bucket, tmp_path, replace(settings, reserve_bytes=10**18))
    assert tree(tmp_path) == {}


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
