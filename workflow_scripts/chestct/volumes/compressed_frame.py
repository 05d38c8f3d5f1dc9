"""Checks of a compressed frame before a decoder sees it.

Decoders of JPEG trust what a frame says of itself: GDCM's ends the process where a damaged byte claims 238
bits a pixel, and JPEG 2000's takes the memory of an image as large as a damaged size. So the frame must be
the image that the DICOM header announces, and have an end. (ITU-T T.81 annex B, T.87 annex C, T.800 annex A.)
"""

import struct
from collections.abc import Iterator

from chestct.volumes.slice_header import SliceHeader

_START, _END = b"\xff\xd8", b"\xff\xd9"
#: Start-of-frame markers by transfer syntax: the process that the syntax stands for.
_JPEG_FRAMES = {
    "1.2.840.10008.1.2.4.50": (0xC0,),
    "1.2.840.10008.1.2.4.51": (0xC0, 0xC1),
    "1.2.840.10008.1.2.4.57": (0xC3,),
    "1.2.840.10008.1.2.4.70": (0xC3,),
    "1.2.840.10008.1.2.4.80": (0xF7,),
    "1.2.840.10008.1.2.4.81": (0xF7,),
}
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_TABLES, _SCAN = 0xC4, 0xDA
#: Start of a JPEG 2000 codestream: SOC and SIZ. Some writers wrap it in the boxes of a JP2 file.
_JPEG_2000 = b"\xff\x4f\xff\x51"
_MAX_TILES = 65535


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"compressed frame: {what}")


def _segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers of a JPEG frame with their segments, up to the first scan's."""
    at = 2
    marker = 0
    while marker != _SCAN:
        _require(frame[at] == 0xFF, f"no marker at byte {at}")
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", frame, at + 2)
        _require(length >= 2 and at + 2 + length <= len(frame), f"marker {marker:02X} of {length} bytes")
        yield marker, frame[at + 4 : at + 2 + length]
        at += 2 + length


def _check_huffman(tables: bytes, lossless: bool) -> None:
    at = 0
    while at < len(tables):
        counts = tables[at + 1 : at + 17]
        symbols = tables[at + 17 : at + 17 + sum(counts)]
        _require(len(counts) == 16 and len(symbols) == sum(counts), "cut Huffman table")
        room = 1
        for count in counts:
            room = 2 * room - count
            _require(room >= 0, "more Huffman codes than bits")
        _require(not lossless or max(symbols, default=0) <= 16, "Huffman table not of lossless JPEG")
        at += 17 + sum(counts)


def _check_jpeg(frame: bytes, header: SliceHeader) -> int:
    allowed = _JPEG_FRAMES[header.transfer_syntax]
    _require(frame.startswith(_START), "no start of image")
    kind, precision, has_tables = 0, 0, False
    for marker, segment in _segments(frame):
        if marker == _TABLES:
            _check_huffman(segment, _LOSSLESS in allowed)
            has_tables = True
        elif marker in (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xD0), _JPEG_LS):
            _require(marker in allowed and not kind, f"process {marker:02X}")
            kind = marker
            precision, rows, columns, components = struct.unpack_from(">BHHB", segment)
            size = f"{rows} x {columns} pixels, {precision} bits, {components} component(s)"
            _require((rows, columns, components) == (header.rows, header.columns, 1), size)
            # Signed values are bit patterns, which fewer bits would read otherwise.
            least = header.bits_stored if header.signed else 2
            _require(least <= precision <= header.bits_allocated, size)
            _require(
                len(segment) == 9 and 0x11 <= segment[7] <= 0x44 and segment[7] & 15 in range(1, 5), size
            )
        elif marker == _SCAN:
            _require(kind != 0 and len(segment) == 6 and segment[0] == 1, "scan")
            _require(kind == _JPEG_LS or has_tables, "no Huffman table")
            if kind == _LOSSLESS:
                _require(1 <= segment[3] <= 7 and segment[5] & 15 == 0, "predictor or point transform")
        else:
            _require(marker >= 0xC0 and not 0xD0 <= marker <= 0xD9, f"marker {marker:02X}")
    return precision


def _check_jpeg_2000(frame: bytes, header: SliceHeader) -> int:
    start = frame.find(_JPEG_2000)
    _require(start >= 0, "no start of codestream")
    length, _, *sizes, components = struct.unpack_from(">HH8IH", frame, start + 4)
    x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0 = sizes
    bits, step_x, step_y = struct.unpack_from(">3B", frame, start + 4 + 38)
    precision, signed = (bits & 0x7F) + 1, bool(bits >> 7)
    size = f"{y1 - y0} x {x1 - x0} pixels, {precision} bits, signed: {signed}, {components} component(s)"
    _require((y1 - y0, x1 - x0, components) == (header.rows, header.columns, 1), size)
    _require(precision <= header.bits_allocated and signed == header.signed, size)
    _require((length, step_x, step_y) == (41, 1, 1), size)
    tiles = f"tiles of {tile_y} x {tile_x} pixels"
    _require(tile_x0 <= x0 < tile_x0 + tile_x and tile_y0 <= y0 < tile_y0 + tile_y, tiles)
    _require(-(-(x1 - tile_x0) // tile_x) * -(-(y1 - tile_y0) // tile_y) <= _MAX_TILES, tiles)
    return precision


def check_frame(frame: bytes, header: SliceHeader) -> tuple[bytes, int]:
    """Check that a compressed frame is the whole image that the header announces.

    Args:
        frame: of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K transfer syntax, with what pads it to even length: a 00
            (PS3.5 A.4), or FF as fill bytes of JPEG, which encoders write too.
        header: of its file.

    Returns:
        The frame without padding, and its bits a pixel.

    Raises:
        ValueError: with what the frame says.
    """
    try:
        check = _check_jpeg if header.transfer_syntax in _JPEG_FRAMES else _check_jpeg_2000
        precision = check(frame, header)
    except (struct.error, IndexError) as error:
        raise ValueError("compressed frame: cut header") from error
    image = frame.rstrip(b"\x00\xff")
    _require(image.endswith(_END), "no end of image")
    return image, precision
