"""Files of a public S3 bucket: listed and fetched without an account, checked, whole or not at all.

boto3 speaks S3 (any endpoint, also one of the user's own). Its own retries are off: they end where the body
begins, and know no digest; those of ``retries`` cover a busy service, a cut body and an altered one alike.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from chestct.download.transfer.disk import whole_file
from chestct.download.transfer.http import TIMEOUT_S
from chestct.download.transfer.retries import (
    Altered,
    Limited,
    TransferSettings,
    Transient,
    Unobtainable,
    retrying,
)
from chestct.errors import InputError
from chestct.secrets_in_text import without_secrets

REGION = "us-east-1"  # of Imaging Data Commons' buckets
_BUSY_STATUS = (408, 425, 429)
_LIMIT_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_BUSY_CODES = {"RequestTimeout", *_LIMIT_CODES}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.dcm")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """An object of a bucket.

    Attributes:
        key: of the object.
        name: what follows the last slash; the name of the file on disk.
        size: in bytes.
        md5: digest of the content; None where the bucket does not give it (objects stored in parts).
    """

    key: str
    name: str
    size: int
    md5: str | None


def endpoint_of(entry: dict) -> str | None:
    """The S3 endpoint: the entry's ``endpoint_url``, AWS's variables, or none for AWS itself."""
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return entry.get("endpoint_url") or next((os.environ[v] for v in variables if os.environ.get(v)), None)


def make_client(endpoint_url: str | None, settings: TransferSettings) -> Any:
    """A client that signs nothing, for use by ``settings.parallel`` threads.

    Raises:
        InputError: the endpoint or the user's AWS configuration cannot be used.
    """
    config = Config(
        signature_version=UNSIGNED,
        retries={"total_max_attempts": 1},
        max_pool_connections=settings.parallel,
        connect_timeout=TIMEOUT_S[0],
        read_timeout=TIMEOUT_S[1],
        # Endpoints other than AWS seldom have a host name for each bucket.
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    where = without_secrets(endpoint_url) if endpoint_url else "AWS configuration of this user"
    with _answers(where):
        session = boto3.session.Session(region_name=REGION)
        return session.client("s3", endpoint_url=endpoint_url, config=config)


def _place(client: Any, bucket: str, key: str) -> str:
    """For messages: what is asked for, and of whom."""
    return f"s3://{bucket}/{key} at {without_secrets(client.meta.endpoint_url)}"


def _verdict(error: ClientError, where: str) -> Exception:
    """What an answer other than success means."""
    facts = error.response.get("ResponseMetadata", {})
    status = facts.get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    shown = f"HTTP {status} {code} from {where}"
    if status in _BUSY_STATUS or status >= 500 or code in _BUSY_CODES:
        after = facts.get("HTTPHeaders", {}).get("retry-after", "")
        kind = Limited if status == 429 or code in _LIMIT_CODES else Transient
        return kind(shown, float(after) if re.fullmatch("[0-9]{1,9}", after) else None)
    if status == 404 and code != "NoSuchBucket":
        return Unobtainable("not_found", shown)
    words = {403: "refuses access", 404: "does not have the bucket"}.get(status, "does not serve the files")
    return InputError(
        f"the S3 service {words} (HTTP {status} {code})",
        where=where,
        expected="a public bucket, read without an account",
        remedy="see whether a proxy or firewall stands between, and check `endpoint_url` of the dataset; "
        "or obtain the data from The Cancer Imaging Archive and use `from: folder`",
    )


@contextmanager
def _answers(where: str) -> Iterator[None]:
    """Turn boto3's failures into the three kinds; what fails on the way is Transient."""
    try:
        yield
    except ClientError as error:
        raise _verdict(error, where) from error
    except (HTTPClientError, ConnectionError, IncompleteReadError, HTTPError) as error:
        raise Transient(f"{type(error).__name__}: {where}") from error
    except (FlexibleChecksumError, ResponseParserError) as error:
        raise Altered(f"{type(error).__name__}: {where}") from error
    except (BotoCoreError, ValueError) as error:  # ValueError: no address of an endpoint
        raise InputError(
            f"the S3 client does not work as it is configured: {error}",
            where=where,
            expected="an endpoint like https://HOST, or none for AWS",
            remedy="correct `endpoint_url` of the dataset, or AWS_PROFILE and AWS_ENDPOINT_URL",
        ) from error


def _remote_file(found: dict, prefix: str, where: str) -> RemoteFile:
    """Raises Unobtainable for a key that is no file name: it could leave the series' folder."""
    name = found["Key"].removeprefix(prefix)
    if found["Key"] != prefix + name or not _NAME.fullmatch(name):
        raise Unobtainable("altered", f"{where}: key {found['Key'][:200]!r} does not name a DICOM file")
    etag = found.get("ETag", "").strip('"')
    md5 = etag if _MD5.fullmatch(etag) else None
    return RemoteFile(key=found["Key"], name=name, size=found["Size"], md5=md5)


def list_files(client: Any, bucket: str, prefix: str, settings: TransferSettings) -> list[RemoteFile]:
    """DICOM files under a prefix, in the order of their names.

    Raises:
        InputError: the service refuses or does not answer.
        Unobtainable: ``not_found`` where there is none; ``altered`` where a key is no file name.
    """
    where = _place(client, bucket, prefix)

    def ask() -> list[dict]:
        with _answers(where):
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [found for page in pages for found in page.get("Contents", ())]

    found = retrying(ask, settings, where)
    if not found:
        raise Unobtainable("not_found", f"no objects: {where}")
    return sorted((_remote_file(one, prefix, where) for one in found), key=lambda file: file.name)


def is_whole(path: Path, file: RemoteFile) -> bool:
    """True where ``path`` has the size of the remote file and, if it is known, its digest."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if file.md5 is None:
        return True
    with open(path, "rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False))
    return found.hexdigest() == file.md5


def _content(client: Any, bucket: str, file: RemoteFile) -> bytes:
    """The object's content, as long as listed and with the listed digest."""
    where = _place(client, bucket, file.key)
    with _answers(where):
        body = client.get_object(Bucket=bucket, Key=file.key)["Body"]
        content = body.read(file.size + 1)
        if len(content) <= file.size:
            body.read(1)  # the end, where the client compares its own checksum; what is longer may have none
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if len(content) != file.size or file.md5 not in (None, digest):
        raise Altered(
            f"{where}: {len(content)} bytes, MD5 {digest}; "
            f"the bucket lists {file.size} bytes, MD5 {file.md5 or 'unknown'}"
        )
    return content


def fetch(
    client: Any,
    bucket: str,
    file: RemoteFile,
    target: Path,
    settings: TransferSettings,
    check: Callable[[Path], None],
) -> None:
    """Fetch a file of some megabytes at most, whole and right, or not at all.

    Args:
        client: of ``make_client``.
        bucket, file: what to fetch.
        target: where it goes; a file that is there is replaced.
        settings: attempts and waits.
        check: raises ``Altered`` where the file that arrived is not what it should be.

    Raises:
        InputError: the service refuses or does not answer, or the disk is full.
        Unobtainable: ``not_found``, or ``altered`` at every attempt.
    """

    def attempt() -> None:
        with whole_file(target, durable=False) as part:  # see sync_disk
            part.write_bytes(_content(client, bucket, file))
            check(part)

    retrying(attempt, settings, _place(client, bucket, file.key))
