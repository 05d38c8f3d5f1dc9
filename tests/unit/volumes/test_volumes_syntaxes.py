"""Every transfer syntax in use decodes to the voxels that were encoded, and to SimpleITK's."""

import numpy as np
import pydicom
import pytest
from dicom_files import assert_equals_reference, compress, compress_with_gdcm, refusal, setting, write_series
from encoded_frames import FRAMES, IMAGES
from pydicom import uid

from chestct.volumes.convert_scan import read_series
from chestct.volumes.scan import Report

JPEG2000 = "1.2.840.10008.1.2.4.91"
ROUGH = IMAGES["rough"]


#: Frame, transfer syntax, image, bits stored.
LOSSLESS = {
    **{
        f"JPEG lossless, predictor {n}": (FRAMES[f"jpeg_lossless_{n}"], uid.JPEGLossless, "rough", 12)
        for n in range(1, 8)
    },
    "JPEG lossless, first order": (FRAMES["jpeg_lossless_1"], uid.JPEGLosslessSV1, "rough", 12),
    "JPEG lossless, signed": (FRAMES["jpeg_lossless_signed"], uid.JPEGLosslessSV1, "signed", 16),
    "JPEG lossless, 12 of 16 bits": (FRAMES["jpeg_lossless_16_bits"], uid.JPEGLosslessSV1, "rough", 12),
    "JPEG-LS": (FRAMES["jpeg_ls"], uid.JPEGLSLossless, "rough", 12),
    "JPEG-LS, signed": (FRAMES["jpeg_ls_signed"], uid.JPEGLSLossless, "signed", 16),
    "JPEG 2000": (FRAMES["jpeg_2000"], uid.JPEG2000Lossless, "rough", 12),
    "JPEG 2000, signed": (FRAMES["jpeg_2000_signed"], uid.JPEG2000Lossless, "signed", 16),
    "JPEG 2000 in boxes": (FRAMES["jpeg_2000_boxed"], uid.JPEG2000Lossless, "rough", 12),
    "JPEG 2000, lossless in the general syntax": (FRAMES["jpeg_2000"], JPEG2000, "rough", 12),
    "HTJ2K": (FRAMES["htj2k"], uid.HTJ2KLossless, "rough", 12),
    "HTJ2K, signed": (FRAMES["htj2k_signed"], uid.HTJ2KLossless, "signed", 16),
    "HTJ2K RPCL": (FRAMES["htj2k"], uid.HTJ2KLosslessRPCL, "rough", 12),
    "HTJ2K, lossless in the general syntax": (FRAMES["htj2k"], uid.HTJ2K, "rough", 12),
}
#: Frame, transfer syntax, image, bits stored, largest error allowed, what the ledger says.
LOSSY = {
    "JPEG-LS": (FRAMES["jpeg_ls_near"], uid.JPEGLSNearLossless, "smooth", 12, 2, "JPEG-LS near-lossless"),
    "JPEG 2000": (FRAMES["jpeg_2000_lossy"], JPEG2000, "smooth", 12, 40, "JPEG 2000"),
    "HTJ2K": (FRAMES["htj2k_lossy"], uid.HTJ2K, "smooth", 12, 2, "HTJ2K"),
    "JPEG baseline": (FRAMES["jpeg_baseline"], uid.JPEGBaseline8Bit, "smooth_8_bits", 8, 4, "JPEG baseline"),
    "JPEG extended": (FRAMES["jpeg_extended"], uid.JPEGExtended12Bit, "smooth", 12, 20, "JPEG extended"),
}


def write_compressed(folder, frame, syntax, image, bits, *, edit=None, fragments=1, num_slices=3, **header):
    def compress_slice(i, dataset):
        compress(dataset, frame, syntax, bits=bits, fragments=fragments)
        if edit is not None:
            edit(i, dataset)

    stored = np.stack([IMAGES[image]] * num_slices)
    return write_series(folder, stored, edit=compress_slice, **header)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_compression(tmp_path, name):
    frame, syntax, image, bits = LOSSLESS[name]
    intercept = -1024 if image == "rough" else 0
    folder = write_compressed(tmp_path / "s", frame, syntax, image, bits, intercepts=[intercept] * 3)
    report = Report()
    scan, _ = read_series(folder, report=report)
    expected = np.maximum(IMAGES[image].astype(int) + intercept, -1024)
    np.testing.assert_array_equal(scan.hu, np.stack([expected] * 3))
    assert_equals_reference(folder, scan)
    assert bool(report.notes) == (syntax in (JPEG2000, uid.HTJ2K))


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_compression_is_accepted_and_noted(tmp_path, name):
    frame, syntax, image, bits, error, note = LOSSY[name]
    slope = 16 if bits == 8 else 1
    folder = write_compressed(
        tmp_path / "s", frame, syntax, image, bits, slopes=[slope] * 3, intercepts=[-1700] * 3
    )
    scan, report = read_series(folder)
    exact = IMAGES[image].astype(int) * slope - 1700
    assert np.abs(scan.hu[1] - exact).max() <= error * slope
    assert_equals_reference(folder, scan)
    assert report.notes == [f"lossy compression: {note}"] and report.repairs == []


def test_compression_that_the_header_admits_is_noted(tmp_path, hu):
    folder = write_series(tmp_path / "s", hu, edit=setting("LossyImageCompression", "01"))
    assert read_series(folder)[1].notes == ["lossy compression: declared"]


@pytest.mark.parametrize(
    ("compressor", "syntax"), [("JPEG", uid.JPEGLosslessSV1), ("JPEG2000", uid.JPEG2000Lossless)]
)
def test_compressed_by_another_writer(series, tmp_path, hu, compressor, syntax):
    """Every slice another image, as GDCM itself encodes it."""
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        compress_with_gdcm(dataset, compressor, tmp_path)
        assert dataset.file_meta.TransferSyntaxUID == syntax
        dataset.save_as(path)
    scan, _ = read_series(series)
    np.testing.assert_array_equal(scan.hu, hu)


def test_rescaling_is_that_of_the_header_whatever_the_class(tmp_path):
    """The decoder is told nothing of slopes, classes and padding; so none of them can change twice."""

    def anonymise(i, dataset):
        del dataset.SOPClassUID
        dataset.PixelPaddingValue = int(ROUGH[5, 5])

    folder = write_compressed(
        tmp_path / "s",
        *LOSSLESS["JPEG lossless, first order"],
        edit=anonymise,
        fragments=3,
        slopes=[0.5, 2, 1],
        intercepts=[-700.25, -1024, 0],
    )
    scan, _ = read_series(folder)
    np.testing.assert_array_equal(scan.hu[0], np.rint(ROUGH * 0.5 - 700.25))
    np.testing.assert_array_equal(scan.hu[1], ROUGH * 2.0 - 1024)
    np.testing.assert_array_equal(scan.hu[2], ROUGH)


@pytest.mark.parametrize(
    "padding", [b"\xff", b"\xff\xff", b"\x00\xff", b"\x00"], ids=["FF", "FFFF", "00FF", "00"]
)
@pytest.mark.parametrize("name", ["JPEG lossless, first order", "JPEG-LS", "JPEG 2000", "HTJ2K"])
def test_what_pads_a_frame_to_even_length_is_no_damage(tmp_path, name, padding):
    """Six of the ten reference CTs of NEMA's working group 4 in these syntaxes end their odd frames by FF."""
    frame, syntax, image, bits = LOSSLESS[name]
    folder = write_compressed(tmp_path / "s", frame + padding, syntax, image, bits, intercepts=[-1024] * 3)
    np.testing.assert_array_equal(read_series(folder)[0].hu[1], np.maximum(IMAGES[image] - 1024.0, -1024))


def with_bytes(frame, at, new):
    return frame[:at] + new + frame[at + len(new) :]


JPEG, J2K, JLS = FRAMES["jpeg_lossless_1"], FRAMES["jpeg_2000"], FRAMES["jpeg_ls"]
BENT_FRAMES = {
    # SOF: FF C3, length, precision at 6, rows at 7, columns at 9, components at 11
    "238 bits a pixel": (with_bytes(JPEG, 6, b"\xee"), uid.JPEGLossless, "238 bits"),
    "fewer rows": (with_bytes(JPEG, 8, b"\x0b"), uid.JPEGLossless, "11 x 16 pixels"),
    "another process": (with_bytes(JPEG, 3, b"\xc1"), uid.JPEGLossless, "process C1"),
    "more Huffman codes than bits": (with_bytes(JPEG, 20, b"\xff"), uid.JPEGLossless, "Huffman"),
    "point transform": (with_bytes(JPEG, 62, b"\x01"), uid.JPEGLossless, "point transform"),
    "segment beyond the end": (with_bytes(JPEG, 4, b"\xff"), uid.JPEGLossless, "marker C3"),
    "no start": (JPEG[2:], uid.JPEGLossless, "no start of image"),
    "no end": (JPEG[:-2], uid.JPEGLossless, "no end of image"),
    "half of it": (JPEG[: len(JPEG) // 2], uid.JPEGLossless, "no end of image"),
    "header alone": (JPEG[:30], uid.JPEGLossless, "marker C4"),
    "JPEG-LS of another size": (with_bytes(JLS, 8, b"\x0b"), uid.JPEGLSLossless, "11 x 16 pixels"),
    "JPEG-LS cut": (JLS[:-40], uid.JPEGLSLossless, "no end of image"),
    "JPEG-LS cut, with an end": (JLS[:-40] + b"\xff\xd9", uid.JPEGLSLossless, "RuntimeError"),
    # SIZ: FF 51 at 2, x1 at 8, y1 at 12, tiles at 24, components at 40, bits at 42
    "JPEG 2000 of 4 billion lines": (with_bytes(J2K, 12, b"\xff"), uid.JPEG2000Lossless, "x 16 pixels"),
    "JPEG 2000 of tiny tiles": (with_bytes(J2K, 24, bytes(4)), uid.JPEG2000Lossless, "tiles"),
    "JPEG 2000, other sign": (with_bytes(J2K, 42, b"\x8b"), uid.JPEG2000Lossless, "signed: True"),
    "JPEG 2000, more bits": (with_bytes(J2K, 42, b"\x20"), uid.JPEG2000Lossless, "33 bits"),
    "JPEG 2000 cut": (J2K[:200], uid.JPEG2000Lossless, "no end of image"),
    "JPEG 2000 cut in its header": (J2K[:30], uid.JPEG2000Lossless, "cut header"),
    "no JPEG 2000": (b"\xff\xd8" + bytes(200), uid.HTJ2KLossless, "no start of codestream"),
    "HTJ2K cut": (FRAMES["htj2k"][:100], uid.HTJ2KLossless, "no end of image"),
}


@pytest.mark.parametrize("name", BENT_FRAMES)
def test_frames_that_are_not_the_image_announced_are_refused(tmp_path, name):
    """Some of them end the process, or take all memory, if the decoder sees them."""
    frame, syntax, detail = BENT_FRAMES[name]
    frame += b"\x00" * (len(frame) % 2)
    whole = next(case for case in LOSSLESS.values() if case[1] == syntax)

    def bend(i, dataset):
        if i == 1:
            compress(dataset, frame, syntax, bits=12)

    folder = write_compressed(tmp_path / "s", *whole, edit=bend)
    refused = refusal(folder)
    assert refused.reason == "undecodable_pixels"
    assert "001.dcm" in refused.detail and detail in refused.detail


@pytest.mark.parametrize("name", ["JPEG lossless, first order", "JPEG-LS", "JPEG 2000", "HTJ2K"])
def test_values_beyond_the_bits_stored_are_refused(tmp_path, name):
    frame, syntax, image, _ = LOSSLESS[name]

    def claim_fewer_bits(i, dataset):
        dataset.BitsStored, dataset.HighBit = 11, 10

    folder = write_compressed(tmp_path / "s", frame, syntax, image, 12, edit=claim_fewer_bits)
    refused = refusal(folder)
    assert refused.reason == "undecodable_pixels" and "in 11 bits" in refused.detail
