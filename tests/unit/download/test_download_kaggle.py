"""Files of a Kaggle competition: credentials, rules, requests, and that no secret leaves its place."""

import sys
from pathlib import Path

import pytest

from chestct.download.sources import rspect
from chestct.download.transfer import kaggle as kaggle_files
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from tests.unit.download.kaggle_server import ENTRY, KaggleServer, check_right, fetch, forget_kaggle
from tests.unit.download.rspect_servers import contents

pytestmark = pytest.mark.usefixtures("no_secret_is_shown")


@pytest.mark.parametrize("way", ["variables", "token", "file"])
def test_the_clients_own_ways_to_credentials(
    way: str,
    kaggle: KaggleServer,
    small_rspect: Path,
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
    check_right(small_rspect, fetch(small_rspect, tmp_path / "out", settings))


def test_without_credentials(
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(InputError, match="no valid Kaggle credentials") as caught:
        fetch(small_rspect, tmp_path / "out", settings)
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
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable == "KAGGLE_API_TOKEN":
        monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv(variable, "bad-key" if variable == "KAGGLE_KEY" else "bad-token")
    with pytest.raises(InputError, match=words):
        fetch(small_rspect, tmp_path / "out", settings)
    assert not (tmp_path / "out/a.dcm").exists()


def test_rules_that_are_not_accepted(
    kaggle: KaggleServer, tmp_path: Path, settings: TransferSettings
) -> None:
    kaggle.rules_accepted = False
    with pytest.raises(InputError, match="rules are not accepted") as caught:
        rspect.list_series(ENTRY, tmp_path / "root", 5, settings)
    page = "https://www.kaggle.com/competitions/rsna-str-pulmonary-embolism-detection/rules"
    assert page in str(caught.value)
    assert not (tmp_path / "root/train.csv").exists()


def test_verbose_mode_of_the_client_stays_off(
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With VERBOSE set the client prints every request with its credentials."""
    monkeypatch.setenv("VERBOSE", "1")
    forget_kaggle(monkeypatch)
    check_right(small_rspect, fetch(small_rspect, tmp_path / "out", settings))
    assert capfd.readouterr().out == ""
    monkeypatch.setattr(kaggle_files, "_VERBOSE", ())
    forget_kaggle(monkeypatch)
    fetch(small_rspect, tmp_path / "out", settings)
    assert "Authorization" in capfd.readouterr().out.replace("Basic", "")


def test_the_client_is_imported_where_it_is_used_alone(kaggle: KaggleServer) -> None:
    assert "kaggle" not in sys.modules
    rspect.manifest(ENTRY)
    assert "kaggle" not in sys.modules


def test_what_is_there_is_not_asked_for(
    kaggle: KaggleServer, small_rspect: Path, tmp_path: Path, settings: TransferSettings
) -> None:
    root = tmp_path / "root"
    series = rspect.list_series(ENTRY, root, 5, settings).series
    rspect.obtain(ENTRY, root, series, settings)
    names = sorted(contents(root))
    for name in names[3:5]:
        (root / name).unlink()
    kaggle.asked.clear()
    assert rspect.obtain(ENTRY, root, series, settings) == {}
    assert sorted(kaggle.asked) == names[3:5]
    kaggle.asked.clear()
    rspect.list_series(ENTRY, root, 5, settings)
    rspect.obtain(ENTRY, root, series, settings)
    assert kaggle.asked == [] and contents(root) == contents(small_rspect)


def test_a_configuration_folder_that_cannot_be_made(
    kaggle: KaggleServer,
    small_rspect: Path,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "file" / "kaggle"))
    forget_kaggle(monkeypatch)
    with pytest.raises(InputError, match="cannot use its configuration"):
        fetch(small_rspect, tmp_path / "out", settings)
