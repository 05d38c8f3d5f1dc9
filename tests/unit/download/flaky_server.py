"""A server on loopback that fails as it is told, and rows of the weights table that point to it."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from chestct.download.transfer.retries import TransferSettings
from chestct.download.weights_table import weights_row

SETTINGS = TransferSettings(attempts=4, first_wait_s=0.01, max_wait_s=0.05, reserve_bytes=0)
MIB = 1 << 20
FILE = "tiny.pth"


def make_content(seed: int) -> bytes:
    """A zip archive of a little more than 3 MiB, as PyTorch's checkpoints are zip archives."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("tiny/data", np.random.default_rng(seed).bytes(3 * MIB))
    return stream.getvalue()


CONTENT, NEWER = make_content(0), make_content(1)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FLIPPED = CONTENT[:MIB] + bytes([CONTENT[MIB] ^ 1]) + CONTENT[MIB + 1 :]
FLIPPED_SHA256 = hashlib.sha256(FLIPPED).hexdigest()

#: What the table may know of the file that is served.
KNOWN: dict[str, dict[str, str]] = {
    "sha256": {"sha256": SHA256, "size_bytes": str(len(CONTENT))},
    "prefix": {"sha256_prefix": SHA256[:8]},
    "nothing": {},
}


def make_row(**values: str) -> dict[str, str]:
    """A row of kind url; nothing is known of the file but what ``values`` tell."""
    empty = dict.fromkeys(weights_row("slow_r50_kinetics400"), "")
    known = {"weights_id": "tiny", "kind": "url", "file": FILE, "source": "the zoo"}
    return empty | known | values


class FlakyServer(ThreadingHTTPServer):
    """Serves one file with ranges and ETag.

    Attributes:
        content: the file.
        faults: one happens at each request for the file, then all is well: a tuple (status, headers)
            is sent instead; a number is that of bytes after which the connection is cut; bytes are sent
            in place of the file's. Asking for the first byte alone, for the size, is spared.
        status: sent at every request, where it is set.
        pause: where it is set, two MiB are sent and the rest waits for it.
        starts: where in the file each answer that held any of it began.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.faults: list[Any] = []
        self.status: int | None = None
        self.pause: threading.Event | None = None
        self.starts: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_port}/zoo/{FILE}"

    def handle_error(self, *_: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: FlakyServer

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        server, content = self.server, self.server.content
        wanted = self.headers.get("Range")
        probe = wanted == "bytes=0-0"
        fault = None if probe or not server.faults else server.faults.pop(0)
        if server.status is not None:
            fault = (server.status, {})
        if isinstance(fault, tuple):
            self._head(fault[0], {"Content-Length": "0", **fault[1]})
            return
        if isinstance(fault, bytes):
            content = fault
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        start, stop, total = 0, len(content), len(content)
        ranged = wanted is not None and self.headers.get("If-Range", etag) == etag
        if ranged:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else total
        headers = {"Content-Length": str(stop - start), "ETag": etag}
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        self._head(206 if ranged else 200, headers)
        if not probe:
            server.starts.append(start)
            if server.pause:
                self.wfile.write(content[start : 2 * MIB])
                server.pause.wait(30)
                start = max(start, 2 * MIB)
        cut = start + fault if isinstance(fault, int) else stop
        self.wfile.write(content[start : min(cut, stop)])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving() -> Iterator[FlakyServer]:
    """A server that runs."""
    with FlakyServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()
