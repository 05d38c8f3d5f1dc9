"""A zip archive on a server: its directory against zipfile, refusals, members by range, altered bytes."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chestct.download import zip_archive, zip_members
from chestct.download.http import session
from chestct.download.transfer import TransferSettings, Unobtainable
from chestct.download.zip_archive import Archive, check_readable, read_directory
from chestct.download.zip_members import Member, extract, unpack
from chestct.errors import InputError
from tests.unit.download.rspect_servers import ALWAYS, ArchiveServer, Fault, Pipe, running

FILES = {f"p/f{k}.bin": np.random.default_rng(k).bytes(400 + 100 * k) + bytes(500) for k in range(6)}


@dataclass(frozen=True, kw_only=True)
class LocalArchive(Archive):
    """The archive's bytes without a server, for tests of many archives."""

    content: bytes

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the archive; what a server answers beyond its end is an error."""
        assert 0 <= start < stop <= len(self.content)
        return self.content[start:stop]


def local(content: bytes, settings: TransferSettings) -> LocalArchive:
    return LocalArchive(
        client=session(), url="http://a.test/a.zip?key=signed", remedy="r", settings=settings, content=content
    )


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


def behind_a_program() -> bytes:
    """A self-extracting archive: the offsets in the directory do not count what stands before."""
    return b"MZ" * 5000 + plain()


def with_folders() -> bytes:
    return zipped(write_files, lambda archive: archive.mkdir("p"))


def empty() -> bytes:
    return zipped(lambda _: None)


ARCHIVES = [
    plain,
    with_comment_and_extra_fields,
    with_data_descriptors,
    behind_a_program,
    with_folders,
    empty,
]


def members_of(table: pd.DataFrame, folder: Path) -> list[Member]:
    keys = ("offset", "end", "compressed_bytes", "num_bytes", "crc32", "method")
    return [
        Member(target=folder / row["name"].replace("/", "_"), **{key: int(row[key]) for key in keys})
        for row in table.to_dict("records")
    ]


def check_files(folder: Path, files: dict[str, bytes]) -> None:
    found = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    assert found == {name.replace("/", "_"): data for name, data in files.items()}


def check_directory(content: bytes, table: pd.DataFrame) -> None:
    infos = [info for info in zipfile.ZipFile(io.BytesIO(content)).infolist() if not info.is_dir()]
    expected = [
        (i.filename, i.header_offset, i.compress_size, i.file_size, i.CRC, i.compress_type) for i in infos
    ]
    columns = ["name", "offset", "compressed_bytes", "num_bytes", "crc32", "method"]
    assert [tuple(row) for row in table[columns].to_numpy().tolist()] == expected


@pytest.mark.parametrize("make", ARCHIVES)
def test_the_directory_is_zipfiles_and_members_come_out_whole(
    make: Callable[[], bytes], tmp_path: Path, settings: TransferSettings
) -> None:
    archive = local(make(), settings)
    table = read_directory(archive, len(archive.content))
    check_directory(archive.content, table)
    extract(archive, members_of(table, tmp_path / "out"))
    check_files(tmp_path / "out", {} if make is empty else FILES)


def test_zip64_records_of_every_kind(
    tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes, offsets and counts in zip64 fields, as beyond 4 GiB or 65,535 members."""
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 300)
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
        archive = local(plain(), settings)
    assert b"PK\6\6" in archive.content and b"PK\6\7" in archive.content
    table = read_directory(archive, len(archive.content))
    check_directory(archive.content, table)
    extract(archive, members_of(table, tmp_path / "out"))
    check_files(tmp_path / "out", FILES)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with running(ArchiveServer(plain())) as server:
        yield server


def remote(server: ArchiveServer, settings: TransferSettings) -> Archive:
    return Archive(
        client=session(), url=f"{server.url}/a.zip?key=signed", remedy="see the docs", settings=settings
    )


def test_members_beyond_4_gib_of_a_real_file(
    server: ArchiveServer, tmp_path: Path, settings: TransferSettings
) -> None:
    """A sparse file: its members lie behind 5 GiB of nothing."""
    path = tmp_path / "large.zip"
    with open(path, "wb") as file:
        file.truncate(5 << 30)
    with zipfile.ZipFile(path, "a") as archive:
        write_files(archive)
    server.content = path
    archive = remote(server, settings)
    size = archive.probe().size
    assert size is not None and size > 5 << 30
    table = read_directory(archive, size)
    assert (table["offset"] >= 5 << 30).all()
    extract(archive, members_of(table, tmp_path / "out"))
    check_files(tmp_path / "out", FILES)
    assert sum(stop - start for start, stop in server.asked) < 1 << 20


def named(name: str) -> Callable[[], bytes]:
    return lambda: zipped(lambda archive: archive.writestr(name, b"x"))


def linked() -> bytes:
    info = zipfile.ZipInfo("p/link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zipped(lambda archive: archive.writestr(info, "../../etc/passwd"))


def doubled() -> bytes:
    """Two members of one name, as a second file that replaces the first when unpacked."""

    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr("p/a", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("p/a", b"second")

    return zipped(write)


def overlapping() -> bytes:
    """Two names for the same bytes, the way zip bombs are made."""
    content = bytearray(zipped(lambda a: [a.writestr("p/a", b"x" * 90), a.writestr("p/b", b"x" * 90)]))
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = bytes(4)
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (named("/etc/passwd"), "names that leave the folder"),
        (named("p/../../x.dcm"), "names that leave the folder"),
        (named(".."), "names that leave the folder"),
        (named("C:/x.dcm"), "names that leave the folder"),
        (named("p\\..\\x.dcm"), "names that leave the folder"),
        (lambda: named("p/x.dcm#.txt")().replace(b"#", b"\0"), "names that leave the folder"),
        (linked, "links or devices"),
        (doubled, "names that occur twice"),
        (overlapping, "overlap"),
        (lambda: b"", "cannot be read"),
        (lambda: b"<html>no archive</html>" * 99, "cannot be read"),
        (lambda: plain()[:-60], "cannot be read"),
        (lambda: plain()[:900], "cannot be read"),
    ],
)
def test_archives_that_are_refused(make: Callable[[], bytes], words: str, settings: TransferSettings) -> None:
    archive = local(make(), settings)
    with pytest.raises(InputError, match=words) as caught:
        read_directory(archive, len(archive.content))
    assert "http://a.test/a.zip" in str(caught.value) and "signed" not in str(caught.value)


def test_encrypted_members_and_unusual_methods_are_refused(settings: TransferSettings) -> None:
    encrypted = bytearray(zipped(lambda archive: archive.writestr("p/a", b"x")))
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    packed = zipped(lambda archive: archive.writestr("p/a", b"x" * 99, zipfile.ZIP_BZIP2))
    for content, words in ((bytes(encrypted), "encrypted"), (packed, "another method")):
        archive = local(content, settings)
        table = read_directory(archive, len(content))
        with pytest.raises(InputError, match=words):
            check_readable(archive, table)
    archive = local(plain(), settings)
    check_readable(archive, read_directory(archive, len(archive.content)))


@pytest.mark.parametrize(("make", "mask"), [(plain, 0x15), (with_data_descriptors, 0x80)])
def test_whatever_byte_is_altered_no_wrong_file_appears(
    make: Callable[[], bytes],
    mask: int,
    tmp_path: Path,
    settings: TransferSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each byte in turn: the archive is refused, or a member is, or all files are right.

    The directory itself holds no checksum of names: a file may get another name, never other content.
    """
    monkeypatch.setitem(globals(), "FILES", {"p/a": b"a" * 60, "p/b": bytes(range(40))})
    written: list[bytes] = []
    monkeypatch.setattr(zip_members, "write_whole", lambda data, _: written.append(data))
    content = make()
    outcomes = {"refused": 0, "altered": 0, "right": 0}
    for k in range(len(content)):
        archive = local(content[:k] + bytes([content[k] ^ mask]) + content[k + 1 :], settings)
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
        assert set(written) <= set(FILES.values())
    assert min(outcomes.values()) > 10, outcomes


def test_neighbours_share_requests_of_bounded_size(
    server: ArchiveServer, tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = remote(server, settings)
    table = read_directory(archive, server.size())
    members = members_of(table, tmp_path / "out")
    server.asked.clear()
    extract(archive, members)
    assert server.asked == [(members[0].offset, members[-1].end)]
    # A gap wider than allowed, then requests no larger than one member.
    for name, value in (("GAP_BYTES", 100), ("REQUEST_BYTES", 1 << 20)):
        monkeypatch.setattr(zip_members, name, value)
    server.asked.clear()
    extract(archive, [members[0], members[1], members[4]])
    assert server.asked == [(members[0].offset, members[1].end), (members[4].offset, members[4].end)]
    for module in (zip_members, zip_archive):
        monkeypatch.setattr(module, "REQUEST_BYTES", 500)
    server.asked.clear()
    extract(archive, members[:2])
    assert max(stop - start for start, stop in server.asked) == 500 and len(server.asked) == 4
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
def test_faults_that_pass_leave_no_trace(
    fault: Fault, server: ArchiveServer, tmp_path: Path, settings: TransferSettings
) -> None:
    archive = remote(server, settings)
    members = members_of(read_directory(archive, server.size()), tmp_path / "out")
    server.faults = [fault]
    extract(archive, members)
    assert fault.times == 0
    check_files(tmp_path / "out", FILES)


def test_what_stays_altered_is_named_and_the_others_are_whole(
    server: ArchiveServer, tmp_path: Path, settings: TransferSettings
) -> None:
    archive = remote(server, settings)
    members = members_of(read_directory(archive, server.size()), tmp_path / "out")
    server.faults = [Fault("flip", ALWAYS, at=members[2].end - 3)]
    server.asked.clear()
    with pytest.raises(Unobtainable, match="1 files differ") as caught:
        extract(archive, members)
    assert caught.value.reason == "altered" and members[2].target.name in caught.value.detail
    names = list(FILES)
    check_files(tmp_path / "out", {name: FILES[name] for name in names if name != names[2]})
    assert server.asked[1:] == [(members[2].offset, members[2].end)]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", ALWAYS, 403), "refuses access"),
        (Fault("status", ALWAYS, 401), "asks for credentials"),
        (Fault("status", ALWAYS, 404), "no archive at this address"),
        (Fault("status", ALWAYS, 500), "no good answer after"),
        (Fault("cut", ALWAYS), "no good answer after"),
    ],
)
def test_faults_that_last_end_in_one_message(
    fault: Fault, words: str, server: ArchiveServer, settings: TransferSettings
) -> None:
    server.faults = [fault]
    archive = remote(server, settings)
    with pytest.raises(InputError, match=words) as caught:
        size = archive.probe().size
        assert size is not None
        read_directory(archive, size)
    assert server.url in str(caught.value) and "signed" not in str(caught.value)


def test_a_server_without_ranges_is_refused(server: ArchiveServer, settings: TransferSettings) -> None:
    server.ranges = False
    with pytest.raises(InputError, match="does not serve ranges") as caught:
        remote(server, settings).probe()
    assert "from: folder" in str(caught.value)
