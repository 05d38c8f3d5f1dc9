"""Files of a Kaggle competition: credentials, rules, faults, and that no secret leaves its place."""

import io
import logging
import socket
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from chestct.download import kaggle_files, rspect
from chestct.download.kaggle_files import CompetitionFiles
from chestct.download.transfer import TransferSettings, Unobtainable
from chestct.errors import InputError
from tests.unit.download.kaggle_server import SIGNATURE, KaggleServer, forget_kaggle, kaggle_service
from tests.unit.download.rspect_servers import ALWAYS, Fault, contents, copy_few

SECRETS = (
    b64encode(b"someone:good-key").decode(),
    "good-key",
    "good-token",
    "bad-key",
    "bad-token",
    SIGNATURE,
)
ENTRY = {"name": "r", "source": "rspect", "from": "kaggle"}


@pytest.fixture(scope="session")
def small(pe_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scans of six slices each, with their train.csv."""
    return copy_few(pe_root, tmp_path_factory.mktemp("small") / "rspect")


@pytest.fixture
def server(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with kaggle_service(small, tmp_path / "home", monkeypatch) as server:
        yield server
    assert server.leaks == []


@pytest.fixture(autouse=True)
def no_secret_is_shown(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a test prints or logs holds a credential or a signed address."""
    caplog.set_level(logging.DEBUG, "chestct")
    caplog.set_level(logging.INFO)
    yield
    shown = "".join(capfd.readouterr()) + caplog.text
    assert not any(secret in shown for secret in SECRETS)


def file_of(small: Path) -> str:
    return sorted(contents(small))[4]


def fetch(small: Path, folder: Path, settings: TransferSettings) -> Path:
    with CompetitionFiles(rspect.COMPETITION, settings) as files:
        files.fetch(file_of(small), folder / "a.dcm")
    return folder / "a.dcm"


def check_right(small: Path, path: Path) -> None:
    assert path.read_bytes() == (small / file_of(small)).read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize("way", ["variables", "token", "file"])
def test_the_clients_own_ways_to_credentials(
    way: str,
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if way != "variables":
        monkeypatch.delenv("KAGGLE_USERNAME")
        monkeypatch.delenv("KAGGLE_KEY")
    if way == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", "good-token")
    if way == "file":
        path = tmp_path / "home" / "kaggle" / "kaggle.json"
        path.parent.mkdir(parents=True)
        path.write_text('{"username": "someone", "key": "good-key"}')
        path.chmod(0o600)
    check_right(small, fetch(small, tmp_path / "out", settings))


def test_without_credentials(
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(InputError, match="no valid Kaggle credentials") as caught:
        fetch(small, tmp_path / "out", settings)
    assert "https://www.kaggle.com/settings/api" in str(caught.value)
    assert capfd.readouterr().out == "" and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("KAGGLE_KEY", "does not accept the credentials"),
        ("KAGGLE_API_TOKEN", "no valid Kaggle credentials"),
    ],
)
def test_wrong_credentials(
    variable: str,
    words: str,
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable == "KAGGLE_API_TOKEN":
        monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv(variable, "bad-key" if variable == "KAGGLE_KEY" else "bad-token")
    with pytest.raises(InputError, match=words):
        fetch(small, tmp_path / "out", settings)
    assert not (tmp_path / "out/a.dcm").exists()


def test_rules_that_are_not_accepted(
    server: KaggleServer, tmp_path: Path, settings: TransferSettings
) -> None:
    server.rules_accepted = False
    with pytest.raises(InputError, match="rules are not accepted") as caught:
        rspect.list_series(ENTRY, tmp_path / "root", 5, settings)
    page = "https://www.kaggle.com/competitions/rsna-str-pulmonary-embolism-detection/rules"
    assert page in str(caught.value)
    assert not (tmp_path / "root/train.csv").exists()


def test_verbose_mode_of_the_client_stays_off(
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With VERBOSE set the client prints every request with its credentials."""
    monkeypatch.setenv("VERBOSE", "1")
    forget_kaggle(monkeypatch)
    check_right(small, fetch(small, tmp_path / "out", settings))
    assert capfd.readouterr().out == ""
    monkeypatch.setattr(kaggle_files, "_VERBOSE", ())
    forget_kaggle(monkeypatch)
    fetch(small, tmp_path / "out", settings)
    assert "Authorization" in capfd.readouterr().out.replace("Basic", "")


def test_the_client_is_imported_where_it_is_used_alone(server: KaggleServer) -> None:
    assert "kaggle" not in sys.modules
    rspect.manifest(ENTRY)
    assert "kaggle" not in sys.modules


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
    fault: Fault, server: KaggleServer, small: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    server.faults = [fault]
    check_right(small, fetch(small, tmp_path / "out", settings))
    assert fault.times == 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(
    status: int, server: KaggleServer, small: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    server.service_faults = [Fault("status", 2, status, {"Retry-After": "0"})]
    check_right(small, fetch(small, tmp_path / "out", settings))
    assert len(server.asked) == 3


def test_retry_after_is_heeded(
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    server.service_faults = [
        Fault("status", 1, 429, {"Retry-After": "0.2"}),
        Fault("status", 1, 429, {"Retry-After": "1"}),
        Fault("status", 1, 429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    ]
    settings = TransferSettings(first_wait_s=0.01, max_wait_s=0.5, reserve_bytes=0)
    check_right(small, fetch(small, tmp_path / "out", settings))
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
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
) -> None:
    server.faults, server.service_faults = [storage] if storage else [], [service] if service else []
    with pytest.raises(InputError, match=words) as caught:
        fetch(small, tmp_path / "out", settings)
    assert list((tmp_path / "out").iterdir()) == []
    assert not any(secret in str(caught.value) for secret in SECRETS)
    error: BaseException | None = caught.value
    while error is not None:
        assert not error.__context__ or error.__suppress_context__ or SIGNATURE not in str(error.__context__)
        error = error.__cause__


def test_no_service_at_all(
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{taken.getsockname()[1]}")
    with pytest.raises(InputError, match="no good answer after 6 attempts"):
        fetch(small, tmp_path / "out", settings)


def test_a_silent_service_does_not_hold_the_job(
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kaggle_files, "TIMEOUT_S", (0.2, 0.2))
    server.delay_s = 1
    settings = TransferSettings(attempts=2, first_wait_s=0.01, reserve_bytes=0)
    with pytest.raises(InputError, match="Timeout"):
        fetch(small, tmp_path / "out", settings)


def test_what_stays_altered_is_unobtainable(
    server: KaggleServer, small: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    server.faults = [Fault("flip", ALWAYS)]
    with pytest.raises(Unobtainable, match="MD5") as caught:
        fetch(small, tmp_path / "out", settings)
    assert caught.value.reason == "altered" and list((tmp_path / "out").iterdir()) == []


def test_a_file_that_arrives_zipped_is_unpacked(
    server: KaggleServer, small: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    server.zipped = {"train.csv", file_of(small)}
    series = rspect.list_series(ENTRY, tmp_path / "root", 5, settings).series
    assert (tmp_path / "root/train.csv").read_bytes() == (small / "train.csv").read_bytes()
    assert rspect.obtain(ENTRY, tmp_path / "root", series, settings) == {}
    assert contents(tmp_path / "root") == contents(small)


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
    server: KaggleServer, small: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    server.service_faults = [Fault("status", ALWAYS, 404, name=file_of(small))]
    series = rspect.list_series(ENTRY, tmp_path / "root", 5, settings).series
    failed = rspect.obtain(ENTRY, tmp_path / "root", series, settings)
    assert {key: error.reason for key, error in failed.items()} == {file_of(small).split("/")[2]: "not_found"}
    found = contents(tmp_path / "root")
    assert found == {n: data for n, data in contents(small).items() if n != file_of(small)}


def test_a_competition_without_the_table(
    server: KaggleServer, tmp_path: Path, settings: TransferSettings
) -> None:
    server.service_faults = [Fault("status", ALWAYS, 404)]
    with pytest.raises(InputError, match=r"train\.csv cannot be had"):
        rspect.list_series(ENTRY, tmp_path / "root", 5, settings)


def test_what_is_there_is_not_asked_for(
    server: KaggleServer, small: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    root = tmp_path / "root"
    series = rspect.list_series(ENTRY, root, 5, settings).series
    rspect.obtain(ENTRY, root, series, settings)
    names = sorted(contents(root))
    for name in names[3:5]:
        (root / name).unlink()
    server.asked.clear()
    assert rspect.obtain(ENTRY, root, series, settings) == {}
    assert sorted(server.asked) == names[3:5]
    server.asked.clear()
    rspect.list_series(ENTRY, root, 5, settings)
    rspect.obtain(ENTRY, root, series, settings)
    assert server.asked == [] and contents(root) == contents(small)


def test_a_configuration_folder_that_cannot_be_made(
    server: KaggleServer,
    small: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "file" / "kaggle"))
    forget_kaggle(monkeypatch)
    with pytest.raises(InputError, match="cannot use its configuration"):
        fetch(small, tmp_path / "out", settings)
