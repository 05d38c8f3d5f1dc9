"""Files and byte ranges over HTTP, retried; which answers are worth another try is decided here."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from chestct.download.transfer.disk import check_space
from chestct.download.transfer.retries import (
    ByteProgress,
    Limited,
    TransferSettings,
    Transient,
    Unobtainable,
    retrying,
)
from chestct.errors import InputError
from chestct.secrets_in_text import without_secrets

TIMEOUT_S = (15, 60)  # to connect; between two blocks
_BLOCK = 1 << 17
#: A server that sends fewer bytes a second for so many seconds is as good as silent.
_SLOWEST, _PATIENCE_S = 100, 300.0
_TOO_MANY_REQUESTS, _UNAVAILABLE = 429, 503
_BUSY = (408, 425, _TOO_MANY_REQUESTS)
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What is known of a file before it is read.

    Attributes:
        size: in bytes.
        etag: an identity that changes with the content, if the server gives one.
    """

    size: int
    etag: str | None


def session(parallel: int = 8) -> requests.Session:
    """A session whose connections are shared by ``parallel`` threads."""
    made = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=parallel)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    # A compressed body would have other sizes and ranges than the file.
    made.headers["Accept-Encoding"] = "identity"
    return made


def _retry_after_s(response: requests.Response) -> float | None:
    try:
        return Retry().get_retry_after(response.raw)
    except (InvalidHeader, ValueError, OverflowError):  # such as a date beyond the calendar
        return None


def _number(text: str | None) -> int | None:
    """A number that a header gives; None where it is none, or beyond any file."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _blocks(response: requests.Response, url: str) -> Iterator[bytes]:
    """The body as it comes; one that all but stands still is Transient, like one that is cut."""
    since, number = time.monotonic(), 0
    chunked = getattr(response.raw, "chunked", False)
    pieces = response.iter_content(_BLOCK) if chunked else iter(lambda: _read_some(response), b"")
    for block in pieces:
        yield block
        number += len(block)
        seconds = time.monotonic() - since
        if seconds > _PATIENCE_S:
            if number < _SLOWEST * seconds:
                raise Transient(f"{number} bytes in {seconds:.0f} s from {without_secrets(url)}")
            since, number = time.monotonic(), 0


def _read_some(response: requests.Response) -> bytes:
    # Not iter_content: it waits until a block is full, however slowly that fills.
    return response.raw.read1(_BLOCK, decode_content=True) or b""


def _check_status(response: requests.Response, url: str, remedy: str) -> None:
    status, shown = response.status_code, without_secrets(url)
    if status in (200, 206):
        return
    if status in _BUSY or status >= 500:
        after_s = _retry_after_s(response)
        limited = status == _TOO_MANY_REQUESTS or (status == _UNAVAILABLE and after_s is not None)
        raise (Limited if limited else Transient)(f"HTTP {status} from {shown}", after_s)
    if status in (404, 410):
        raise Unobtainable("not_found", f"HTTP {status}: {shown}")
    words = {401: "asks for credentials", 403: "refuses access"}.get(status, "does not serve the file")
    raise InputError(f"the server {words} (HTTP {status})", where=shown, expected="HTTP 200", remedy=remedy)


@contextmanager
def _answer(
    client: requests.Session,
    url: str,
    remedy: str,
    headers: dict[str, str] | None = None,
    accepted: tuple[int, ...] = (),
) -> Iterator[requests.Response]:
    """An answer whose status is good, or accepted; a connection that fails, also while read, is Transient."""
    try:
        with _ask(client, url, headers) as response:
            if response.status_code not in accepted:
                _check_status(response, url, remedy)
            yield response
    except _NO_ADDRESS:
        raise InputError(
            "not an address, or the server redirects from it to none",
            where=without_secrets(url),
            expected="https://...",
            remedy="correct the address",
        ) from None
    except (requests.exceptions.RequestException, HTTPError) as error:
        # The error's own text, and so its traceback, may hold the query, and with it a signature.
        raise Transient(f"{type(error).__name__}: {without_secrets(url)}") from None


def _ask(client: requests.Session, url: str, headers: dict[str, str] | None) -> requests.Response:
    try:
        return client.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)
    except (requests.exceptions.RequestException, HTTPError):
        raise
    except ValueError:  # an address that does not parse, whose own text may repeat a password
        raise requests.exceptions.InvalidURL from None


def _without_ranges(url: str) -> InputError:
    return InputError(
        "the server does not serve ranges of the file",
        where=without_secrets(url),
        expected="HTTP 206 and a size for a range request",
        remedy="download the file whole and name its path instead of its address",
    )


def probe(client: requests.Session, url: str, settings: TransferSettings, *, remedy: str) -> Remote:
    """Ask a server that serves ranges what it says of a file.

    Raises:
        InputError: refused (``remedy`` is shown), no answer, or a server without ranges.
        Unobtainable: there is no such file.
    """

    def ask() -> Remote:
        # A first byte instead of HEAD: signed addresses often admit GET alone.
        with _answer(client, url, remedy, {"Range": "bytes=0-0"}) as response:
            size = _number(response.headers.get("Content-Range", "").rpartition("/")[2])
            if response.status_code != 206 or size is None:
                raise _without_ranges(url)
            _check_range(response, 0, url)
            return Remote(size=size, etag=response.headers.get("ETag"))

    return retrying(ask, settings, without_secrets(url))


def read_range(
    client: requests.Session, url: str, start: int, stop: int, settings: TransferSettings, *, remedy: str
) -> bytes:
    """Bytes ``start`` to ``stop`` (exclusive) of a file.

    Raises:
        InputError: refused, no answer, or a server without ranges.
        Unobtainable: there is no such file.
    """

    def ask() -> bytes:
        with _answer(client, url, remedy, {"Range": f"bytes={start}-{stop - 1}"}) as response:
            if response.status_code != 206:
                raise _without_ranges(url)
            _check_range(response, start, url)
            content = bytearray()
            for block in _blocks(response, url):
                content += block
                if len(content) > stop - start:
                    break  # more than was asked for, perhaps without an end
        if len(content) != stop - start:
            raise Transient(f"{len(content)} of {stop - start} bytes from {without_secrets(url)}")
        return bytes(content)

    return retrying(ask, settings, without_secrets(url))


def download(
    url: str, path: Path, settings: TransferSettings, *, title: str, remedy: str, resume: bool = False
) -> None:
    """Download a file to a temporary path, which the caller checks before the file appears.

    A connection that is cut begins anew, unless ``resume`` is set: then what is at ``path`` is continued,
    also in a later run, if the server serves ranges of the file with the same ETag.

    Args:
        url: address.
        path: file to write.
        settings: attempts, waits, and the space that stays free.
        title: of the progress.
        remedy: for the message where the server refuses or does not answer.
        resume: whether to go on with what is there; its ETag is kept beside it until it is whole.

    Raises:
        InputError: refused, no answer, or the disk is too small.
        Unobtainable: there is no such file.
    """

    def attempt() -> None:
        start = path.stat().st_size if resume and path.is_file() and etag_path.is_file() else 0
        known = etag_path.read_text(encoding="utf-8", errors="replace") if start else ""
        wanted = {"Range": f"bytes={start}-"} if start else None
        with _answer(client, url, remedy, wanted, (416,) if start else ()) as response:
            etag = response.headers.get("ETag", "")
            if start and not _continues(response, start, known):
                etag_path.unlink()
                if response.status_code != 200:
                    raise Transient(f"another file, or another part of it, from {without_secrets(url)}")
                start = 0
            if not start and response.status_code != 200:
                raise Transient(f"a part that nobody asked for from {without_secrets(url)}")
            # A weak one may stay where bytes change.
            if resume and etag and not etag.startswith("W/") and not start:
                path.unlink(missing_ok=True)
                etag_path.write_text(etag, encoding="utf-8")
            size = _number(response.headers.get("Content-Length")) or 0
            check_space(path.parent, size, settings)
            with open(path, "ab" if start else "wb") as sink, ByteProgress(size, title) as progress:
                # urllib3 raises where fewer bytes arrive than were announced.
                for block in _blocks(response, url):
                    sink.write(block)
                    progress.update(len(block))
            whole = _number(response.headers.get("Content-Range", "").rpartition("/")[2]) if start else None
            if whole is not None and path.stat().st_size != whole:
                path.unlink()
                raise Transient(f"not the rest of the file from {without_secrets(url)}")

    etag_path = path.with_name(f"{path.name}.etag")
    with session() as client:
        retrying(attempt, settings, without_secrets(url), remedy)
    etag_path.unlink(missing_ok=True)


def _check_range(response: requests.Response, start: int, url: str) -> None:
    """Transient where an answer says that it holds another part of the file."""
    if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise Transient(f"another part of the file from {without_secrets(url)}")


def _continues(response: requests.Response, start: int, etag: str) -> bool:
    """Whether an answer is the rest, from byte ``start``, of the file that has this ETag."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    same = response.headers.get("ETag") == etag and not etag.startswith("W/")
    return response.status_code == 206 and begins and same
