"""Archives on disk: whatever bytes are damaged, an archive opens or is refused with one message."""

import io
import zipfile

import pytest

from chestct.download.transfer.zip_on_disk import MEMBER_ERRORS, open_zip, read_member
from chestct.errors import InputError

CONTENT = b"slices " * 50


@pytest.fixture(scope="module")
def whole() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("folder/a.png", CONTENT)
        file.comment = b"773f8ad9"
    return buffer.getvalue()


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_damaged_byte_gives_the_content_or_a_known_error(whole, mask, tmp_path):
    path, refused = tmp_path / "archive.zip", 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
        try:
            with open_zip(path, expected="an archive", remedy="fetch it again") as file:
                contents = [file.read(name) for name in file.namelist()]
            assert contents in ([CONTENT], [])
        except (InputError, OSError, *MEMBER_ERRORS):  # OSError: an offset outside the file
            refused += 1
    assert refused > len(whole) / 4


@pytest.mark.parametrize("size", [0, 1, 21, 60, -12])
def test_a_cut_archive_is_refused_with_a_remedy(whole, size, tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(whole[:size])
    with pytest.raises(InputError, match=r"not a complete zip archive[\s\S]*elsewhere[\s\S]*fetch it again"):
        open_zip(path, expected="an archive", remedy="fetch it again", where="elsewhere")


def test_members_that_announce_too_much_are_not_unpacked(whole, tmp_path):
    path = tmp_path / "archive.zip"
    announced = len(CONTENT).to_bytes(4, "little")
    for content, words in (
        (whole, None),
        (whole.replace(announced, b"\xff\xff\xff\x7f"), "2147483647 bytes"),
    ):
        path.write_bytes(content)
        with open_zip(path, expected="an archive", remedy="fetch it again") as file:
            if words is None:
                assert read_member(file, "folder/a.png") == CONTENT
                words = f"{len(CONTENT)} bytes unpacked, expected at most 99"
            with pytest.raises(zipfile.BadZipFile, match=words):
                read_member(file, "folder/a.png", 99)
