"""Files of a Kaggle competition, one by one, through the ``kaggle`` client and the user's own credentials.

The client finds the credentials itself (KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, kaggle.json, or
``kaggle auth login``); nothing here reads, copies or shows them. Its own download writes under the final
name, prints, and waits for ever on a silent server, so that only its authenticated request is used: it
answers with a redirect to storage, whose content is streamed here.
"""

import hashlib
import io
import os
import re
import shutil
import threading
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as StreamError
from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from chestct.download.transfer.http import TIMEOUT_S, lasting, without_secrets
from chestct.download.transfer.retries import TransferSettings, Transient, Unobtainable, disk_errors, retrying
from chestct.errors import InputError

_BLOCK = 1 << 20
_BUSY = (408, 425, 429)
_TOKEN_PAGE = "https://www.kaggle.com/settings/api"
#: With these set the client prints every request with its credentials.
_VERBOSE = ("VERBOSE", "VERBOSE_OUTPUT")


class _Altered(Transient):
    """What arrived is not what the storage says it sent."""


class _PatientAdapter(HTTPAdapter):
    """Ends the wait for a server that has fallen silent; the client sets no limit."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = TIMEOUT_S
        return super().send(*args, **kwargs)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the client prints, and its verbose mode, out of the log."""
    hidden = {key: os.environ.pop(key) for key in _VERBOSE if key in os.environ}
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.environ.update(hidden)


class CompetitionFiles:
    """Downloads of one competition; several threads may fetch at once, each with its own connection.

    Args:
        competition: its name in Kaggle's addresses.
        settings: attempts and waits.

    Raises:
        InputError: no credentials, wrong ones, or no answer.
    """

    def __init__(self, competition: str, settings: TransferSettings) -> None:
        self.competition = competition
        self.page = f"https://www.kaggle.com/competitions/{competition}"
        self._settings = settings
        self._threads = threading.local()
        self._clients: list[Any] = []
        try:
            self._api = retrying(self._sign_in, settings)
        except Transient as error:
            raise lasting(error, self.page, settings.attempts) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.__exit__(None, None, None)

    def _sign_in(self) -> Any:
        try:
            with _quietly():
                # Imported here and nowhere else: the import itself looks for credentials.
                from kaggle.api.kaggle_api_extended import KaggleApi

                api = KaggleApi()
                api.authenticate()
        except SystemExit:
            raise InputError(
                "no valid Kaggle credentials were found",
                where="the Kaggle client's own configuration",
                expected="the environment variable KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, or "
                "the file ~/.kaggle/kaggle.json",
                remedy=f"make a token at {_TOKEN_PAGE} and store it in one of these places; "
                "it stays there: the workflow does not copy it",
            ) from None
        except requests.HTTPError as error:
            raise self._refusal(error, "sign-in") from None
        except requests.RequestException as error:
            raise Transient(f"{type(error).__name__} at Kaggle's sign-in") from None
        except OSError as error:
            raise InputError(
                f"the Kaggle client cannot use its configuration: {error.strerror}",
                where=error.filename or "its configuration folder",
                expected="a folder that can be read and made",
                remedy="set KAGGLE_CONFIG_DIR to a folder of your own",
            ) from None
        # Its notice of a newer version would be printed by a thread.
        api.already_printed_version_warning = True
        return api

    def _client(self) -> Any:
        """This thread's client: its session is not made for several threads."""
        if not hasattr(self._threads, "client"):
            client = self._api.build_kaggle_client()
            client.__enter__()
            session = client.http_client()._session
            for scheme in ("https://", "http://"):
                session.mount(scheme, _PatientAdapter())
            session.headers["Accept-Encoding"] = "identity"  # else sizes and digests are of another body
            self._threads.client = client
            self._clients.append(client)
        return self._threads.client

    def _refusal(self, error: requests.HTTPError, name: str) -> Exception:
        """What an answer other than a file means."""
        response = error.response
        assert response is not None
        status = response.status_code
        if status < 400:
            status = response.json()["code"]  # the client raises for errors in a body, too
        if status in _BUSY or status >= 500:
            words = "Kaggle limits the rate of requests" if status == 429 else "Kaggle does not answer now"
            try:
                wait = Retry().get_retry_after(response.raw)
            except InvalidHeader:
                wait = None
            return Transient(f"{words} (HTTP {status}, {name})", wait)
        if response.history:
            # The storage, whose signed address is valid for a while: the next try gets a new one.
            return Transient(f"HTTP {status} from {without_secrets(response.url)}")
        if status == 404:
            return Unobtainable("not_found", f"Kaggle has no file {name} in {self.competition}")
        what, remedy = {
            401: (
                "Kaggle does not accept the credentials",
                f"make a new token at {_TOKEN_PAGE} and put it in the place of the old one",
            ),
            403: (
                "Kaggle does not give access to the competition's files: its rules are not accepted",
                f"sign in to Kaggle with the same account, accept the rules at {self.page}/rules, and rerun",
            ),
        }.get(status, ("Kaggle refuses the request", f"see whether {self.page}/data offers the file"))
        return InputError(
            f"{what} (HTTP {status})",
            where=f"{self.page} ({name})",
            expected="an account that has accepted the competition's rules",
            remedy=remedy,
        )

    def _attempt(self, name: str, part: Path, progress: Callable[[int], None]) -> None:
        from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFileRequest

        request = ApiDownloadDataFileRequest()
        request.competition_name = self.competition
        request.file_name = name
        try:
            service = self._client().competitions.competition_api_client
            with service.download_data_file(request) as response:
                _stream(response, part, name.rpartition("/")[2], progress)
        except requests.HTTPError as error:
            # Nothing of these errors is shown or chained: they name signed addresses.
            raise self._refusal(error, name) from None
        except (requests.RequestException, StreamError) as error:
            raise Transient(f"{type(error).__name__} ({name})") from None

    def fetch(self, name: str, target: Path, progress: Callable[[int], None] = lambda _: None) -> None:
        """Download a file whole or not at all; one that Kaggle sends zipped is unpacked.

        Args:
            name: the file in the competition, e.g. train/foo/bar.dcm.
            target: where it goes.
            progress: called with the number of bytes that arrived.

        Raises:
            InputError: credentials, rules, no answer, or the disk is full.
            Unobtainable: ``not_found``; ``altered`` where what arrives never has the stated digest.
        """
        part = target.with_name(f".{target.name}.part")
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                retrying(lambda: self._attempt(name, part, progress), self._settings)
                part.replace(target)
            except _Altered as error:
                raise Unobtainable("altered", f"{name}: {error}") from None
            except Transient as error:
                raise lasting(error, f"{self.page}/data", self._settings.attempts) from None
            finally:
                part.unlink(missing_ok=True)


def _stream(response: requests.Response, part: Path, name: str, progress: Callable[[int], None]) -> None:
    """Write an answer's content, checked by the size and the MD5 that the storage states."""
    if "text/html" in response.headers.get("Content-Type", ""):
        raise Transient(f"a web page instead of the file from {without_secrets(response.url)}")
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with open(part, "wb") as sink:
        for block in response.iter_content(_BLOCK):
            sink.write(block)
            digest.update(block)
            size += len(block)
            progress(len(block))
    stated = response.headers.get("Content-Length")
    if stated is not None and size != int(stated):
        raise Transient(f"{size} of {stated} bytes arrived")
    # Google's storage states digests of the stored object, several in one header.
    md5 = re.search(r"md5=([A-Za-z0-9+/=]+)", response.headers.get("x-goog-hash", ""))
    if md5 and b64decode(md5[1]) != digest.digest():
        raise _Altered("the content does not have the MD5 that the storage states")
    with open(part, "rb") as file:
        zipped = file.read(4) == b"PK\3\4"
    if zipped:
        _unpack_member(part, name)


def _unpack_member(part: Path, name: str) -> None:
    """Replace a zip by the one file of that name in it, wherever it lies in the zip."""
    unpacked = part.with_name(f"{part.name}.unpacked")
    try:
        with zipfile.ZipFile(part) as archive:
            files = [info for info in archive.infolist() if info.filename.rpartition("/")[2] == name]
            if len(files) != 1:
                raise _Altered(f"a zip with {len(files)} files of this name instead of the file")
            with archive.open(files[0]) as source, open(unpacked, "wb") as sink:
                shutil.copyfileobj(source, sink, _BLOCK)
        unpacked.replace(part)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise _Altered(f"the zip that arrived is damaged: {error}") from error
    finally:
        unpacked.unlink(missing_ok=True)
