"""Servers on loopback that hold RSPECT: an archive read by ranges, and a Kaggle-shaped service.

The Kaggle-shaped one follows what the pinned client sends: POST with JSON to
/api/v1/competitions.CompetitionApiService/DownloadDataFile, Basic or Bearer credentials, and a redirect to
a signed address on another host. It is reached as an HTTP proxy, so that both hosts are this server.
"""

import base64
import hashlib
import io
import json
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

ALWAYS = 1 << 30
SIGNATURE = "0123456789abcdef-signed"


@dataclass
class Fault:
    """What goes wrong with the next ``times`` answers that it concerns.

    Attributes:
        kind: status, cut (half the body), flip (a byte of the body), html (a web page with 200).
        times: how often.
        status, headers: of kind status.
        name: only files whose name holds this.
        at: only answers that hold this byte of the file; the one that is flipped.
    """

    kind: str
    times: int = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    at: int | None = None


class Server(ThreadingHTTPServer):
    """A server with planned faults; ``asked`` is what clients asked for, in order."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.faults: list[Fault] = []
        self.asked: list[Any] = []
        self.delay_s = 0.0
        self.before: Callable[[], object] = lambda: None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, name: str = "", start: int = 0, stop: int = ALWAYS) -> Fault | None:
        """The planned fault for an answer, counted."""
        with self.lock:
            for fault in self.faults:
                held = fault.at is None or start <= fault.at < stop
                if fault.times > 0 and fault.name in name and held:
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Tests' output stays readable."""

    def send(
        self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None, start: int = 0
    ) -> None:
        """Answer; a fault of the body is done to it."""
        if fault and fault.kind == "status":
            status, body, headers = fault.status, b"{}", {"Content-Type": "application/json", **fault.headers}
        if fault and fault.kind == "html":
            body, headers = b"<html>sign in</html>", {"Content-Type": "text/html; charset=utf-8"}
        if fault and fault.kind == "flip":
            at = (fault.at or start + len(body) // 2) - start
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault and fault.kind == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)


class ArchiveHandler(_Handler):
    """One file, by ranges."""

    server: "ArchiveServer"

    def do_GET(self) -> None:
        """A range of the archive, or all of it."""
        self.server.before()
        if self.server.delay_s:
            time.sleep(self.server.delay_s)
        size, wanted = self.server.size(), self.headers.get("Range")
        headers = {"ETag": self.server.etag, "Content-Type": "application/zip"}
        if not wanted or not self.server.ranges:
            return self.send(200, self.server.read(0, size), headers, self.server.fault())
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        with self.server.lock:
            self.server.asked.append((start, stop))
        if start >= size:
            return self.send(416, b"", {"Content-Range": f"bytes */{size}"}, None)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        fault = self.server.fault("", start, stop)
        return self.send(206, self.server.read(start, stop), headers, fault, start)


class ArchiveServer(Server):
    """Serves a file, or bytes that a test may exchange."""

    def __init__(self, content: bytes | Path) -> None:
        super().__init__(ArchiveHandler)
        self.content = content
        self.etag, self.ranges = '"first"', True

    def size(self) -> int:
        """Bytes of the archive."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """Some of them."""
        if isinstance(self.content, bytes):
            return self.content[start:stop]
        with open(self.content, "rb") as file:
            file.seek(start)
            return file.read(stop - start)


class KaggleHandler(_Handler):
    """Kaggle's service and the storage that it redirects to, by host."""

    server: "KaggleServer"

    def do_POST(self) -> None:
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

    def do_GET(self) -> None:
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


S = TypeVar("S", bound=Server)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Run a server in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Pipe(io.RawIOBase):
    """A file that cannot seek: zip writers put sizes and CRC behind the content (data descriptors)."""

    def __init__(self, sink: io.BytesIO) -> None:
        self.sink = sink

    def writable(self) -> bool:
        """Nothing but writing."""
        return True

    def write(self, data: Any) -> int:
        """Pass on."""
        return self.sink.write(data)


def zip_folder(
    folder: Path, prefix: str = "", method: int = zipfile.ZIP_DEFLATED, *, streamed: bool = False
) -> bytes:
    """A zip of a folder in RSPECT's layout, as RSNA's archive is one; ``streamed`` with data descriptors."""
    sink = io.BytesIO()
    out: Any = Pipe(sink) if streamed else sink
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = b"RSPECT, as the tests have it"
        archive.write(folder / "train.csv", f"{prefix}train.csv")
        for path in sorted((folder / "train").rglob("*")):
            archive.write(path, f"{prefix}{path.relative_to(folder).as_posix()}")
        archive.writestr(f"{prefix}test/a/b/c.dcm", b"not for training")
    return sink.getvalue()


def copy_few(source: Path, folder: Path, num_scans: int = 3) -> Path:
    """Scans of a folder in RSPECT's layout, every fourth slice of 24, with their train.csv."""
    table = pd.read_csv(source / "train.csv", dtype=str)
    studies = sorted(table["StudyInstanceUID"].unique())[:num_scans]
    table = table[table["StudyInstanceUID"].isin(studies)]
    table = table[table.groupby("StudyInstanceUID").cumcount() % 4 == 0]
    for row in table.itertuples():
        name = f"train/{row.StudyInstanceUID}/{row.SeriesInstanceUID}/{row.SOPInstanceUID}.dcm"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, folder / name)
    table.to_csv(folder / "train.csv", index=False)
    return folder


def contents(root: Path) -> dict[str, bytes]:
    """The series' files below a folder by their path; what is hidden is not theirs."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / "train").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


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
