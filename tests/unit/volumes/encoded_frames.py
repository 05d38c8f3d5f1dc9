"""Small images as other encoders compress them, for what neither pydicom nor SimpleITK can write.

Made once from the images that ``IMAGES`` holds by formula, with imagecodecs 2026.3.6 (OpenJPEG, OpenJPH,
libjpeg-turbo) and pyjpegls 1.5.1 (CharLS); the lossless JPEG frames, ``jpeg_lossless_N`` with predictor N,
with ``tests/unit/volumes/lossless_jpeg.py`` of this repository's history. ``encoded_frames.json`` holds
them as lines of base64.
"""

import json
from base64 import b64decode
from pathlib import Path

import numpy as np

_Y, _X = np.mgrid[:12, :16]
_ROUGH = ((37 * _Y * _Y + 101 * _X + 13 * _X * _Y) % 4096).astype(np.uint16)
_SMOOTH = (900 + 60 * _Y + 25 * _X).astype(np.uint16)
#: ``rough``: 12 bits; ``signed``: 16 bits; ``smooth``, for lossy compression: 12 bits.
IMAGES = {
    "rough": _ROUGH,
    "signed": (_ROUGH.astype(np.int32) * 13 - 24000).astype(np.int16),
    "smooth": _SMOOTH,
    "smooth_8_bits": (_SMOOTH >> 4).astype(np.uint8),
}

FRAMES: dict[str, bytes] = {
    name: b64decode("".join(lines))
    for name, lines in json.loads(Path(__file__).with_suffix(".json").read_text()).items()
}
