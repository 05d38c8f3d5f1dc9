"""A corpus of damaged files and folders, each refused with its reason; and damage at random."""

import gzip
import shutil
import struct
import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import EDITS, edited_bytes, phantom, refusal, write_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from chestct.volumes.convert_scan import read_series
from chestct.volumes.refusals import REFUSALS, RefusedScan

NUM, SIDE = 5, 8
PIXELS = b"\xe0\x7f\x10\x00OW\x00\x00" + struct.pack("<I", 2 * SIDE * SIDE)
META_SYNTAX = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"


def rewritten(change):
    """Damage of one file's bytes."""

    def apply(folder):
        path = folder / "002.dcm"
        content = path.read_bytes()
        changed = change(content)
        assert changed != content
        path.write_bytes(changed)

    return apply


def renamed_syntax(uid):
    """The meta information names another transfer syntax than the file is in."""
    text = uid.encode() + b"\x00" * (20 - len(uid))
    return rewritten(lambda content: content.replace(META_SYNTAX, META_SYNTAX[:8] + text))


def edited(**changes):
    """Damage that pydicom will write."""

    def apply(folder):
        dataset = pydicom.dcmread(folder / "002.dcm")
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(folder / "002.dcm")

    return apply


def in_syntax(syntax, change):
    """The file is written in a transfer syntax, then its bytes are damaged."""

    def apply(folder):
        source = folder.parent / "other"
        write_series(source, phantom((NUM, SIDE, SIDE)), syntax=syntax)
        shutil.copy(source / "002.dcm", folder / "002.dcm")
        rewritten(change)(folder)

    return apply


def raw_value(tag, vr, old, new):
    """A value replaced by text of the same length, whatever it may mean."""
    assert len(old) == len(new)
    head = struct.pack("<HH", *tag) + vr + struct.pack("<H", len(old))
    return rewritten(lambda content: content.replace(head + old, head + new))


def copied_over(folder):
    for path in folder.iterdir():
        path.write_bytes((folder / "000.dcm").read_bytes())


def moved_without_a_new_name(folder):
    dataset = pydicom.dcmread(folder / "002.dcm")
    dataset.ImagePositionPatient[2] += 12.5
    dataset.save_as(folder / "copy.dcm")


def half_step_between(folder):
    """Slices of another pass, half a step aside, under the same series."""
    write_series(folder, phantom((2, SIDE, SIDE), seed=4), order=[50, 51], origin=(-100, -80, -298.75))


def said_to_be_deflated(content):
    uid = DeflatedExplicitVRLittleEndian.encode()
    return content.replace(META_SYNTAX, META_SYNTAX[:6] + bytes([len(uid), 0]) + uid)


def deflated_cut(content):
    return content[: -len(content) // 4]


def bent_inside(content):
    """The deflated data set with one byte wrong in its middle."""
    at = content.index(b"1.2.840.10008.1.2.1.99") + 200
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


PNG = b"\x89PNG\r\n\x1a\n" + zlib.compress(bytes(500))
CORPUS = {
    # files that are no DICOM, or no more
    "empty": (rewritten(lambda content: b""), "unreadable_file"),
    "text": (rewritten(lambda content: b"not a DICOM file at all\n" * 40), "unreadable_file"),
    "an error page": (
        rewritten(lambda content: b"<html><body>404 Not Found</body></html>"),
        "unreadable_file",
    ),
    "zeros of a download that broke off": (rewritten(lambda content: bytes(len(content))), "unreadable_file"),
    "noise": (rewritten(lambda content: np.random.default_rng(0).bytes(2000)), "unreadable_file"),
    "another image format": (rewritten(lambda content: PNG), "unreadable_file"),
    "compressed as a whole": (rewritten(gzip.compress), "packed_files"),
    "bytes swapped": (
        rewritten(lambda content: np.frombuffer(content, "<u2").byteswap().tobytes()),
        "unreadable_file",
    ),
    # files that end too early
    "preamble alone": (rewritten(lambda content: content[:132]), "unreadable_file"),
    "cut in the meta information": (rewritten(lambda content: content[:200]), "unreadable_file"),
    "cut in the header": (rewritten(lambda content: content[:700]), "truncated_file"),
    "cut before the pixels": (
        rewritten(lambda content: content[: content.index(PIXELS)]),
        "truncated_file",
    ),
    "cut in the pixels": (rewritten(lambda content: content[:-60]), "truncated_file"),
    "cut by a byte": (rewritten(lambda content: content[:-1]), "truncated_file"),
    "fewer pixels than its length says": (
        rewritten(lambda content: content.replace(PIXELS, PIXELS[:8] + struct.pack("<I", 4000))),
        "truncated_file",
    ),
    "a length of fewer pixels": (
        rewritten(lambda content: content.replace(PIXELS, PIXELS[:8] + struct.pack("<I", 20))),
        "truncated_file",
    ),
    "an end that never comes": (
        rewritten(lambda content: content.replace(PIXELS, PIXELS[:8] + b"\xff" * 4)),
        "unreadable_file",
    ),
    # headers that lie
    "a byte lost": (rewritten(lambda content: content[:500] + content[501:]), "mixed_identifiers"),
    "a byte too many": (
        rewritten(lambda content: content[:500] + b"\x00" + content[500:]),
        "mixed_identifiers",
    ),
    "said to be big endian": (renamed_syntax(ExplicitVRBigEndian), "unreadable_file"),
    "said to be deflated": (rewritten(said_to_be_deflated), "unreadable_file"),
    "said to be run lengths": (renamed_syntax(RLELossless), "undecodable_pixels"),
    "of an unknown transfer syntax": (renamed_syntax("1.2.840.10008.1.9.9"), "undecodable_pixels"),
    "position of words": (
        raw_value((0x20, 0x32), b"DS", b"-100\\-80\\-295 ", b"left\\-80\\-295 "),
        "bad_geometry",
    ),
    "position of two numbers": (
        raw_value((0x20, 0x32), b"DS", b"-100\\-80\\-295 ", b"-100.-80\\-295 "),
        "bad_geometry",
    ),
    "position without end": (
        raw_value((0x20, 0x32), b"DS", b"-100\\-80\\-295 ", b"inf\\-80\\-295  "),
        "bad_geometry",
    ),
    "position that is no number": (
        raw_value((0x20, 0x32), b"DS", b"-100\\-80\\-295 ", b"nan\\-80\\-295  "),
        "bad_geometry",
    ),
    "a digit of the position": (
        raw_value((0x20, 0x32), b"DS", b"-100\\-80\\-295 ", b"-100\\-80\\-285 "),
        "irregular_spacing",
    ),
    "a digit of the column": (
        raw_value((0x20, 0x32), b"DS", b"-100\\-80\\-295 ", b"-100\\-30\\-295 "),
        "shifted_slices",
    ),
    "a decimal comma": (raw_value((0x28, 0x1053), b"DS", b"1 ", b"1,"), "bad_rescale"),
    "slope below nothing": (raw_value((0x28, 0x1053), b"DS", b"1 ", b"-1"), "bad_rescale"),
    "slope beyond all bounds": (edited(RescaleSlope="1e300"), "bad_rescale"),
    "no lines": (edited(Rows=0), "unsupported_pixels"),
    "more lines than there are": (edited(Rows=SIDE + 1), "mixed_sizes"),
    "lines and columns of another image": (edited(Rows=4, Columns=16), "mixed_sizes"),
    "no bits": (edited(BitsAllocated=0), "unsupported_pixels"),
    "more bits stored than there are": (edited(BitsStored=17, HighBit=16), "unsupported_pixels"),
    "palette": (edited(PhotometricInterpretation="PALETTE COLOR"), "unsupported_pixels"),
    "enhanced": (edited(SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=2), "multiframe"),
    # compressed files
    "deflated and cut": (in_syntax(DeflatedExplicitVRLittleEndian, deflated_cut), "unreadable_file"),
    "deflated and bent": (in_syntax(DeflatedExplicitVRLittleEndian, bent_inside), "unreadable_file"),
    "run lengths cut": (in_syntax(RLELossless, lambda content: content[:-60]), "unreadable_file"),
    "run lengths of too many segments": (
        in_syntax(
            RLELossless,
            lambda content: content.replace(b"\x02\x00\x00\x00\x40\x00", b"\x11\x00\x00\x00\x40\x00"),
        ),
        "undecodable_pixels",
    ),
    "run lengths said to be JPEG 2000": (
        in_syntax(RLELossless, lambda content: content.replace(b"10008.1.2.5\x00", b"10008.1.2.4\x00")),
        "undecodable_pixels",
    ),
    "big endian cut": (in_syntax(ExplicitVRBigEndian, lambda content: content[:-20]), "truncated_file"),
    "implicit cut": (in_syntax(ImplicitVRLittleEndian, lambda content: content[:-20]), "truncated_file"),
    # folders
    "all files the same": (copied_over, "too_few_slices"),
    "a copy with another place": (moved_without_a_new_name, "duplicate_identifiers"),
    "slices between the slices": (half_step_between, "missing_slices"),
    "a hole": (lambda folder: (folder / "002.dcm").unlink(), "missing_slices"),
    "one file left": (
        lambda folder: [(folder / f"00{i}.dcm").unlink() for i in range(1, NUM)],
        "too_few_slices",
    ),
    "nothing but a directory": (
        lambda folder: [path.rename(folder / "DICOMDIR") for path in folder.iterdir()],
        "no_dicom_files",
    ),
    "an archive": (
        lambda folder: (shutil.make_archive(str(folder), "zip", folder), shutil.rmtree(folder)),
        "missing_files",
    ),
}


@pytest.fixture
def folder(tmp_path):
    return write_series(tmp_path / "series", phantom((NUM, SIDE, SIDE)))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CORPUS)
def test_corpus_of_damage(folder, name):
    damage, reason = CORPUS[name]
    damage(folder)
    refused = refusal(folder)
    assert refused.reason == reason, refused
    assert refused.detail


def test_the_corpus_is_large():
    assert len(CORPUS) >= 50 and len({reason for _, reason in CORPUS.values()}) >= 12


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("damage", ["a byte lost", "cut in the meta information", "an end that never comes"])
def test_a_damaged_file_at_the_end_does_not_shorten_the_scan(folder, damage):
    """Its place would not be missed."""
    (folder / "002.dcm").rename(folder / "aside")
    (folder / "000.dcm").rename(folder / "002.dcm")
    CORPUS[damage][0](folder)
    (folder / "002.dcm").rename(folder / "000.dcm")
    (folder / "aside").rename(folder / "002.dcm")
    assert refusal(folder).reason in ("unreadable_file", "mixed_identifiers")


def test_a_deflated_file_is_not_unpacked_beyond_reason(tmp_path, monkeypatch):
    """A small file may hold gigabytes, for which a parser would take memory."""
    series = write_series(tmp_path / "s", phantom(), syntax=DeflatedExplicitVRLittleEndian)
    read_series(series)
    monkeypatch.setattr("chestct.volumes.deflated_file._MAX_BYTES", 1 << 20)
    content = (series / "003.dcm").read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = pack.compress(zlib.decompress(content[start:], -15) + bytes(1 << 21)) + pack.flush()
    (series / "003.dcm").write_bytes(content[:start] + packed)
    refused = refusal(series)
    assert refused.reason == "unreadable_file" and "deflated, of more than 1 MiB" in refused.detail


def test_bytes_behind_the_pixels_change_nothing(folder):
    """As of a file that another was appended to; its elements are none of this one."""
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes() + (folder / "003.dcm").read_bytes())
    np.testing.assert_array_equal(read_series(folder)[0].hu, phantom((NUM, SIDE, SIDE)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder, and its files' content by name."""
    folder = write_series(tmp_path_factory.mktemp("whole") / "s", phantom((NUM, SIDE, SIDE)))
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    which=st.integers(0, NUM - 1),
    edits=EDITS,
    keep_length=st.booleans(),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damage_at_random_never_reaches_other_slices(whole, which, edits, keep_length, cut):
    """A file changed or cut anywhere: refused with a documented reason, or all other slices are their own.

    What one byte of a value or of the pixels does to its own slice, nobody can know.
    """
    folder, contents = whole
    name = f"{which:03d}.dcm"
    content = edited_bytes(contents[name], edits, keep_length)
    for other, bytes_ in contents.items():
        (folder / other).write_bytes(bytes_)
    (folder / name).write_bytes(content[: int(cut * len(content))])
    try:
        scan, report = read_series(folder)
    except RefusedScan as refused:
        assert refused.reason in REFUSALS and refused.detail
        return
    own = dict(zip(scan.sop_uids, scan.hu, strict=True))
    truth = phantom((NUM, SIDE, SIDE))
    for i in set(range(NUM)) - {which}:
        uid = pydicom.dcmread(folder / f"{i:03d}.dcm", specific_tags=["SOPInstanceUID"]).SOPInstanceUID
        np.testing.assert_array_equal(own[uid], truth[i])
    assert len(scan.hu) == NUM or report.repairs
