"""A server may send anything: what arrives is right, or one message says what is wrong; and it ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chestct.download.transfer import http
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError

BODY = bytes(range(256)) * 40
SETTINGS = TransferSettings(
    attempts=2, first_wait_s=0.001, max_wait_s=0.002, reserve_bytes=0, limit_wait_s=0.01
)


def answer(status: int, body: bytes = b"", **headers: str) -> Callable:
    """An answer as it is written to the connection."""

    def write(_: object) -> bytes:
        lines = [
            f"HTTP/1.1 {status} x",
            *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items()),
        ]
        return ("\r\n".join([*lines, "Connection: close", "", ""])).encode("latin-1", "replace") + body

    return write


@contextmanager
def serving(*answers: Callable) -> Iterator[str]:
    """The address of a server that gives these answers, the last of them again and again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            write = left.pop(0) if len(left) > 1 else left[0]
            self.wfile.write(write(self.headers))

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/f"
    finally:
        server.shutdown()
        server.server_close()


def download(url, folder):
    http.download(url, folder / "f", SETTINGS, title="f", remedy="by hand")
    return (folder / "f").read_bytes()


@pytest.mark.parametrize("length", ["abc", "1, 2", "", "1e5", "\xb2", "9" * 30])
def test_a_length_that_is_no_number_stops_no_file_that_is_whole(tmp_path, length):
    with serving(answer(200, BODY, Content_Length=length)) as url:
        with suppress(InputError):
            assert download(url, tmp_path) == BODY


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "http://[::SECRET/x",
        "http://u:SECRET\xbd@h\xbd/",
        "ftp://h/x",
        "http://h:99999/",
    ],
)
def test_a_way_that_leads_to_no_address_is_one_message(tmp_path, location):
    with serving(answer(302, Location=location, Content_Length="0")) as url:
        with pytest.raises(InputError, match=r"not an address|no good answer") as caught:
            download(url, tmp_path)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://u:SECRET\u2100@h/", "http://u:SECRET@[::1/x", "nonsense"]
)
def test_what_is_no_address_is_one_message_without_its_password(tmp_path, url):
    with pytest.raises(InputError, match="not an address") as caught:
        download(url, tmp_path)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "after",
    [
        "Wed, 21 Oct 99999 07:28:00 GMT",
        f"Wed, 21 Oct {'9' * 20} 07:28:00 GMT",
        "soon",
        "\xb2",
        "9" * 400,
        "-5",
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_any_wait_that_is_asked_for_ends_in_one_message(tmp_path, after, status):
    with serving(answer(status, Retry_After=after, Content_Length="0")) as url:
        with pytest.raises(InputError, match=r"limit|no good answer"):
            download(url, tmp_path)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY[:100], {"Content_Range": "bytes 0-99/10240", "Content_Length": "100"}),
        (BODY[100:200], {"Content_Type": "multipart/byteranges; boundary=x", "Content_Length": "100"}),
        (BODY[100:150], {"Content_Range": "bytes 100-149/10240", "Content_Length": "50"}),
        (BODY, {"Content_Range": "bytes 100-199/10240", "Content_Length": "10240"}),
        (BODY * 500, {"Content_Range": "bytes 100-199/10240"}),
    ],
    ids=["another part", "several parts", "short", "long", "without end"],
)
def test_another_part_than_was_asked_for_is_not_taken(body, headers):
    with serving(answer(206, body, **headers)) as url, http.session() as client:
        with pytest.raises(InputError, match="no good answer"):
            http.read_range(client, url, 100, 200, SETTINGS, remedy="by hand")
    right = answer(206, BODY[100:200], Content_Range="bytes 100-199/10240", Content_Length="100")
    with serving(answer(206, body, **headers), right) as url, http.session() as client:
        assert http.read_range(client, url, 100, 200, SETTINGS, remedy="by hand") == BODY[100:200]


@pytest.mark.parametrize("total", ["\xb2", "*", "x", "-5", "9" * 5000])
def test_a_size_that_is_none_is_one_message(total):
    with serving(answer(206, b"x", Content_Range=f"bytes 0-0/{total}", Content_Length="1")) as url:
        with http.session() as client, pytest.raises(InputError, match="does not serve ranges"):
            http.probe(client, url, SETTINGS, remedy="by hand")


@pytest.mark.parametrize(
    ("etag", "tag_there", "rest"),
    [
        ('"e"', b'"e"', BODY[1000:]),
        ('"e"', b"\xff", BODY[1000:]),
        ('W/"e"', b'W/"e"', BODY[1000:][::-1]),
        ('"e"', b'"e"', BODY[500:]),
    ],
    ids=["right", "damaged tag", "weak tag", "another rest"],
)
def test_what_was_begun_goes_on_with_the_right_rest_alone(tmp_path, etag, tag_there, rest):
    (tmp_path / "f").write_bytes(BODY[:1000])
    (tmp_path / "f.etag").write_bytes(tag_there)

    def reply(headers):
        if headers.get("Range"):
            length, part = str(len(rest)), f"bytes 1000-{len(BODY) - 1}/{len(BODY)}"
            return answer(206, rest, Content_Range=part, Content_Length=length, ETag=etag)(headers)
        return answer(200, BODY, Content_Length=str(len(BODY)), ETag=etag)(headers)

    with serving(reply) as url:
        http.download(url, tmp_path / "f", SETTINGS, title="f", remedy="by hand", resume=True)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_that_all_but_stands_still_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(http, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(http, "_SLOWEST", 10_000)

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            try:
                while not stopped.wait(0.02):
                    self.wfile.write(b"x")
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            """Nothing."""

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True).start()
    try:
        with pytest.raises(InputError, match=r"no good answer after 2 attempts: \d+ bytes in"):
            download(f"http://127.0.0.1:{server.server_port}/f", tmp_path)
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [204, 206, 400, 403, 404, 408, 451, 500, 599, 999])
def test_other_answers_are_one_message(tmp_path, status):
    with serving(answer(status, b"x" if status != 204 else b"", Content_Length="1")) as url:
        with pytest.raises((InputError, Unobtainable)):
            download(url, tmp_path)
