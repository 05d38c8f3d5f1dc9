"""A public bucket on this machine: moto's S3 server behind a proxy that counts, delays and does harm."""

import http.client
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import boto3
from moto.server import ThreadedMotoServer


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the proxy does instead of passing an answer on.

    Attributes:
        status, code: answer with this HTTP status and S3 error code.
        headers: of that answer.
        cut_at: announce the whole body, send this many bytes of it, then drop the connection.
        short_by: leave out the end of the body and announce the shorter length.
        flip: invert this byte of the body.
        wait_s: before the answer.
    """

    status: int | None = None
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    short_by: int = 0
    flip: int | None = None
    wait_s: float = 0.0


#: What happens to the n-th request (from 1) for a path.
Harm = Callable[[str, int], Fault | None]


class Proxy:
    """Forwards to an S3 server.

    Attributes:
        url: of the proxy.
        harm: decides on a fault, or None.
        gets: number of requests by object key, lists of a prefix by "?PREFIX".
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target).netloc
        self._lock = threading.Lock()
        self.harm: Harm = lambda path, nth: None
        self.gets: Counter[str] = Counter()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

            def do_GET(self) -> None:
                proxy._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        key = unquote(parts.path).split("/", 2)[-1]
        if "list-type=2" in parts.query:
            key = "?" + next(unquote(p[7:]) for p in parts.query.split("&") if p.startswith("prefix="))
        with self._lock:
            self.gets[key] += 1
            fault = self.harm(key, self.gets[key]) or Fault()
        time.sleep(fault.wait_s)
        if fault.status is not None:
            body = f"<Error><Code>{fault.code}</Code><Message>test</Message></Error>".encode()
            self._send(handler, fault.status, {**fault.headers, "Content-Type": "application/xml"}, body)
            return
        status, headers, body = self._forward(handler)
        if fault.flip is not None:
            changed = bytearray(body)
            changed[fault.flip] ^= 0xFF
            body = bytes(changed)
        body = body[: len(body) - fault.short_by]
        self._send(handler, status, headers, body, cut_at=fault.cut_at)

    def _forward(self, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=20)
        try:
            connection.request("GET", handler.path, headers={"Host": self._target})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        headers = {k: v for k, v in response.getheaders() if k.lower() in ("etag", "content-type")}
        return response.status, headers, body

    @staticmethod
    def _send(
        handler: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        body: bytes,
        cut_at: int | None = None,
    ) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if cut_at is None else body[:cut_at])
        if cut_at is not None:
            handler.close_connection = True


class Bucket:
    """A server with one bucket, and a proxy before it.

    Attributes:
        name: of the bucket.
        url: of the server itself.
        proxy: what clients under test speak to.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self._owner = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="owner",
            aws_secret_access_key="owner",
        )
        self._owner.create_bucket(Bucket=name)
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": ["s3:ListBucket", "s3:GetObject"],
                    "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                }
            ],
        }
        self._owner.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        self.proxy = Proxy(url)

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self._owner.put_object(Bucket=self.name, Key=key, Body=content)

    def put_in_parts(self, key: str, content: bytes) -> None:
        """Store an object in parts, so that its ETag is no digest of its content."""
        made = self._owner.create_multipart_upload(Bucket=self.name, Key=key)
        ids = {"Bucket": self.name, "Key": key, "UploadId": made["UploadId"]}
        part = self._owner.upload_part(**ids, PartNumber=1, Body=content)
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        self._owner.complete_multipart_upload(**ids, MultipartUpload={"Parts": parts})

    def remove(self, key: str) -> None:
        """Remove an object."""
        self._owner.delete_object(Bucket=self.name, Key=key)

    def empty(self) -> None:
        """Remove everything: servers of one process share what they store."""
        for page in self._owner.get_paginator("list_objects_v2").paginate(Bucket=self.name):
            for item in page.get("Contents", ()):
                self.remove(item["Key"])

    def be_kind(self) -> None:
        """No more harm, and counting anew."""
        self.proxy.harm = lambda path, nth: None
        self.proxy.gets.clear()


@contextmanager
def public_bucket(name: str) -> Iterator[Bucket]:
    """A bucket that lives as long as the context."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = Bucket(name, f"http://{host}:{port}")
        try:
            yield bucket
        finally:
            bucket.proxy.close()
            bucket.empty()
    finally:
        server.stop()
