"""A zip archive on a server: its directory against zipfile, and the archives that are refused."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest

from chestct.download.transfer.zip_directory import check_readable, read_directory
from chestct.download.transfer.zip_members import extract
from chestct.errors import InputError
from tests.unit.download.file_server import FileServer
from tests.unit.download.zip_samples import (
    FILES,
    check_files,
    members_of,
    on_disk,
    plain,
    remote,
    with_comment_and_extra_fields,
    with_data_descriptors,
    write_files,
    zipped,
)


def behind_a_program() -> bytes:
    """A self-extracting archive: the offsets in the directory do not count what stands before."""
    return b"MZ" * 5000 + plain()


def with_folders() -> bytes:
    return zipped(write_files, lambda archive: archive.mkdir("p"))


def empty() -> bytes:
    return zipped(lambda _: None)


def with_zip64_records() -> bytes:
    """Sizes, offsets and counts in zip64 fields, as beyond 4 GiB or 65,535 members."""
    with mock.patch.multiple(zipfile, ZIP64_LIMIT=300, ZIP_FILECOUNT_LIMIT=3):
        content = plain()
    assert b"PK\6\6" in content and b"PK\6\7" in content
    return content


ARCHIVES = [
    plain,
    with_zip64_records,
    with_comment_and_extra_fields,
    with_data_descriptors,
    behind_a_program,
    with_folders,
    empty,
]


def check_directory(path: Path, table: pd.DataFrame) -> None:
    infos = [info for info in zipfile.ZipFile(path).infolist() if not info.is_dir()]
    expected = [
        (i.filename, i.header_offset, i.compress_size, i.file_size, i.CRC, i.compress_type) for i in infos
    ]
    columns = ["name", "offset", "compressed_bytes", "num_bytes", "crc32", "method"]
    assert [tuple(row) for row in table[columns].to_numpy().tolist()] == expected


@pytest.mark.parametrize("make", ARCHIVES)
def test_the_directory_is_zipfiles_and_members_come_out_whole(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    archive, size = on_disk(make(), tmp_path)
    table = read_directory(archive, size)
    check_directory(tmp_path / "a.zip", table)
    extract(archive, members_of(table, tmp_path / "out"))
    check_files(tmp_path / "out", {} if make is empty else FILES)


def test_members_beyond_4_gib_of_a_real_file(zip_server: FileServer, tmp_path: Path) -> None:
    """A sparse file: its members lie behind 5 GiB of nothing."""
    path = tmp_path / "large.zip"
    with open(path, "wb") as file:
        file.truncate(5 << 30)
    with zipfile.ZipFile(path, "a") as archive:
        write_files(archive)
    zip_server.content = path
    archive = remote(zip_server)
    size = archive.probe().size
    assert size > 5 << 30
    table = read_directory(archive, size)
    assert (table["offset"] >= 5 << 30).all()
    extract(archive, members_of(table, tmp_path / "out"))
    check_files(tmp_path / "out", FILES)
    assert sum(stop - start for start, stop in zip_server.asked) < 1 << 20


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
def test_archives_that_are_refused(
    make: Callable[[], bytes], words: str, zip_server: FileServer, tmp_path: Path
) -> None:
    zip_server.content = content = make()
    for archive in (on_disk(content, tmp_path)[0], remote(zip_server)):
        with pytest.raises(InputError, match=words) as caught:
            read_directory(archive, len(content))
        assert archive.shown in str(caught.value) and "signed" not in str(caught.value)


def test_encrypted_unusual_and_huge_members_are_refused(tmp_path: Path) -> None:
    encrypted = bytearray(zipped(lambda archive: archive.writestr("p/a", b"x")))
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    packed = zipped(lambda archive: archive.writestr("p/a", b"x" * 99, zipfile.ZIP_BZIP2))
    large = bytearray(zipped(lambda archive: archive.writestr("p/a", b"x")))
    at = large.index(b"PK\1\2") + 24  # the size unpacked, in the directory
    large[at : at + 4] = ((1 << 30) + 1).to_bytes(4, "little")
    cases = ((bytes(encrypted), "encrypted"), (packed, "another method"), (bytes(large), "more than 1 GiB"))
    for content, words in cases:
        archive, size = on_disk(content, tmp_path)
        with pytest.raises(InputError, match=words):
            check_readable(archive, read_directory(archive, size))
    archive, size = on_disk(plain(), tmp_path)
    check_readable(archive, read_directory(archive, size))


def test_an_archive_on_disk_that_goes_or_shrinks_is_named(tmp_path: Path) -> None:
    archive, size = on_disk(plain(), tmp_path)
    members = members_of(read_directory(archive, size), tmp_path / "out")
    (tmp_path / "a.zip").write_bytes(plain()[:600])
    with pytest.raises(InputError, match="shorter than it was"):
        extract(archive, members)
    (tmp_path / "a.zip").unlink()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        extract(archive, members)
    with pytest.raises(InputError, match="no archive at this path"):
        archive.probe()
