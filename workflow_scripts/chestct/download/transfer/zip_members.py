"""Members of a zip archive: read many at a time, unpacked, checked and written whole."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from chestct.download.transfer.disk import whole_file
from chestct.download.transfer.retries import Unobtainable
from chestct.download.transfer.zip_archive import REQUEST_BYTES, Archive
from chestct.download.transfer.zip_directory import ENCRYPTED

GAP_BYTES = 1 << 20  # what lies between two members is fetched too where it is no more than this
_LOCAL_HEADER = struct.Struct("<4s5HIIIHH")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member to fetch.

    Attributes:
        target: file to write.
        offset, end: bytes of the archive that hold the member with its local header.
        compressed_bytes, num_bytes, crc32, method: what the directory says of its content.
    """

    target: Path
    offset: int
    end: int
    compressed_bytes: int
    num_bytes: int
    crc32: int
    method: int

    @classmethod
    def of(cls, row: Mapping[Hashable, Any], target: Path) -> Self:
        """The member of a row of ``zip_directory.read_directory``, which goes to ``target``."""
        keys = ("offset", "end", "compressed_bytes", "num_bytes", "crc32", "method")
        return cls(target=target, **{key: int(row[key]) for key in keys})


def _runs(members: Sequence[Member]) -> Iterator[list[Member]]:
    """Members in runs that one request fetches: close to each other, and not too many bytes."""
    run: list[Member] = []
    for member in sorted(members, key=lambda m: m.offset):
        if run and (member.offset - run[-1].end > GAP_BYTES or member.end - run[0].offset > REQUEST_BYTES):
            yield run
            run = []
        run.append(member)
    if run:
        yield run


def unpack(content: memoryview, member: Member) -> bytes | None:
    """The member's content from the bytes ``offset`` to ``end`` of the archive; None where they are altered.

    What the directory promises is checked: method, size and CRC-32. Never more than the promised size
    is unpacked.
    """
    if len(content) < _LOCAL_HEADER.size:
        return None
    signature, _, flags, method, *_, name_length, extra_length = _LOCAL_HEADER.unpack(
        content[: _LOCAL_HEADER.size]
    )
    if signature != b"PK\3\4" or flags & ENCRYPTED or method != member.method:
        return None
    start = _LOCAL_HEADER.size + name_length + extra_length
    packed = content[start : start + member.compressed_bytes]
    if method == zipfile.ZIP_STORED:
        unpacked = bytes(packed)
    else:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            unpacked = inflater.decompress(packed, member.num_bytes + 1)
        except zlib.error:
            return None
    if len(unpacked) != member.num_bytes or zlib.crc32(unpacked) != member.crc32:
        return None
    return unpacked


def is_member(path: Path, member: Member) -> bool:
    """Whether a file on disk is the member, by its size and CRC-32."""
    if not path.is_file() or path.stat().st_size != member.num_bytes:
        return False
    return zlib.crc32(path.read_bytes()) == member.crc32


def write_whole(content: bytes, target: Path) -> None:
    """Write one of many files whole or not at all; ``files.sync_disk`` writes all of them out.

    Raises:
        InputError: the disk is full.
    """
    with whole_file(target, durable=False) as part:
        part.write_bytes(content)


def extract(
    archive: Archive, members: Sequence[Member], progress: Callable[[int], object] = lambda _: None
) -> None:
    """Fetch members and write each whole, checked by size and CRC-32.

    Members whose bytes are altered are fetched a second time.

    Args:
        archive: where they lie.
        members: what to fetch.
        progress: called with the number of compressed bytes that were read.

    Raises:
        InputError: refused, no answer, or the disk is full.
        Unobtainable: ``altered`` where a member stays altered; the others are written.
    """
    lacking = list(members)
    for _ in range(2):
        altered = []
        for run in _runs(lacking):
            start = run[0].offset
            content = memoryview(archive.read(start, max(member.end for member in run)))
            for member in run:
                unpacked = unpack(content[member.offset - start : member.end - start], member)
                if unpacked is None:
                    altered.append(member)
                else:
                    write_whole(unpacked, member.target)
                progress(member.compressed_bytes)
        lacking = altered
        if not lacking:
            return
    names = [member.target.name for member in lacking[:3]]
    raise Unobtainable("altered", f"{len(lacking)} files differ from the archive's directory: {names}")
