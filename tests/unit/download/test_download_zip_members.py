"""Members of a zip archive by range: shared requests, altered bytes, servers with faults."""

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chestct.download.transfer import zip_archive, zip_members
from chestct.download.transfer.retries import Unobtainable
from chestct.download.transfer.zip_directory import check_readable, read_directory
from chestct.download.transfer.zip_members import Member, extract, unpack
from chestct.errors import InputError
from tests.unit.download import zip_samples
from tests.unit.download.file_server import ALWAYS, Fault, FileServer
from tests.unit.download.zip_samples import (
    FILES,
    check_files,
    members_of,
    on_disk,
    plain,
    remote,
    with_data_descriptors,
    zipped,
)


@pytest.mark.parametrize(("make", "mask"), [(plain, 0x15), (with_data_descriptors, 0x80)])
def test_whatever_byte_is_altered_no_wrong_file_appears(
    make: Callable[[], bytes], mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte in turn: the archive is refused, or a member is, or all files are right.

    The directory itself holds no checksum of names: a file may get another name, never other content.
    """
    files = {"p/a": b"a" * 60, "p/b": bytes(range(40))}
    monkeypatch.setattr(zip_samples, "FILES", files)
    written: list[bytes] = []
    monkeypatch.setattr(zip_members, "write_whole", lambda data, _: written.append(data))
    content = make()
    outcomes = {"refused": 0, "altered": 0, "right": 0}
    for k in range(len(content)):
        archive, _ = on_disk(content[:k] + bytes([content[k] ^ mask]) + content[k + 1 :], tmp_path)
        written.clear()
        try:
            table = read_directory(archive, len(content))
            check_readable(archive, table)
            extract(archive, members_of(table, tmp_path))
            outcomes["right"] += 1
        except InputError:
            outcomes["refused"] += 1
        except Unobtainable as error:
            assert error.reason == "altered"
            outcomes["altered"] += 1
        assert set(written) <= set(files.values())
    assert min(outcomes.values()) > 10, outcomes


def test_neighbours_share_requests_of_bounded_size(
    zip_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = remote(zip_server)
    table = read_directory(archive, zip_server.size())
    members = members_of(table, tmp_path / "out")
    zip_server.asked.clear()
    extract(archive, members)
    assert zip_server.asked == [(members[0].offset, members[-1].end)]
    # A gap wider than allowed, then requests no larger than one member.
    for name, value in (("GAP_BYTES", 100), ("REQUEST_BYTES", 1 << 20)):
        monkeypatch.setattr(zip_members, name, value)
    zip_server.asked.clear()
    extract(archive, [members[0], members[1], members[4]])
    assert zip_server.asked == [(members[0].offset, members[1].end), (members[4].offset, members[4].end)]
    for module in (zip_members, zip_archive):
        monkeypatch.setattr(module, "REQUEST_BYTES", 500)
    zip_server.asked.clear()
    extract(archive, members[:2])
    assert max(stop - start for start, stop in zip_server.asked) == 500 and len(zip_server.asked) == 4
    check_files(tmp_path / "out", FILES)


def test_unpack_never_makes_more_than_promised() -> None:
    content = zipped(lambda archive: archive.writestr("a", bytes(1 << 20), zipfile.ZIP_DEFLATED))
    info = zipfile.ZipFile(io.BytesIO(content)).infolist()[0]
    member = Member(
        target=Path("a"),
        offset=0,
        end=len(content),
        compressed_bytes=info.compress_size,
        num_bytes=info.file_size,
        crc32=info.CRC,
        method=info.compress_type,
    )
    assert unpack(memoryview(content), member) == bytes(1 << 20)
    assert unpack(memoryview(content), replace(member, num_bytes=1000)) is None
    assert unpack(memoryview(content)[:20], member) is None
    assert unpack(memoryview(content), replace(member, method=0)) is None
    header = struct.pack("<4s", b"PK\1\2")
    assert unpack(memoryview(header + content[4:]), member) is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", 2),
        Fault("status", 2, 500),
        Fault("status", 1, 429, {"Retry-After": "0"}),
        Fault("status", 3, 503),
        Fault("flip"),
    ],
)
def test_faults_that_pass_leave_no_trace(fault: Fault, zip_server: FileServer, tmp_path: Path) -> None:
    archive = remote(zip_server)
    members = members_of(read_directory(archive, zip_server.size()), tmp_path / "out")
    zip_server.faults = [fault]
    extract(archive, members)
    assert fault.times == 0
    check_files(tmp_path / "out", FILES)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", ALWAYS, 403), "refuses access"),
        (Fault("status", ALWAYS, 401), "asks for credentials"),
        (Fault("status", ALWAYS, 404), "no archive at this address"),
        (Fault("status", ALWAYS, 416), "does not serve the file"),
        (Fault("status", ALWAYS, 500), "no good answer after"),
        (Fault("cut", ALWAYS), "no good answer after"),
    ],
)
def test_faults_that_last_end_in_one_message(fault: Fault, words: str, zip_server: FileServer) -> None:
    zip_server.faults = [fault]
    archive = remote(zip_server)
    with pytest.raises(InputError, match=words) as caught:
        read_directory(archive, archive.probe().size)
    assert zip_server.url in str(caught.value) and "signed" not in str(caught.value)


def test_a_server_without_ranges_is_refused(zip_server: FileServer) -> None:
    zip_server.ranges = False
    with pytest.raises(InputError, match="does not serve ranges") as caught:
        remote(zip_server).probe()
    assert "its path instead" in str(caught.value)
