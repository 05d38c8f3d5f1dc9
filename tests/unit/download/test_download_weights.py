"""Published weight files from a server that fails in every way: resumed, checked, whole or not at all."""

import errno
import hashlib
import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chestct.download import published_weights as weights
from chestct.download.transfer import http
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.trusted_weights import read_trusted
from tests.unit.download.flaky_server import (
    CONTENT,
    FILE,
    FLIPPED,
    FLIPPED_SHA256,
    KNOWN,
    MIB,
    NEWER,
    SETTINGS,
    SHA256,
    FlakyServer,
    make_row,
    serving,
)


@pytest.fixture
def server() -> Iterator[FlakyServer]:
    """A server on loopback."""
    with serving() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the weight file goes."""
    return tmp_path / "weights" / "tiny.weights"


def names(folder: Path) -> set[str]:
    """Files of a folder but the locks."""
    return {path.name for path in folder.iterdir() if path.is_file() and not path.name.endswith(".lock")}


MENDING: dict[str, list[Any]] = {
    "fine": [],
    "cut": [2 * MIB],
    "cut twice": [2 * MIB, MIB],
    "429": [(429, {"Retry-After": "1"})],
    "500": [(500, {}), (503, {})],
    "cut, then 500": [2 * MIB, (500, {})],
}


# --- A server that fails and mends


@pytest.mark.parametrize("faults", MENDING.values(), ids=MENDING)
def test_what_passes_is_got_over(server: FlakyServer, target: Path, faults: list[Any]) -> None:
    server.faults = list(faults)
    begin = time.monotonic()
    weights.fetch_weights(make_row(url=server.url, sha256=SHA256), target, SETTINGS)
    assert target.read_bytes() == CONTENT and names(target.parent) == {"tiny.weights"}
    cuts = [fault for fault in faults if isinstance(fault, int)]
    assert server.starts[0] == 0 and len(server.starts) == 1 + len(cuts)
    assert all(later > earlier for earlier, later in zip(server.starts, server.starts[1:], strict=False))
    if (429, {"Retry-After": "1"}) in faults:
        # Heeded, up to ten times the longest wait.
        assert time.monotonic() - begin > 0.45


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_bytes_altered_on_the_way_are_fetched_again(
    server: FlakyServer, target: Path, known: dict[str, str]
) -> None:
    if not known:
        # With nothing to compare with, only a file that is no weight file at all can be told.
        server.faults = [b"<html>log in" + bytes(len(CONTENT))]
    else:
        server.faults = [FLIPPED]
    weights.fetch_weights(make_row(url=server.url, **known), target, SETTINGS)
    assert target.read_bytes() == CONTENT and server.starts == [0, 0]
    trusted = read_trusted(target.parent)
    assert [row["sha256"] for row in trusted.values()] == ([] if "sha256" in known else [SHA256])


@pytest.mark.parametrize("known", [KNOWN["sha256"], KNOWN["prefix"]], ids=["sha256", "prefix"])
def test_an_altered_file_never_appears(
    server: FlakyServer, target: Path, known: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = weights.check_weights

    def check_out_of_sight(*arguments: Any, **more: Any) -> str:
        assert not target.exists()
        return check(*arguments, **more)

    monkeypatch.setattr(weights, "check_weights", check_out_of_sight)
    server.content = FLIPPED
    with pytest.raises(InputError, match="not the published file") as caught:
        weights.fetch_weights(make_row(url=server.url, **known), target, SETTINGS)
    message = str(caught.value)
    assert FLIPPED_SHA256 in message and (known.get("sha256") or known["sha256_prefix"]) in message
    assert f"download {server.url} on another machine" in message
    assert str(target.parent / "offline" / FILE) in message
    assert names(target.parent) == set()


def test_a_file_of_another_size_never_appears(server: FlakyServer, target: Path) -> None:
    with pytest.raises(InputError, match=f"{len(CONTENT)} bytes") as caught:
        weights.fetch_weights(make_row(url=server.url, size_bytes="1000"), target, SETTINGS)
    assert "1000 bytes" in str(caught.value) and names(target.parent) == set()


def test_without_a_digest_the_first_file_is_trusted_and_no_other(server: FlakyServer, target: Path) -> None:
    row = make_row(url=server.url)
    weights.fetch_weights(row, target, SETTINGS)
    record = read_trusted(target.parent)["tiny"]
    assert (record["sha256"], record["size_bytes"]) == (SHA256, str(len(CONTENT)))
    assert record["source"] == server.url

    target.unlink()  # as Snakemake does before it runs the rule again
    server.content = NEWER
    with pytest.raises(InputError, match="not the file that was seen first") as caught:
        weights.fetch_weights(row, target, SETTINGS)
    message = str(caught.value)
    assert SHA256 in message and hashlib.sha256(NEWER).hexdigest() in message and "delete the row" in message
    assert names(target.parent) == {"trusted.csv"}

    (target.parent / "trusted.csv").unlink()
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == NEWER


# --- A server that does not mend


@pytest.mark.parametrize(
    ("status", "words", "remedy"),
    [
        (401, "asks for credentials", "on another machine"),
        (403, "refuses access", "on another machine"),
        (404, "no longer where they were published", "correct the address"),
        (410, "no longer where they were published", "correct the address"),
        (429, "HTTP 429", "check the connection and rerun"),
        (500, "HTTP 500", "check the connection and rerun"),
    ],
)
def test_a_refusal_ends_in_one_message(
    server: FlakyServer, target: Path, status: int, words: str, remedy: str
) -> None:
    server.status = status
    with pytest.raises(InputError, match=words) as caught:
        weights.fetch_weights(make_row(url=server.url), target, SETTINGS)
    message = str(caught.value)
    assert remedy in message and str(target.parent / "offline" / FILE) in message
    assert names(target.parent) == set()


def test_no_network_ends_in_one_message(server: FlakyServer, target: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="no good answer after 4 attempts") as caught:
        weights.fetch_weights(make_row(url=server.url), target, SETTINGS)
    assert str(target.parent / "offline" / FILE) in str(caught.value)


def test_a_cut_that_lasts_keeps_what_came_and_the_next_run_goes_on(server: FlakyServer, target: Path) -> None:
    server.faults = [2 * MIB, *[0] * 7]
    row = make_row(url=server.url, **KNOWN["prefix"])
    with pytest.raises(InputError, match="no good answer after 4 attempts"):
        weights.fetch_weights(row, target, SETTINGS)
    assert not target.exists() and server.starts[0] == 0 and server.starts[-1] >= MIB
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == CONTENT and server.starts[-1] >= MIB
    assert names(target.parent) == {"tiny.weights", "trusted.csv"}


def test_a_line_that_drops_more_often_than_there_are_attempts_ends_well_while_it_brings_something(
    server: FlakyServer, target: Path
) -> None:
    server.faults = [MIB // 2] * 6
    settings = TransferSettings(attempts=2, first_wait_s=0.01, max_wait_s=0.02, reserve_bytes=0)
    weights.fetch_weights(make_row(url=server.url), target, settings)
    assert target.read_bytes() == CONTENT and len(server.starts) == 7
    assert server.starts == sorted(set(server.starts)), "every try goes on where the one before ended"


def test_a_publishers_new_file_is_not_joined_to_the_old_ones_beginning(
    server: FlakyServer, target: Path
) -> None:
    server.faults = [2 * MIB, *[(500, {})] * 7]
    with pytest.raises(InputError):
        weights.fetch_weights(make_row(url=server.url), target, SETTINGS)
    server.content = NEWER
    weights.fetch_weights(make_row(url=server.url), target, SETTINGS)
    assert target.read_bytes() == NEWER and server.starts == [0, 0]


def test_a_login_page_is_not_trusted(server: FlakyServer, target: Path) -> None:
    server.content = b"<!DOCTYPE html><title>Sign in</title>"
    with pytest.raises(InputError, match="no weight file"):
        weights.fetch_weights(make_row(url=server.url), target, SETTINGS)
    assert names(target.parent) == set()


# --- Full disks and kills


def test_a_disk_that_is_too_small_is_told_before_the_download(server: FlakyServer, target: Path) -> None:
    settings = TransferSettings(attempts=1, reserve_bytes=1 << 60)
    with pytest.raises(InputError, match="disk is too small"):
        weights.fetch_weights(make_row(url=server.url), target, settings)
    assert server.starts == []


def test_a_disk_that_fills_up_keeps_what_came(
    server: FlakyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, block: bytes) -> int:  # type: ignore[override]
            if self.tell() > MIB:
                raise OSError(errno.ENOSPC, "No space left on device", str(self.name))
            return super().write(block)

    row = make_row(url=server.url, **KNOWN["sha256"])
    with monkeypatch.context() as patched:
        patched.setattr(http, "open", Full, raising=False)
        with pytest.raises(InputError, match="disk is full"):
            weights.fetch_weights(row, target, SETTINGS)
    assert not target.exists()
    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == CONTENT and server.starts[-1] >= MIB


def test_a_killed_download_goes_on(server: FlakyServer, target: Path) -> None:
    server.pause = threading.Event()
    row = make_row(url=server.url, **KNOWN["sha256"])
    code = "import sys, pathlib, ast; from chestct.download.published_weights import fetch_weights\n"
    code += "fetch_weights(ast.literal_eval(sys.argv[1]), pathlib.Path(sys.argv[2]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, repr(row), str(target)], stderr=subprocess.DEVNULL
    )

    def arrived() -> int:
        return max((p.stat().st_size for p in target.parent.glob(".*.part")), default=0)

    deadline = time.monotonic() + 60
    while (not target.parent.exists() or arrived() < MIB) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    server.pause.set()
    server.pause = None
    assert not target.exists() and arrived() >= MIB

    weights.fetch_weights(row, target, SETTINGS)
    assert target.read_bytes() == CONTENT and server.starts[-1] >= MIB
    assert names(target.parent) == {"tiny.weights"}
