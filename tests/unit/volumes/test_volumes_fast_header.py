"""The fast parser gives pydicom's headers, field by field, or stands back."""

import warnings

import numpy as np
import pytest
from dicom_files import EDITS, edited_bytes, make_slice
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from chestct.volumes.fast_header import parse_header
from chestct.volumes.slice_header import read_header

PIXELS = np.arange(96, dtype=np.int16).reshape(8, 12) - 1030


def sequence(dataset, *, undefined):
    """Items within items, empty ones too, their lengths written or left to delimiters."""
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "121311", "Localizer"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = uid.CTImageStorage, "1.2.3"
    item.PurposeOfReferenceCodeSequence = [inner, Dataset()]
    dataset.ReferencedImageSequence = [item, Dataset()]
    for holder, keyword in ((item, "PurposeOfReferenceCodeSequence"), (dataset, "ReferencedImageSequence")):
        holder[keyword].is_undefined_length = undefined
        for entry in holder[keyword].value:
            entry.is_undefined_length_sequence_item = undefined
    return dataset


def plain(**arguments):
    return make_slice(PIXELS, position=(-1.5, 2, 3), **arguments)


def varied(**arguments):
    dataset = plain(**arguments)
    dataset.SpecificCharacterSet = ["ISO_IR 100"]
    dataset.PatientName = "Näme^Ungewöhnlich"
    dataset.add(DataElement(0x00090010, "LO", "SOMEBODY"))
    dataset.add(DataElement(0x00091001, "UN", b"\x00\x01" * 9))
    dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = -2000, -1900
    dataset.GantryDetectorTilt, dataset.RescaleType = "-0.25", "HU"
    dataset.LossyImageCompression = "00"
    dataset.Manufacturer, dataset.ManufacturerModelName = "SIEMENS", "Sensation 64"
    dataset.ConvolutionKernel, dataset.SliceThickness = ["I30f", "3"], "1.25"
    dataset.ContrastBolusAgent, dataset.PatientAge, dataset.PatientSex = "Ultravist", "063Y", "F"
    dataset.add(DataElement(0x7FE10010, "LO", "AFTER THE PIXELS"))
    return dataset


def deleting(keyword, **arguments):
    dataset = plain(**arguments)
    delattr(dataset, keyword)
    return dataset


SYNTAXES = {"explicit": uid.ExplicitVRLittleEndian, "implicit": uid.ImplicitVRLittleEndian}
#: Files that the fast parser must manage.
PLAIN_FILES = {
    f"{name}, {kind}": make(syntax=syntax)
    for name, syntax in SYNTAXES.items()
    for kind, make in {
        "as simple as can be": plain,
        "with elements of many kinds": varied,
        "sequences with lengths": lambda syntax: sequence(varied(syntax=syntax), undefined=False),
        "sequences with delimiters": lambda syntax: sequence(varied(syntax=syntax), undefined=True),
        "no position": lambda syntax: deleting("ImagePositionPatient", syntax=syntax),
        "no pixels": lambda syntax: deleting("PixelData", syntax=syntax),
    }.items()
}
#: Files that it must leave to pydicom.
OTHER_FILES = {
    "big endian": plain(syntax=uid.ExplicitVRBigEndian),
    "deflated": plain(syntax=uid.DeflatedExplicitVRLittleEndian),
    "run lengths": plain(syntax=uid.RLELossless),
    "no class": deleting("SOPClassUID"),
}


def encoded(dataset, path):
    dataset.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def assert_equal_or_declined(content, path):
    """Returns whether the fast parser took the file."""
    path.write_bytes(content)
    fast = parse_header(memoryview(content), path)
    if fast is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on damaged files
        assert fast == read_header(path)
    return True


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_plain_files_have_the_same_header(tmp_path, name):
    path = tmp_path / "a.dcm"
    assert assert_equal_or_declined(encoded(PLAIN_FILES[name], path), path)


@pytest.mark.parametrize("name", OTHER_FILES)
def test_other_files_are_left_to_pydicom(tmp_path, name):
    path = tmp_path / "a.dcm"
    assert not assert_equal_or_declined(encoded(OTHER_FILES[name], path), path)


def swapped(content, first, second):
    """Two elements of equal length in each other's place."""
    a, b = content.index(first), content.index(second)
    a, b, first, second = (a, b, first, second) if a < b else (b, a, second, first)
    return content[:a] + second + content[a + len(first) : b] + first + content[b + len(second) :]


ROWS, COLUMNS = b"\x28\x00\x10\x00US\x02\x00\x08\x00", b"\x28\x00\x11\x00US\x02\x00\x0c\x00"
CLASS = b"\x08\x00\x16\x00UI\x1a\x00" + uid.CTImageStorage.encode() + b"\x00"
DOUBTFUL = {
    "no preamble": lambda content: content[132:],
    "cut in the header": lambda content: content[:700],
    "cut in the pixels": lambda content: content[:-10],
    "bytes after the end": lambda content: content + b"\x00\x00",
    "an element after the end": lambda content: content + ROWS,
    "out of order": lambda content: swapped(content, ROWS, COLUMNS),
    "twice": lambda content: content.replace(ROWS, ROWS + ROWS),
    "unknown value representation": lambda content: content.replace(ROWS, ROWS.replace(b"US", b"UZ")),
    "odd length": lambda content: content.replace(ROWS, b"\x28\x00\x10\x00US\x03\x00\x08\x00\x00"),
    "meta information of another length": lambda content: content[:140] + b"\xff" + content[141:],
    "unknown character set": lambda content: content.replace(b"ISO_IR 100", b"ISO_IR 999"),
    "no class in the data set": lambda content: content.replace(CLASS, b"\x08\x00\x16\x00UI\x00\x00"),
    "a blank class": lambda content: content.replace(CLASS, CLASS[:8] + b" " * 26),
    "implicit, it says": lambda content: content.replace(
        b"UI\x14\x001.2.840.10008.1.2.1\x00", b"UI\x14\x001.2.840.10008.1.2\x00\x00\x00"
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubtful_files_are_left_to_pydicom(tmp_path, name):
    path = tmp_path / "a.dcm"
    content = encoded(varied(), path)
    changed = DOUBTFUL[name](content)
    assert changed != content
    assert not assert_equal_or_declined(changed, path)


@pytest.fixture(scope="module")
def plain_contents(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "a.dcm"
    return [encoded(dataset, path) for dataset in PLAIN_FILES.values()], path


@settings(max_examples=250, deadline=None, derandomize=True)
@given(which=st.integers(0, len(PLAIN_FILES) - 1), edits=EDITS, same_length=st.booleans())
def test_damaged_files_have_the_same_header_or_are_left_to_pydicom(plain_contents, which, edits, same_length):
    contents, path = plain_contents
    assert_equal_or_declined(bytes(edited_bytes(contents[which], edits, same_length)), path)


def test_every_single_byte_may_be_wrong(plain_contents):
    """One file, each byte of its header flipped once."""
    contents, path = plain_contents
    content = contents[1]
    taken = 0
    for at in range(128, len(content) - PIXELS.nbytes, 2):
        taken += assert_equal_or_declined(
            content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :], path
        )
    assert taken > 100  # values may change as they like; what is read as a value must agree
