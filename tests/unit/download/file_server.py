"""Servers on loopback that fail as planned: of one file, whole or by ranges, and of a public S3 bucket."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from chestct.download.transfer.retries import TransferSettings

ALWAYS = 1 << 30
#: Short waits between tries.
SETTINGS = TransferSettings(first_wait_s=0.01, max_wait_s=0.05, reserve_bytes=0)


@dataclass
class Fault:
    """What goes wrong with the next ``times`` answers that it concerns.

    Attributes:
        kind: status; cut (the connection drops within the body); short (the end of the body is left out
            and the shorter length announced); flip (a byte of the body); html (a web page with 200); silent
            (there is no answer as long as the server runs).
        times: how often.
        status, code, headers: of kind status; ``code`` is S3's.
        name: only files whose name holds this.
        at: of a file read by ranges, only answers that hold this byte; it is the one that is flipped, or
            the one before which the connection drops.
    """

    kind: str
    times: int = 1
    status: int = 500
    code: str = ""
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
        #: Called before every answer; it may wait.
        self.before: Callable[[], object] = lambda: None
        self.lock, self.over = threading.Lock(), threading.Event()

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

    def handle_error(self, *_: Any) -> None:
        """A client that was killed is no news."""


class Handler(BaseHTTPRequestHandler):
    """Sends answers with their fault."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Any

    def log_message(self, *_: object) -> None:
        """Tests' output stays readable."""

    def send(
        self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None, start: int = 0
    ) -> None:
        """Answer with ``body``, which begins at byte ``start`` of the file."""
        kind = fault.kind if fault else ""
        middle = len(body) // 2
        at = fault.at - start if fault and fault.at is not None else middle
        time.sleep(self.server.delay_s)
        if kind == "silent":
            self.server.over.wait()
            raise ConnectionAbortedError
        if fault and kind == "status":
            status, headers = fault.status, fault.headers
            body = f"<Error><Code>{fault.code}</Code></Error>".encode()
        elif kind == "html":
            body = b"<html>sign in</html>"
        elif kind == "flip":
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        elif kind == "short":
            body = body[:-77]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.close_connection = kind == "cut"
        self.wfile.write(body[:at] if kind == "cut" else body)


class FileHandler(Handler):
    """One file, by ranges or whole."""

    def do_GET(self) -> None:
        """A range of the file, or all of it."""
        server, wanted = self.server, self.headers.get("Range")
        server.before()
        size = server.size()
        headers = {"ETag": server.etag}
        start, stop = 0, size
        ranged = wanted is not None and server.ranges
        if ranged:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, size) if last else size
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        with server.lock:
            server.asked.append((start, stop))
        if start >= size:
            return self.send(416, b"", {"Content-Range": f"bytes */{size}"}, None)
        fault = server.fault("", start, stop)
        return self.send(206 if ranged else 200, server.read(start, stop), headers, fault, start)


class FileServer(Server):
    """Serves a file, or bytes that a test may exchange; ``asked`` are ranges (start, stop)."""

    def __init__(self, content: bytes | Path) -> None:
        super().__init__(FileHandler)
        self.content = content
        self.etag, self.ranges = '"first"', True

    def size(self) -> int:
        """Bytes of the file."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """Some of them."""
        if isinstance(self.content, bytes):
            return self.content[start:stop]
        with open(self.content, "rb") as file:
            file.seek(start)
            return file.read(stop - start)


class BucketHandler(Handler):
    """S3's ListObjectsV2, in pages of three, and GetObject, without an account."""

    def do_GET(self) -> None:
        """An object, or a page of the list of a prefix."""
        server, parts = self.server, urlsplit(self.path)
        server.before()
        query = parse_qs(parts.query)
        if "list-type" not in query:
            key = unquote(parts.path).split("/", 2)[2]
            server.count(key)
            fault = server.fault(key)
            if key not in server.objects:
                fault = fault or Fault("status", status=404, code="NoSuchKey")
            return self.send(200, server.objects.get(key, b""), {"ETag": server.etag(key)}, fault)
        prefix = query["prefix"][0]
        first = int(query.get("continuation-token", ["0"])[0])
        if not first:
            server.count(f"?{prefix}")
        keys = sorted(key for key in server.objects if key.startswith(prefix))
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(server.objects[key])}</Size>"
            f"<ETag>{server.etag(key)}</ETag></Contents>"
            for key in keys[first : first + 3]
        )
        more = first + 3 < len(keys)
        token = f"<NextContinuationToken>{first + 3}</NextContinuationToken>" if more else ""
        rows += f"{token}<IsTruncated>{str(more).lower()}</IsTruncated>"
        body = f"<ListBucketResult>{rows}</ListBucketResult>"
        return self.send(200, body.encode(), {"Content-Type": "application/xml"}, server.fault(f"?{prefix}"))


class BucketServer(Server):
    """A public bucket.

    Attributes:
        objects: content by key.
        in_parts: keys of objects stored in parts, whose ETag is no digest of their content.
        asked: keys of objects, and "?PREFIX" for lists.
    """

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(BucketHandler)
        self.objects = objects
        self.in_parts: set[str] = set()

    def count(self, name: str) -> None:
        """Note a request."""
        with self.lock:
            self.asked.append(name)

    def etag(self, key: str) -> str:
        """The object's ETag, in quotes."""
        digest = hashlib.md5(self.objects.get(key, b""), usedforsecurity=False).hexdigest()
        return f'"{digest}{"-1" if key in self.in_parts else ""}"'

    def fetches(self) -> Counter[str]:
        """Number of requests for objects, by key."""
        return Counter(name for name in self.asked if not name.startswith("?"))

    def be_kind(self) -> None:
        """No more faults or delays, and counting anew."""
        self.faults, self.delay_s = [], 0.0
        self.asked.clear()


S = TypeVar("S", bound=Server)


@contextmanager
def holding(server: Server, enough: Callable[[], bool]) -> Iterator[None]:
    """Answer until there is enough; who asks then waits, and is left without an answer in the end."""
    over = threading.Event()

    def hold() -> None:
        if enough():
            over.wait()
            raise ConnectionAbortedError

    server.before = hold
    try:
        yield
    finally:
        over.set()
        server.before = lambda: None


@contextmanager
def running(server: S) -> Iterator[S]:
    """Run a server in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
