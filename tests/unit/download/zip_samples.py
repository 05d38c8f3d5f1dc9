"""Zip archives on disk or on a server of this machine, for the tests that read them."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chestct.download.transfer.zip_archive import Archive
from chestct.download.transfer.zip_members import Member
from tests.unit.download.file_server import SETTINGS, FileServer

FILES = {f"p/f{k}.bin": np.random.default_rng(k).bytes(400 + 100 * k) + bytes(500) for k in range(6)}


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


def on_disk(content: bytes, folder: Path) -> tuple[Archive, int]:
    """An archive in a folder, and its size."""
    path = folder / "a.zip"
    path.write_bytes(content)
    return Archive(location=str(path), remedy="see the docs", settings=SETTINGS), len(content)


def zipped(
    write: Callable[[zipfile.ZipFile], object], prepare: Callable[[zipfile.ZipFile], object] = lambda _: None
) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        prepare(archive)
        write(archive)
    return sink.getvalue()


def write_files(archive: zipfile.ZipFile) -> None:
    for k, (name, data) in enumerate(FILES.items()):
        archive.writestr(name, data, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[k % 2])


def plain() -> bytes:
    return zipped(write_files)


def with_comment_and_extra_fields() -> bytes:
    def write(archive: zipfile.ZipFile) -> None:
        archive.comment = b"a comment" * 1000
        for name, data in FILES.items():
            info = zipfile.ZipInfo(name)
            info.extra, info.comment = b"UT\5\0\3abcd", b"a comment"
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)

    return zipped(write)


def with_data_descriptors() -> bytes:
    """As a writer makes it that cannot seek: sizes and CRC follow the content."""
    sink = io.BytesIO()
    with zipfile.ZipFile(Pipe(sink), "w") as archive:  # type: ignore[arg-type]
        write_files(archive)
    content = sink.getvalue()
    assert content.count(b"PK\7\x08") == len(FILES)
    return content


def members_of(table: pd.DataFrame, folder: Path) -> list[Member]:
    return [Member.of(row, folder / row["name"].replace("/", "_")) for row in table.to_dict("records")]


def check_files(folder: Path, files: dict[str, bytes]) -> None:
    found = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    assert found == {name.replace("/", "_"): data for name, data in files.items()}


def remote(server: FileServer) -> Archive:
    return Archive(location=f"{server.url}/a.zip?key=signed", remedy="see the docs", settings=SETTINGS)
