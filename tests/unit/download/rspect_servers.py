"""Servers on loopback that hold RSPECT: what they share, and an archive read by ranges."""

import io
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

ALWAYS = 1 << 30


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


class Handler(BaseHTTPRequestHandler):
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


class ArchiveHandler(Handler):
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
