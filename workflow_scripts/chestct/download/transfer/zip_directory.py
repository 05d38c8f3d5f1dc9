"""A zip archive on a server that answers range requests: its directory, and members without the rest.

The standard library's ``zipfile`` reads the directory (zip64, comments and extra fields included)
through a file whose reads are range requests. A directory of 1.8 million members takes it 19 s and
1.4 GB (measured; the directory itself is some 300 MB). Members are not read through it: one request
fetches many neighbours, and several threads fetch at once.
"""

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import requests

from chestct.download.transfer.http import Remote, probe, read_range, without_secrets
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError

REQUEST_BYTES = 16 << 20  # of one range request, at most: with 8 in parallel a job stays below 1 GB
_LOCAL_HEADER_BYTES = 30
_NAME_AND_EXTRA_BYTES = 2 * 0xFFFF  # at most, between a local header and the content
ENCRYPTED = 0x1 | 0x40 | 0x2000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Names that would leave the folder, or mean different files on different systems.
_UNSAFE = r"^/|^[A-Za-z]:|\\|\x00|(^|/)\.\.(/|$)"
_WHOLE_ARCHIVE = "a whole zip archive (ZIP, ZIP64)"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip archive at an address.

    Attributes:
        client: session, shared by threads.
        url: address; may hold a signature, which is never shown.
        remedy: for the message where the server refuses.
        settings: attempts and waits.
    """

    client: requests.Session
    url: str
    remedy: str
    settings: TransferSettings

    @property
    def shown(self) -> str:
        """The address without what may be a signature."""
        return without_secrets(self.url)

    def refuse(self, what: str, expected: str = _WHOLE_ARCHIVE) -> InputError:
        """The message for an archive that cannot be used."""
        return InputError(what, where=self.shown, expected=expected, remedy=self.remedy)

    def probe(self) -> Remote:
        """What the server says of the archive.

        Raises:
            InputError: refused, nothing there, no answer, or no ranges.
        """
        try:
            remote = probe(self.client, self.url, self.settings, remedy=self.remedy)
        except Unobtainable as error:
            raise self.refuse("there is no archive at this address") from error
        if not remote.ranges or remote.size is None:
            raise InputError(
                "the server does not serve ranges of the archive",
                where=self.shown,
                expected="HTTP 206 and a size for a range request",
                remedy="download the archive whole and unpack it, then use `from: folder`",
            )
        return remote

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` of the archive, in requests of bounded size.

        Raises:
            InputError: refused, gone, or no answer.
        """
        try:
            parts = [
                read_range(
                    self.client,
                    self.url,
                    begin,
                    min(begin + REQUEST_BYTES, stop),
                    self.settings,
                    remedy=self.remedy,
                )
                for begin in range(start, stop, REQUEST_BYTES)
            ]
        except Unobtainable as error:
            raise self.refuse("the archive is no longer at this address") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _RemoteFile(io.RawIOBase):
    """The archive as a file to read; its tail, which ``zipfile`` reads in snippets, is fetched once."""

    def __init__(self, archive: Archive, size: int, progress: Callable[[int], None]) -> None:
        self._archive, self._size, self._position, self._progress = archive, size, 0, progress
        self._tail_start = max(0, size - (1 << 17))
        self._tail = archive.read(self._tail_start, size) if size else b""

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("negative position")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        start = min(self._position, self._size)
        stop = self._size if size is None or size < 0 else min(start + size, self._size)
        if start >= self._tail_start:
            content = self._tail[start - self._tail_start : stop - self._tail_start]
        else:
            pieces = []
            for begin in range(start, stop, REQUEST_BYTES):
                pieces.append(self._archive.read(begin, min(begin + REQUEST_BYTES, stop)))
                self._progress(len(pieces[-1]))
            content = b"".join(pieces)
        self._position = stop
        return content


def read_directory(
    archive: Archive, size: int, progress: Callable[[int], None] = lambda _: None
) -> pd.DataFrame:
    """Read the archive's directory: one row a member that is a file, in the order of the directory.

    Args:
        archive: where it lies.
        size: bytes of the archive.
        progress: called with the number of bytes that arrived.

    Returns:
        name; offset, end (bytes of the archive that hold it, up to the next member); compressed_bytes,
        num_bytes, crc32, method, encrypted.

    Raises:
        InputError: no archive, a damaged directory, or one with members that have unsafe or equal names,
            are links, or overlap.
    """
    try:
        with zipfile.ZipFile(_RemoteFile(archive, size, progress)) as opened:  # type: ignore[arg-type]
            infos, directory_start = opened.filelist, opened.start_dir
    except InputError:
        raise
    # What zipfile raises for damaged directories, none of it documented but the first.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError, EOFError) as error:
        raise archive.refuse(f"the archive's directory cannot be read: {error}") from error
    table = pd.DataFrame(
        {
            "name": pd.Series([info.orig_filename for info in infos], dtype="str"),
            "offset": _numbers(info.header_offset for info in infos),
            "compressed_bytes": _numbers(info.compress_size for info in infos),
            "num_bytes": _numbers(info.file_size for info in infos),
            "crc32": _numbers(info.CRC for info in infos),
            "method": _numbers(info.compress_type for info in infos),
            "encrypted": [bool(info.flag_bits & ENCRYPTED) for info in infos],
        }
    )
    kinds = _numbers(info.external_attr >> 16 if info.create_system == 3 else 0 for info in infos)
    del infos, opened  # 1 GB of them
    _check_members(archive, table, stat_kinds=kinds & 0o170000)
    offset = table["offset"].to_numpy()
    order = np.argsort(offset, kind="stable")
    end = np.empty_like(offset)
    end[order] = np.append(offset[order][1:], directory_start)
    least = offset + _LOCAL_HEADER_BYTES + table["compressed_bytes"].to_numpy()
    misplaced = table.loc[(least > end) | (offset < 0), "name"]
    if len(misplaced):
        raise archive.refuse(
            f"{len(misplaced)} members overlap each other or the directory: {misplaced.head(3).tolist()}"
        )
    table.insert(2, "end", np.minimum(end, least + _NAME_AND_EXTRA_BYTES))
    return table[~table["name"].str.endswith("/")].reset_index(drop=True)


def _numbers(values: Iterator[int]) -> np.ndarray:
    return np.fromiter(values, dtype=np.int64)


def _check_members(archive: Archive, table: pd.DataFrame, stat_kinds: np.ndarray) -> None:
    names = pa.array(table["name"])
    plain = np.isin(stat_kinds, (0, stat.S_IFREG, stat.S_IFDIR))
    for what, bad in (
        ("names that leave the folder", pc.match_substring_regex(names, _UNSAFE).to_numpy(False)),
        ("names that occur twice", table["name"].duplicated().to_numpy()),
        ("members that are links or devices", ~plain),
    ):
        if bad.any():
            raise archive.refuse(
                f"the archive has {what}: {table.loc[bad, 'name'].head(3).tolist()} ({bad.sum()})",
                expected="plain files with relative names of their own",
            )


def check_readable(archive: Archive, members: pd.DataFrame) -> None:
    """Refuse members that are encrypted or packed in an unusual way.

    Raises:
        InputError: see above.
    """
    for what, bad in (
        ("encrypted", members["encrypted"]),
        ("packed with another method than deflate", ~members["method"].isin(METHODS)),
    ):
        if bad.any():
            raise archive.refuse(
                f"{bad.sum()} members are {what}: {members.loc[bad, 'name'].head(3).tolist()}",
                expected="members stored or deflated, not encrypted",
            )
