"""Published weight files from a server that fails in every way: checked, whole or not at all."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from chestct.download import published_weights as weights
from chestct.download.transfer import http
from chestct.download.transfer.disk import whole_file
from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.trusted_weights import check_trusted, read_trusted
from tests.unit.download.file_server import ALWAYS, Fault, FileServer
from tests.unit.download.weights_samples import (
    CONTENT,
    FILE,
    FLIPPED,
    KNOWN,
    NEWER,
    SETTINGS,
    SHA256,
    make_row,
    names,
)


def fetch(server: FileServer, target: Path, **known: str) -> None:
    weights.fetch_weights(make_row(url=f"{server.url}/zoo/{FILE}", **known), target, SETTINGS)


def test_what_killed_downloads_left_goes_and_what_runs_stays(
    weights_server: FileServer, target: Path
) -> None:
    with whole_file(target) as running:
        killed = target.with_name(f".{target.name}.0123abcd.part")
        killed.write_bytes(b"half")
        fetch(weights_server, target, sha256=SHA256)
        assert running.exists() and not killed.exists()
        running.write_bytes(NEWER)
    assert names(target.parent) == {"tiny.weights"} and target.read_bytes() == NEWER


PASSING: dict[str, list[Fault]] = {
    "fine": [],
    "cut": [Fault("cut", at=200_000)],
    "cut twice": [Fault("cut", at=0), Fault("cut")],
    "429": [Fault("status", status=429, headers={"Retry-After": "1"})],
    "500": [Fault("status"), Fault("status", status=503)],
    "cut, then 500": [Fault("cut"), Fault("status")],
}


@pytest.mark.parametrize("case", PASSING)
def test_a_fault_that_passes_leaves_no_trace(weights_server: FileServer, target: Path, case: str) -> None:
    weights_server.faults = PASSING[case]
    begin = time.monotonic()
    fetch(weights_server, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT and names(target.parent) == {"tiny.weights"}
    assert len(weights_server.asked) == 1 + len(PASSING[case])
    # A server that says how long to wait is obeyed.
    assert case != "429" or time.monotonic() - begin > 0.95


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_a_file_that_is_altered_on_the_way_is_fetched_again(
    weights_server: FileServer, target: Path, known: dict[str, str]
) -> None:
    # With nothing to compare with, a flipped bit shows in the archive's own checksums.
    weights_server.faults = [Fault("flip")]
    fetch(weights_server, target, **known)
    assert target.read_bytes() == CONTENT and len(weights_server.asked) == 2
    assert read_trusted(target.parent) == {}


@pytest.mark.parametrize(
    ("known", "content", "words"),
    [
        (KNOWN["sha256"], FLIPPED, SHA256),
        (KNOWN["prefix"], FLIPPED, f"begins with {SHA256[:8]}"),
        ({"size_bytes": "1000"}, CONTENT, "1000 bytes"),
        ({}, CONTENT[:200_000], "no weight file"),
        ({}, b"<!DOCTYPE html><title>Sign in</title>", "no weight file"),
        ({}, b" ", "no weight file"),
    ],
)
@pytest.mark.parametrize("kind", ["url", "by_hand"])
def test_another_file_never_appears(
    weights_server: FileServer,
    target: Path,
    known: dict[str, str],
    content: bytes,
    words: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check, own = weights.check_weights, target.parent / "offline" / FILE

    def check_out_of_sight(*arguments: Any, **more: Any) -> str:
        assert not target.exists()
        return check(*arguments, **more)

    monkeypatch.setattr(weights, "check_weights", check_out_of_sight)
    if kind == "url":
        weights_server.content = content
    else:
        own.parent.mkdir(parents=True)
        own.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        fetch(weights_server, target, kind=kind, **known)
    message = str(caught.value)
    assert hashlib.sha256(content).hexdigest() in message and f"{len(content)} bytes" in message
    assert str(own) in message and f"{weights_server.url}/zoo/{FILE}" in message
    assert names(target.parent) == set()


def test_without_a_digest_the_file_that_loaded_is_trusted_and_no_other(
    weights_server: FileServer, target: Path
) -> None:
    fetch(weights_server, target)
    # Training records it, once it has loaded (tests/unit/training/test_first_use.py).
    check_trusted(target.parent, "tiny", SHA256, size_bytes=len(CONTENT), source="the zoo")

    target.unlink()  # as Snakemake does before it runs the rule again
    weights_server.content = NEWER
    with pytest.raises(InputError, match="not the file that was seen first") as caught:
        fetch(weights_server, target)
    message = str(caught.value)
    assert SHA256 in message and hashlib.sha256(NEWER).hexdigest() in message and "take the row" in message
    assert names(target.parent) == {"trusted.csv"}

    (target.parent / "trusted.csv").unlink()
    fetch(weights_server, target)
    assert target.read_bytes() == NEWER


@pytest.mark.parametrize(
    ("fault", "words", "remedy"),
    [
        (Fault("status", ALWAYS, 401), "asks for credentials", "on another machine"),
        (Fault("status", ALWAYS, 403), "refuses access", "on another machine"),
        (Fault("status", ALWAYS, 404), "no longer where they were published", "correct the address"),
        (Fault("status", ALWAYS, 410), "no longer where they were published", "correct the address"),
        (Fault("status", ALWAYS, 429), "rate limit.*HTTP 429", "rerun when the limit is over"),
        (Fault("status", ALWAYS, 500), "HTTP 500", "check the connection and rerun"),
        (Fault("cut", ALWAYS), "no good answer after 4 attempts", "check the connection and rerun"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_fault_that_lasts_ends_in_one_message_and_leaves_nothing(
    weights_server: FileServer, target: Path, fault: Fault, words: str, remedy: str
) -> None:
    weights_server.faults = [fault]
    with pytest.raises(InputError, match=words) as caught:
        fetch(weights_server, target)
    message = str(caught.value)
    assert remedy in message and str(target.parent / "offline" / FILE) in message
    assert names(target.parent) == set()
    weights_server.faults = []
    fetch(weights_server, target)
    assert target.read_bytes() == CONTENT


def test_no_network_ends_in_one_message(weights_server: FileServer, target: Path) -> None:
    weights_server.shutdown()
    weights_server.server_close()
    with pytest.raises(InputError, match="no good answer after 4 attempts") as caught:
        fetch(weights_server, target)
    assert str(target.parent / "offline" / FILE) in str(caught.value)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    weights_server: FileServer, target: Path
) -> None:
    row = make_row(url=weights_server.url)
    with pytest.raises(InputError, match="disk is too small"):
        weights.fetch_weights(row, target, TransferSettings(attempts=1, reserve_bytes=1 << 60))
    assert names(target.parent) == set()


def test_a_full_disk_leaves_nothing(
    weights_server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every write to this device fails for lack of space.
    full = lambda path, mode: os.fdopen(os.open("/dev/full", os.O_WRONLY), mode)  # noqa: E731
    monkeypatch.setattr(http, "open", full, raising=False)
    with pytest.raises(InputError, match="disk is full"):
        fetch(weights_server, target)
    assert names(target.parent) == set()
