"""A NIfTI-1 file by hand, every field of whose header can be bent."""

import gzip
import struct
from pathlib import Path

import numpy as np

_KINDS = {"i2": (4, 16), "u1": (2, 8), "u2": (512, 16), "f4": (16, 32), "f8": (64, 64)}


def write_nifti(
    path: Path,
    hu: np.ndarray,
    code: str = "i2",
    *,
    order: str = "<",
    pixdim: tuple[float, ...] = (1, 1, 2.5),
    sform: object = (-1, -1, 2.5),
    codes: tuple[int, int] = (0, 1),
    quaternion: tuple[float, ...] = (0, 0, 1),
    origins: tuple[tuple[float, ...], ...] = ((0, 0, 0), (0, 0, 0)),
    scaling: tuple[float, float] = (1, 0),
    units: int = 2,
    packed: bool = True,
    edit: dict[int, bytes] | None = None,
) -> Path:
    """Write a volume (z, y, x).

    Args:
        path: file to write.
        hu: its voxels.
        code: of their type, in NumPy's words.
        order: of bytes.
        pixdim: spacing.
        sform: diagonal, or 3 x 3 steps of a voxel.
        codes: of qform and sform.
        quaternion: b, c, d.
        origins: of qform and sform.
        scaling: slope and intercept.
        units: xyzt_units.
        packed: with gzip.
        edit: bytes to write over the header, by place.
    """
    array = np.asarray(hu)
    header = bytearray(352)
    put = lambda form, at, *values: struct.pack_into(order + form, header, at, *values)  # noqa: E731
    put("i", 0, 348)
    put("8h", 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    put("2h", 70, *_KINDS[code])
    put("8f", 76, 1, *pixdim, 0, 0, 0, 0)
    put("3f", 108, 352, *scaling)
    header[123] = units
    put("2h6f", 252, *codes, *quaternion, *origins[0])
    steps = np.diag(sform) if np.ndim(sform) == 1 else np.asarray(sform)
    for row in range(3):
        put("4f", 280 + 16 * row, *steps[row], origins[1][row])
    header[344:348] = b"n+1\0"
    for at, value in (edit or {}).items():
        header[at : at + len(value)] = value
    content = bytes(header) + array.astype(np.dtype(code).newbyteorder(order)).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)
    return path
