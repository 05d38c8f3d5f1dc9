"""One pass over the files of a folder: every header, and the pixels of every slice of the usual kind.

Which files make up the series is known only after the last header. But converting a slice while its file
lies in memory takes less time than opening the file again from a shared disk. So slices of the usual kind
(``fast_plane``) are converted as they come, into the array that becomes the volume, and moved to their
places once the order is known. Every other slice that the volume needs is read a second time, by the
general way.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

import numpy as np

from chestct.image_type import ORIGINAL
from chestct.volumes.choose_series import kind_of
from chestct.volumes.fast_header import parse_header
from chestct.volumes.fast_plane import convert_plane, is_usual
from chestct.volumes.multi_frame import is_multi_frame, slices_of
from chestct.volumes.pixels import check_pixel_format
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.slice_header import SliceHeader, read_header

#: Files larger than this are left to pydicom; a slice of 4096 x 4096 pixels fits.
_MAX_BYTES = 48 << 20
#: Files that are opened ahead. From a cold disk 2 to 32 are equally fast, and a third faster than 0.
_NUM_AHEAD = 8


def _open(path: Path) -> FileIO | None:
    """Open a file and ask the system to read it ahead; None where it does not open."""
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by who takes it)
    except OSError:
        return None  # the general way words the refusal
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    return file


def _opened(paths: Sequence[Path]) -> Iterator[tuple[Path, FileIO | None]]:
    """Open files a few ahead, so that the disk reads while the processor converts."""
    pending: deque[tuple[Path, FileIO | None]] = deque()
    try:
        for path in paths:
            pending.append((path, _open(path)))
            if len(pending) > _NUM_AHEAD:
                yield pending.popleft()
        while pending:
            yield pending.popleft()
    finally:
        for _, file in pending:
            if file is not None:
                file.close()


class _FileMemory:
    """Memory that is used for one file after the other: allocating it anew would take longer than reading."""

    def __init__(self) -> None:
        self._bytes = bytearray(1 << 20)

    def load(self, file: FileIO | None) -> memoryview | None:
        """Read a file whole and close it.

        Returns:
            Its bytes, until the next call; None where it is too large or can't be read.
        """
        if file is None:
            return None
        try:
            with file:
                size = os.fstat(file.fileno()).st_size
                if size > _MAX_BYTES:
                    return None
                if size > len(self._bytes):
                    self._bytes = bytearray(size)
                view = memoryview(self._bytes)[:size]
                at = 0
                while at < size and (count := file.readinto(view[at:])):
                    at += count
                return view[:at]
        except OSError:
            return None  # the general way words the refusal


class EarlyPlanes:
    """Slices converted while their files lay in memory.

    All are of one series, that of the first slice of the usual kind, so that memory holds at most one
    volume.
    """

    def __init__(self, num_files: int, size_px: int | None, series_id: str | None) -> None:
        self._num_files = num_files
        self._size_px = size_px
        self._series = series_id
        self._shape: tuple[int, int] | None = None
        self._hu: np.ndarray | None = None
        self._rows: dict[Path, int] = {}
        self._scratch: dict[str, np.ndarray] = {}

    def take(self, header: SliceHeader, content: memoryview) -> None:
        """Convert the slice if it is of the usual kind."""
        if self._series not in (None, header.series_uid) or kind_of(header) != ORIGINAL:
            return
        try:
            check_pixel_format(header)
        except RefusedScan:
            return  # refused later, if it belongs to the series
        if not is_usual(header, self._size_px):
            return
        side = self._size_px or header.rows
        if self._hu is None:
            self._hu = np.empty((self._num_files, side, side), dtype=np.int16)
            self._series, self._shape = header.series_uid, (header.rows, header.columns)
        if self._shape != (header.rows, header.columns):
            return
        row = len(self._rows)
        if convert_plane(header, content, self._hu[row], self._scratch):
            self._rows[header.path] = row

    def arranged(self, order: Sequence[Path]) -> tuple[np.ndarray | None, list[bool]]:
        """Move the slices to their places, in the memory they lie in.

        Args:
            order: the files that the volume is made of.

        Returns:
            The volume, or None if no slice was converted; and for each file whether its slice is in the
            volume (the others hold anything). Can be called once.
        """
        done = [path in self._rows for path in order]
        if len(order) > self._num_files:
            self._hu = None  # frames of one file are more slices than there are files
            return None, [False] * len(order)
        if self._hu is None or not any(done):
            self._hu = None  # slices of another series, which may have another size
            return None, done
        free = iter(sorted(set(range(self._num_files)) - {self._rows[p] for p in order if p in self._rows}))
        _permute(self._hu, [self._rows[path] if path in self._rows else next(free) for path in order])
        return self._hu[: len(order)], done


def _permute(planes: np.ndarray, sources: Sequence[int]) -> None:
    """Move ``planes[sources[i]]`` to ``planes[i]`` in place; the other planes hold anything afterwards."""
    pending = {i: source for i, source in enumerate(sources) if i != source}
    taken = set(pending.values())
    # A chain starts at a place whose old plane nobody needs; what remains after the chains are cycles.
    starts = [i for i in pending if i not in taken]
    for start in starts:
        i = start
        while i in pending:
            source = pending.pop(i)
            planes[i] = planes[source]
            i = source
    while pending:
        first = i = next(iter(pending))
        kept = planes[first].copy()
        while (source := pending.pop(i)) != first:
            planes[i] = planes[source]
            i = source
        planes[i] = kept


def read_files(
    paths: Sequence[Path], size_px: int | None, series_id: str | None
) -> tuple[list[SliceHeader], EarlyPlanes]:
    """Read the headers of files, and convert the slices of the usual kind.

    A file of several images gives a header a frame; a Media Storage Directory gives none.

    Args:
        paths: DICOM files.
        size_px: rows and columns after resampling, None: as stored.
        series_id: SeriesInstanceUID that is wanted, if known.

    Raises:
        RefusedScan: ``unreadable_file``.
    """
    memory = _FileMemory()
    early = EarlyPlanes(len(paths), size_px, series_id)
    headers: list[SliceHeader] = []
    for path, file in _opened(paths):
        content = memory.load(file)
        header = parse_header(content, path) if content is not None else None
        taken = header is not None
        header = header or read_header(path)
        if header is None:
            continue  # a Media Storage Directory
        if is_multi_frame(header):
            headers += slices_of(header)
            continue
        if taken and content is not None:
            early.take(header, content)
        headers.append(header)
    return headers, early
