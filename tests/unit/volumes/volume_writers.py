"""Volume files by hand, every field of whose headers can be bent: NIfTI-1, MetaImage, NRRD."""

import gzip
import struct
from pathlib import Path

import numpy as np
from chest_volumes import chest

#: A small chest, and its voxels as bytes.
HU = np.maximum(chest(6, 24), -1024)
DEPTH, SIDE = HU.shape[:2]
RAW = HU.astype("<i2").tobytes()

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


def write_meta(
    path: Path,
    data: str = "v.raw",
    more: str = "",
    size: tuple[int, ...] = (SIDE, SIDE, DEPTH),
    content: bytes = b"",
) -> Path:
    """Write the header of a MetaImage of ``HU``.

    Args:
        path: file to write.
        data: ElementDataFile.
        more: further lines.
        size: DimSize.
        content: what follows the header.
    """
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\n{more}"
        "ElementSpacing = 1 1 2.5\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        f"DimSize = {' '.join(map(str, size))}\nElementType = MET_SHORT\n"
        f"ElementDataFile = {data}\n"
    )
    path.write_bytes(header.encode() + content)
    return path


def write_nrrd(
    path: Path,
    data: str | None = "v.raw",
    more: str = "",
    step: float = 1.0,
    encoding: str = "raw",
    content: bytes = b"",
    place: bool = True,
) -> Path:
    """Write the header of a NRRD file of ``HU``.

    Args:
        path: file to write.
        data: file of voxels; None: they follow.
        more: further lines.
        step: of a pixel.
        encoding: of the voxels.
        content: what follows the header.
        place: whether space and directions are given.
    """
    directions = f"space directions: ({step},0,0) (0,{step},0) (0,0,{2.5 * step})\n"
    directions = f"space: left-posterior-superior\n{directions}" if place else ""
    header = (
        f"NRRD0005\ntype: short\ndimension: 3\nsizes: {SIDE} {SIDE} {DEPTH}\nencoding: {encoding}\n"
        f"endian: little\n{directions}{more}" + (f"data file: {data}\n" if data else "\n")
    )
    path.write_bytes(header.encode() + content)
    return path
