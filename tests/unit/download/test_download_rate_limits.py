"""Servers that limit requests: they are waited for as long as the limit lasts, up to a configured time."""

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from file_server import ALWAYS, SETTINGS, BucketServer, Fault, FileServer, running
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from chestct.download.transfer import http, retries, s3
from chestct.download.transfer.retries import (
    Altered,
    Limited,
    TransferSettings,
    Transient,
    Unobtainable,
    retrying,
    transfer_settings,
)
from chestct.errors import InputError

USUAL = TransferSettings()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Seconds that would have been waited, which take none."""
    waited: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", waited.append)
    return waited


def answers(*outcomes: object) -> Callable[[], str]:
    """A transfer with these outcomes, one after another."""
    left: Iterator[object] = iter(outcomes)

    def ask() -> str:
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    return ask


def limited(after_s: float | None = None) -> Limited:
    return Limited("HTTP 429 from https://a.server", after_s)


def test_a_limit_outlasts_all_attempts_and_the_transfer_goes_on(waits):
    assert retrying(answers(*[limited()] * 90, "whole"), USUAL, "a file") == "whole"
    # Far beyond the half minute that six attempts take, at no more than a request every half minute.
    assert sum(waits) > 40 * 60 and min(waits[10:]) >= 30 and max(waits) <= 60


def test_the_server_says_how_long(waits):
    assert retrying(answers(limited(1800), limited(3600), "whole"), USUAL, "a file") == "whole"
    assert waits == [1800, 3600]


def test_answers_of_a_limit_are_no_attempts(waits):
    outcomes = [limited(5), Transient("cut"), limited(5), Transient("cut")]
    settings = TransferSettings(attempts=3)
    assert retrying(answers(*outcomes, limited(5), "whole"), settings, "a file") == "whole"
    with pytest.raises(InputError, match="no good answer after 3 attempts") as error:
        retrying(answers(*outcomes, Transient("cut")), settings, "a file")
    assert "check the connection" in str(error.value)
    with pytest.raises(Unobtainable):
        retrying(answers(*outcomes, Altered("other bytes")), settings, "a file")


@pytest.mark.parametrize("after_s", [None, 0.0, 600.0, 7300.0, 86_400.0])
def test_a_limit_that_lasts_stops_with_what_it_is(waits, after_s):
    with pytest.raises(InputError) as error:
        retrying(answers(*[limited(after_s)] * 10_000), USUAL, "a file", "name a copy")
    text = str(error.value)
    assert (
        "rate limit" in text and "HTTP 429" in text and "limit_wait_min" in text and "or name a copy" in text
    )
    assert "check the connection" not in text and "kept" in text
    assert sum(waits) <= 2 * 3600
    assert not waits if (after_s or 0) > 7200 else sum(waits) > 6500


@examples(max_examples=30, deadline=None)
@given(
    longest_s=st.floats(0, 500),
    outcomes=st.lists(st.one_of(st.none(), st.floats(0, 400)), max_size=30),
)
def test_no_more_is_waited_than_is_configured(longest_s, outcomes):
    waited: list[float] = []
    settings = TransferSettings(limit_wait_s=longest_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retries.time, "sleep", waited.append)
        try:
            assert retrying(answers(*map(limited, outcomes), "whole"), settings, "a file") == "whole"
        except InputError:
            assert outcomes
    assert sum(waited) <= longest_s


def test_what_is_waited_for_is_shown_now_and_then(waits, caplog, monkeypatch):
    monkeypatch.setattr(retries, "_notice", retries._Notice())
    with caplog.at_level(logging.WARNING):
        retrying(answers(*[limited(60)] * 20, "whole"), USUAL, "a file")
    (line,) = caplog.messages  # all of them within a moment here
    assert "HTTP 429" in line and "waiting 60 s" in line and "at most 120 min" in line


def test_the_time_comes_from_the_configuration():
    resources = SimpleNamespace(connections=4, attempts=6, reserve_mb=5, limit_wait_min=90)
    assert transfer_settings(resources).longest_limit_s == 5400
    assert USUAL.longest_limit_s == 7200


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
@pytest.mark.parametrize("status", [429, 503])
def test_a_file_comes_after_more_refusals_than_attempts(tmp_path, status, headers):
    if status == 503:
        headers = {"Retry-After": "0"}  # without, it is busy or broken, and no limit
    with running(FileServer(b"content" * 999)) as server:
        server.faults = [Fault("status", 12, status, headers=headers)]
        http.download(server.url, tmp_path / "file", SETTINGS, title="file", remedy="")
        assert (tmp_path / "file").read_bytes() == b"content" * 999
        server.faults = [Fault("status", ALWAYS, 503)]
        with pytest.raises(InputError, match="no good answer after 6 attempts"):
            http.download(server.url, tmp_path / "other", SETTINGS, title="file", remedy="")


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (400, "ThrottlingException"), (429, "Other")]
)
def test_a_bucket_that_asks_to_slow_down_is_waited_for(status, code):
    with running(BucketServer({"series/one.dcm": b"content"})) as bucket:
        bucket.faults = [Fault("status", 9, status, code)]
        client = s3.make_client(bucket.url, SETTINGS)
        (file,) = s3.list_files(client, "bucket", "series/", SETTINGS)
        assert file.name == "one.dcm"
