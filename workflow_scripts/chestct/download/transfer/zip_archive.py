"""Where a zip archive's bytes come from: a file on disk, or byte ranges of a file on a server."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import requests

from chestct.download.transfer.http import Remote, probe, read_range, session
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError
from chestct.secrets_in_text import without_secrets

REQUEST_BYTES = 16 << 20  # of one range request, at most: with 8 in parallel a job stays below 1 GB


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip archive.

    Attributes:
        location: path, or address (http, https), which may hold a signature that is never shown.
        remedy: for the message where it cannot be read.
        settings: attempts and waits.
    """

    location: str
    remedy: str
    settings: TransferSettings

    @property
    def path(self) -> Path | None:
        """The archive's path if it is a file on disk."""
        return None if "://" in self.location else Path(self.location).expanduser().resolve()

    @property
    def shown(self) -> str:
        """The location without what may be a signature."""
        return str(self.path or without_secrets(self.location))

    @cached_property
    def _client(self) -> requests.Session:
        return session(self.settings.parallel)

    def refuse(self, what: str, expected: str = "a whole zip archive (ZIP, ZIP64)") -> InputError:
        """The message for an archive that cannot be used."""
        return InputError(what, where=self.shown, expected=expected, remedy=self.remedy)

    def probe(self) -> Remote:
        """The archive's size, and its identity where a server tells one.

        Raises:
            InputError: nothing there; of a server: refused, no answer, or no ranges.
        """
        if self.path:
            if not self.path.is_file():
                raise self.refuse("there is no archive at this path")
            return Remote(size=self.path.stat().st_size, etag=None)
        try:
            return probe(self._client, self.location, self.settings, remedy=self.remedy)
        except Unobtainable as error:
            raise self.refuse("there is no archive at this address") from error

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive) of the archive, in requests of bounded size.

        Raises:
            InputError: gone or shorter; of a server: refused, or no answer.
        """
        if self.path:
            try:
                with open(self.path, "rb") as file:
                    file.seek(start)
                    content = file.read(stop - start)
            except OSError as error:
                raise self.refuse(f"the archive cannot be read: {error.strerror}") from error
            if len(content) != stop - start:
                raise self.refuse("the archive is shorter than it was")
            return content
        try:
            parts = [
                read_range(
                    self._client,
                    self.location,
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


class ArchiveFile(io.RawIOBase):
    """The archive as a file that ``zipfile`` can read, inside an ``io.BufferedReader``.

    Args:
        archive: where the bytes come from.
        size: bytes of the archive.
        progress: called with the number of bytes that were read.
    """

    def __init__(self, archive: Archive, size: int, progress: Callable[[int], object]) -> None:
        self._archive, self._size, self._position, self._progress = archive, size, 0, progress

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("negative position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read as much as one request fetches, or as ``buffer`` holds."""
        wanted = min(len(buffer), REQUEST_BYTES, self._size - self._position)
        if wanted <= 0:
            return 0
        buffer[:wanted] = self._archive.read(self._position, self._position + wanted)
        self._position += wanted
        self._progress(wanted)
        return wanted
