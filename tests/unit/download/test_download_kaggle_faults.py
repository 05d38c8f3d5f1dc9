"""Faults of Kaggle's service and storage: those that pass, those that last, files that lack or are zipped."""

import io
import socket
import zipfile
from pathlib import Path

import pytest

from chestct.download.sources import rspect
from chestct.download.transfer import kaggle as kaggle_files
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError
from tests.unit.download.kaggle_server import (
    ENTRY,
    SECRETS,
    SIGNATURE,
    KaggleServer,
    check_right,
    fetch,
    file_of,
)
from tests.unit.download.rspect_servers import ALWAYS, Fault, contents

pytestmark = pytest.mark.usefixtures("no_secret_is_shown")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", 2),
        Fault("status", 2, 500),
        Fault("status", 1, 403),
        Fault("flip", 2),
        Fault("html", 1),
    ],
)
def test_faults_of_the_storage_that_pass(
    fault: Fault, kaggle: KaggleServer, small_rspect: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.faults = [fault]
    check_right(small_rspect, fetch(small_rspect, tmp_path / "out", settings))
    assert fault.times == 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(
    status: int, kaggle: KaggleServer, small_rspect: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.service_faults = [Fault("status", 2, status, {"Retry-After": "0"})]
    check_right(small_rspect, fetch(small_rspect, tmp_path / "out", settings))
    assert len(kaggle.asked) == 3


def test_retry_after_is_heeded(
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    kaggle.service_faults = [
        Fault("status", 1, 429, {"Retry-After": "0.2"}),
        Fault("status", 1, 429, {"Retry-After": "1"}),
        Fault("status", 1, 429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    ]
    settings = TransferSettings(first_wait_s=0.01, max_wait_s=0.5, reserve_bytes=0)
    check_right(small_rspect, fetch(small_rspect, tmp_path / "out", settings))
    # One that cannot be read counts as none; one in the past is no wait.
    assert 0 <= waits[0] <= 0.5 and waits[1:] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("storage", "service", "words"),
    [
        (Fault("cut", ALWAYS), None, "no good answer after"),
        (Fault("status", ALWAYS, 500), None, "no good answer after"),
        (Fault("html", ALWAYS), None, "a web page instead of the file"),
        (None, Fault("status", ALWAYS, 429), "limits the rate"),
        (None, Fault("status", ALWAYS, 503), "does not answer now"),
        (None, Fault("status", ALWAYS, 400), "refuses the request"),
    ],
)
def test_faults_that_last_end_in_one_message(
    storage: Fault | None,
    service: Fault | None,
    words: str,
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
) -> None:
    kaggle.faults, kaggle.service_faults = [storage] if storage else [], [service] if service else []
    with pytest.raises(InputError, match=words) as caught:
        fetch(small_rspect, tmp_path / "out", settings)
    assert list((tmp_path / "out").iterdir()) == []
    assert not any(secret in str(caught.value) for secret in SECRETS)
    error: BaseException | None = caught.value
    while error is not None:
        assert not error.__context__ or error.__suppress_context__ or SIGNATURE not in str(error.__context__)
        error = error.__cause__


def test_no_service_at_all(
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{taken.getsockname()[1]}")
    with pytest.raises(InputError, match="no good answer after 6 attempts"):
        fetch(small_rspect, tmp_path / "out", settings)


def test_a_silent_service_does_not_hold_the_job(
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kaggle_files, "TIMEOUT_S", (0.2, 0.2))
    kaggle.delay_s = 1
    settings = TransferSettings(attempts=2, first_wait_s=0.01, reserve_bytes=0)
    with pytest.raises(InputError, match="Timeout"):
        fetch(small_rspect, tmp_path / "out", settings)


def test_what_stays_altered_is_unobtainable(
    kaggle: KaggleServer, small_rspect: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.faults = [Fault("flip", ALWAYS)]
    with pytest.raises(Unobtainable, match="MD5") as caught:
        fetch(small_rspect, tmp_path / "out", settings)
    assert caught.value.reason == "altered" and list((tmp_path / "out").iterdir()) == []


def test_a_file_that_arrives_zipped_is_unpacked(
    kaggle: KaggleServer, small_rspect: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.zipped = {"train.csv", file_of(small_rspect)}
    series = rspect.list_series(ENTRY, tmp_path / "root", 5, settings).series
    assert (tmp_path / "root/train.csv").read_bytes() == (small_rspect / "train.csv").read_bytes()
    assert rspect.obtain(ENTRY, tmp_path / "root", series, settings) == {}
    assert contents(tmp_path / "root") == contents(small_rspect)


def zip_of(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def test_of_a_zip_exactly_the_wanted_member_is_taken(tmp_path: Path) -> None:
    part = tmp_path / ".train.csv.part"
    for good in (zip_of(**{"train.csv": b"a,b" * 99}), zip_of(**{"x/train.csv": b"a,b" * 99, "../e": b"e"})):
        part.write_bytes(good)
        kaggle_files._unpack_member(part, "train.csv")
        assert part.read_bytes() == b"a,b" * 99
    whole = zip_of(**{"train.csv": bytes(range(256)) * 9})
    cut = whole[:30] + bytes([whole[30] ^ 255]) + whole[31:40] + bytes(8) + whole[48:]
    for bad in (zip_of(other=b"x"), zip_of(**{"a/train.csv": b"", "b/train.csv": b""}), cut, whole[:80]):
        part.write_bytes(bad)
        with pytest.raises(kaggle_files._Altered):
            kaggle_files._unpack_member(part, "train.csv")
    assert [p.name for p in tmp_path.iterdir()] == [part.name]


def test_a_file_that_kaggle_lacks_goes_to_the_ledger(
    kaggle: KaggleServer, small_rspect: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.service_faults = [Fault("status", ALWAYS, 404, name=file_of(small_rspect))]
    series = rspect.list_series(ENTRY, tmp_path / "root", 5, settings).series
    failed = rspect.obtain(ENTRY, tmp_path / "root", series, settings)
    assert {key: error.reason for key, error in failed.items()} == {
        file_of(small_rspect).split("/")[2]: "not_found"
    }
    found = contents(tmp_path / "root")
    assert found == {n: data for n, data in contents(small_rspect).items() if n != file_of(small_rspect)}


def test_a_competition_without_the_table(
    kaggle: KaggleServer, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.service_faults = [Fault("status", ALWAYS, 404)]
    with pytest.raises(InputError, match=r"train\.csv cannot be had"):
        rspect.list_series(ENTRY, tmp_path / "root", 5, settings)
