"""A Kaggle-shaped service on loopback that holds RSPECT.

It follows what the pinned client sends: POST with JSON to
/api/v1/competitions.CompetitionApiService/DownloadDataFile, Basic or Bearer credentials, and a redirect to
a signed address on another host. It is reached as an HTTP proxy, so that both hosts are this server.
"""

import base64
import hashlib
import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chestct.download.sources import rspect
from chestct.download.transfer.kaggle import CompetitionFiles
from chestct.download.transfer.retries import TransferSettings
from tests.unit.download.rspect_servers import Fault, Handler, Server, contents, running

SIGNATURE = "0123456789abcdef-signed"
SECRETS = (
    base64.b64encode(b"someone:good-key").decode(),
    "good-key",
    "good-token",
    "bad-key",
    "bad-token",
    SIGNATURE,
)


ENTRY = {"name": "r", "source": "rspect", "from": "kaggle"}


class KaggleHandler(Handler):
    """Kaggle's service and the storage that it redirects to, by host."""

    server: "KaggleServer"

    def do_POST(self) -> None:  # noqa: N802 (http.server names it)
        """A call of the service."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = urlsplit(self.path).path.removeprefix("/api/v1/")
        if call == "security.OAuthService/IntrospectToken":
            good = body["token"] == self.server.token
            answer = {"active": good, "username": "someone"} if good else {"active": False}
            return self.json(200, answer)
        if self.headers.get("Authorization") not in self.server.accepted():
            return self.json(401, {"code": 401, "message": "Unauthenticated"})
        if not self.server.rules_accepted:
            return self.json(403, {"code": 403, "message": "You must accept this competition's rules"})
        name = body["fileName"]
        assert call == "competitions.CompetitionApiService/DownloadDataFile"
        assert body["competitionName"] == "rsna-str-pulmonary-embolism-detection"
        with self.server.lock:
            self.server.asked.append(name)
        fault = self.server.service_fault(name)
        if fault:
            return self.send(200, b"", {}, fault)
        if not (self.server.folder / name).is_file():
            return self.json(404, {"code": 404, "message": "Not found"})
        address = f"http://storage.test/{name}?X-Goog-Signature={SIGNATURE}"
        return self.send(302, b"", {"Location": address}, None)

    def json(self, status: int, answer: dict[str, Any]) -> None:
        """An answer of the service."""
        self.send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"}, None)

    def do_GET(self) -> None:  # noqa: N802 (http.server names it)
        """A file from the storage, by its signed address."""
        self.server.before()
        if self.server.delay_s:
            time.sleep(self.server.delay_s)
        address = urlsplit(self.path)
        if address.hostname != "storage.test" or "Authorization" in self.headers:
            self.server.leaks.append(f"{address.hostname} {self.headers.get('Authorization')}")
        if parse_qs(address.query).get("X-Goog-Signature") != [SIGNATURE]:
            return self.send(403, b"<Error/>", {"Content-Type": "application/xml"}, None)
        name = address.path.removeprefix("/")
        body = (self.server.folder / name).read_bytes()
        if name in self.server.zipped:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name.rpartition("/")[2], body)
            body = buffer.getvalue()
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "x-goog-hash": f"crc32c=AAAAAA==,md5={md5}"}
        return self.send(200, body, headers, self.server.fault(name))


class KaggleServer(Server):
    """Serves a folder in RSPECT's layout as the competition's files.

    Attributes:
        folder: what it serves.
        token, user, key: credentials that it accepts.
        rules_accepted: else every download is refused with 403.
        zipped: names of files that arrive as zip.
        leaks: credentials that reached another host than the service.
        service_faults: faults of the service's own answers (``faults`` are the storage's).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(KaggleHandler)
        self.folder = folder
        self.token, self.user, self.key = "good-token", "someone", "good-key"
        self.rules_accepted = True
        self.zipped: set[str] = set()
        self.leaks: list[str] = []
        self.service_faults: list[Fault] = []

    def accepted(self) -> list[str]:
        """Values of the header Authorization that are let in."""
        basic = base64.b64encode(f"{self.user}:{self.key}".encode()).decode()
        return [f"Bearer {self.token}", f"Basic {basic}"]

    def service_fault(self, name: str) -> Fault | None:
        """A planned fault of the service itself."""
        with self.lock:
            for fault in self.service_faults:
                if fault.times > 0 and fault.name in name:
                    fault.times -= 1
                    return fault
        return None


def kaggle_environment(url: str, home: Path) -> dict[str, str | None]:
    """Environment in which the client asks the server at ``url``; None: not set.

    Its endpoint for local use is http://localhost without a port: it is reached through a proxy.
    """
    return {
        "HOME": str(home),
        "KAGGLE_CONFIG_DIR": str(home / "kaggle"),
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "KAGGLE_USERNAME": "someone",
        "KAGGLE_KEY": "good-key",
        "KAGGLE_API_TOKEN": None,
        "http_proxy": url,
        "HTTP_PROXY": None,
        "no_proxy": "127.0.0.1",
        "NO_PROXY": None,
        "all_proxy": None,
        "ALL_PROXY": None,
    }


@contextmanager
def kaggle_service(folder: Path, home: Path, patch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """A running Kaggle-shaped service, and an environment in which the client uses it."""
    with running(KaggleServer(folder)) as server:
        for key, value in kaggle_environment(server.url, home).items():
            if value is None:
                patch.delenv(key, raising=False)
            else:
                patch.setenv(key, value)
        forget_kaggle(patch)
        yield server


def forget_kaggle(patch: pytest.MonkeyPatch) -> None:
    """The client reads its environment when it is imported: let it be imported anew."""
    for name in [name for name in sys.modules if name == "kaggle" or name.startswith("kaggle.")]:
        patch.delitem(sys.modules, name)


def file_of(small: Path) -> str:
    return sorted(contents(small))[4]


def fetch(small: Path, folder: Path, settings: TransferSettings) -> Path:
    with CompetitionFiles(rspect.COMPETITION, settings) as files:
        files.fetch(file_of(small), folder / "a.dcm")
    return folder / "a.dcm"


def check_right(small: Path, path: Path) -> None:
    assert path.read_bytes() == (small / file_of(small)).read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["a.dcm"]
