"""Files and byte ranges over HTTP: resumed after a cut, checked, whole or not at all.

``requests`` speaks HTTP; what it leaves to its callers is here: which answers are worth another try,
resuming a file by range, and the check before a file appears. (pooch and torch.hub do not resume.)
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from chestct.download.transfer.retries import TransferSettings, Transient, Unobtainable, disk_errors, retrying
from chestct.errors import InputError
from chestct.files import sha256_file

TIMEOUT_S = (15, 60)  # to connect; between two blocks
_BLOCK = 1 << 17  # what a cut loses at most
_BUSY = (408, 425, 429)
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What a server says of a file: its size, an identity that changes with its content, ranges or not."""

    size: int | None
    etag: str | None
    ranges: bool


def session(parallel: int = 8) -> requests.Session:
    """A session whose connections are shared by ``parallel`` threads."""
    made = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=parallel)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    # A compressed body would have other sizes and ranges than the file.
    made.headers["Accept-Encoding"] = "identity"
    return made


def without_secrets(url: str) -> str:
    """The URL without user, password and query, which may hold a signature; for messages and manifests."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _retry_after_s(text: str | None) -> float | None:
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000", a time without a zone
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _check_status(response: requests.Response, url: str, remedy: str, *, partial: bool) -> None:
    status, shown = response.status_code, without_secrets(url)
    if status in (200, 206) or (status == 416 and partial):
        return
    if status in _BUSY or status >= 500:
        message = f"HTTP {status} from {shown}"
        raise Transient(message, _retry_after_s(response.headers.get("Retry-After")))
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
    *,
    partial: bool = False,
) -> Iterator[requests.Response]:
    """An answer whose status is good; a connection that fails, also while it is read, is Transient."""
    try:
        with client.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            _check_status(response, url, remedy, partial=partial)
            yield response
    except _NO_ADDRESS:
        raise InputError(
            "not an address",
            where=without_secrets(url),
            expected="https://...",
            remedy="correct the address",
        ) from None
    except (requests.exceptions.RequestException, HTTPError) as error:
        # The error's own text, and so its traceback, may hold the query, and with it a signature.
        raise Transient(f"{type(error).__name__}: {without_secrets(url)}") from None


def lasting(error: Transient, url: str, attempts: int) -> InputError:
    """The message for a failure that did not pass."""
    return InputError(
        f"no good answer after {attempts} attempts: {error}",
        where=without_secrets(url),
        expected="a server that answers",
        remedy="check the connection and rerun: what is whole is kept, what is partial goes on",
    )


def patiently(function: Callable[[], Any], url: str, settings: TransferSettings) -> Any:
    """Call a function with retries; a failure that lasts becomes an InputError.

    Raises:
        InputError: every attempt failed.
    """
    try:
        return retrying(function, settings)
    except Transient as error:
        raise lasting(error, url, settings.attempts) from error


def probe(client: requests.Session, url: str, settings: TransferSettings, *, remedy: str) -> Remote:
    """Ask a server what it says of a file.

    Raises:
        InputError: refused (``remedy`` is shown), or no answer.
        Unobtainable: there is no such file.
    """

    def ask() -> Remote:
        # A first byte instead of HEAD: signed addresses often admit GET alone.
        with _answer(client, url, remedy, {"Range": "bytes=0-0"}) as response:
            if response.status_code == 206:
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                return Remote(
                    size=int(total) if total.isdigit() else None,
                    etag=response.headers.get("ETag"),
                    ranges=True,
                )
            length = response.headers.get("Content-Length")
            return Remote(
                size=int(length) if length else None, etag=response.headers.get("ETag"), ranges=False
            )

    return patiently(ask, url, settings)


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
                raise InputError(
                    "the server does not serve ranges of a file",
                    where=without_secrets(url),
                    expected="HTTP 206 for a range request",
                    remedy="download the file whole and unpack it, then use `from: folder`",
                )
            content = response.content
        if len(content) != stop - start:
            raise Transient(f"{len(content)} of {stop - start} bytes from {without_secrets(url)}")
        return content

    return patiently(ask, url, settings)


def _part_of(target: Path) -> tuple[Path, Path]:
    return target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.part.json")


def _begin(part: Path, facts: Path, url: str) -> tuple[int, dict[str, str]]:
    """Where to go on, and the headers that ask for it; only with an ETag is the rest the same file's."""
    try:
        known = json.loads(facts.read_text(encoding="utf-8"))
        size = part.stat().st_size
        if known["url"] == without_secrets(url) and known["etag"] and size > 0:
            return size, {"Range": f"bytes={size}-", "If-Range": known["etag"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, {}


def _fetch(
    client: requests.Session, url: str, part: Path, facts: Path, remedy: str, progress: Callable[[int], None]
) -> None:
    """One attempt: append to the part, or begin it anew, until the announced length is there."""
    start, headers = _begin(part, facts, url)
    with _answer(client, url, remedy, headers, partial=bool(headers)) as response:
        if response.status_code == 416:
            # The part is as long as the file, or longer: its check decides, else it is begun anew.
            if response.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                return
            facts.unlink()
            raise Transient(f"the file at {without_secrets(url)} is another than the part")
        resumed = response.status_code == 206
        length = response.headers.get("Content-Length")
        if not resumed:
            start = 0
        etag = response.headers.get("ETag")
        # A weak ETag names a meaning, not bytes: nothing may be appended by it.
        strong = etag if etag and not etag.startswith("W/") else None
        facts.write_text(json.dumps({"url": without_secrets(url), "etag": strong}), encoding="utf-8")
        with open(part, "ab" if resumed else "wb") as sink:
            for block in response.iter_content(_BLOCK):
                sink.write(block)
                progress(len(block))
    total = start + int(length) if length else None
    if total is not None and part.stat().st_size != total:
        raise Transient(f"{part.stat().st_size} of {total} bytes from {without_secrets(url)}")


def _fetch_whole(fetch: Callable[[], None], part: Path, url: str, settings: TransferSettings) -> None:
    """Fetch with retries that begin anew as long as the part grows: a long file over a line that drops."""

    def size() -> int:
        return part.stat().st_size if part.exists() else 0

    while True:
        before = size()
        try:
            return patiently(fetch, url, settings)
        except InputError as error:
            if not isinstance(error.__cause__, Transient) or size() <= before:
                raise


def download(
    client: requests.Session,
    url: str,
    target: Path,
    settings: TransferSettings,
    *,
    size: int | None = None,
    sha256: str | None = None,
    remedy: str,
    progress: Callable[[int], None] = lambda _: None,
) -> str:
    """Download a file whole and right, or not at all; returns its SHA-256.

    What arrived before a cut or a kill stays in a hidden part beside the target and is gone on from,
    if the server still has the same file.

    Args:
        client: of ``session``.
        url: address.
        target: where the file goes.
        settings: attempts and waits.
        size, sha256: what the file must have, where it is known.
        remedy: for the message where the server refuses.
        progress: called with the number of bytes that arrived.

    Raises:
        InputError: refused, no answer, or the disk is full.
        Unobtainable: ``not_found``, or ``altered`` where size or digest stay wrong in a second download.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, facts = _part_of(target)
    for last in (False, True):
        with disk_errors(target):
            _fetch_whole(lambda: _fetch(client, url, part, facts, remedy, progress), part, url, settings)
            found_size, found = part.stat().st_size, sha256_file(part)
        if (size is None or found_size == size) and (sha256 is None or found == sha256):
            break
        # A part that was gone on from may be of two files: once more from the beginning.
        part.unlink()
        facts.unlink(missing_ok=True)
        if last:
            raise Unobtainable(
                "altered",
                f"{without_secrets(url)}: {found_size} bytes, SHA-256 {found}; "
                f"expected {size if size is not None else 'any number of'} bytes, SHA-256 {sha256 or 'any'}",
            )
    part.replace(target)
    facts.unlink(missing_ok=True)
    return found
