"""A lossless JPEG encoder for tests (ITU-T T.81, process 14): any predictor, one component."""

import struct

import numpy as np


def _predictions(image: np.ndarray, predictor: int, precision: int) -> np.ndarray:
    """Predicted values (H.1.2.1): the first line from the left, the first column from above."""
    a = np.roll(image, 1, axis=1)  # left
    b = np.roll(image, 1, axis=0)  # above
    c = np.roll(b, 1, axis=1)  # above left
    guess = {
        1: a,
        2: b,
        3: c,
        4: a + b - c,
        5: a + ((b - c) >> 1),
        6: b + ((a - c) >> 1),
        7: (a + b) >> 1,
    }[predictor]
    guess[:, 0] = b[:, 0]
    guess[0] = a[0]
    guess[0, 0] = 1 << (precision - 1)
    return guess


def encode(image: np.ndarray, *, predictor: int = 1, precision: int = 16) -> bytes:
    """Encode unsigned integers (rows, columns) below 2^precision."""
    image = image.astype(np.int64)
    difference = (image - _predictions(image, predictor, precision)) & 0xFFFF
    difference = np.where(difference > 32768, difference - 65536, difference).ravel()
    bits = []
    for value in difference.tolist():
        category = abs(value).bit_length()  # 0 to 16; 32768 alone has sixteen, and no further bits
        bits.append(f"{category:05b}")
        if 0 < category < 16:
            bits.append(f"{value if value > 0 else value + (1 << category) - 1:0{category}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    rows, columns = image.shape
    # Seventeen codes of five bits, 00000 to 10000, for the categories 0 to 16.
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    return b"".join(
        [
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHBBBB", 11, precision, rows, columns, 1, 1, 0x11, 0),
            b"\xff\xc4" + struct.pack(">H", 2 + len(table)) + table,
            b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, predictor, 0, 0),
            data,
            b"\xff\xd9",
        ]
    )
