"""A MetaImage (``.mha``, ``.mhd``) by its own bytes, before ITK reads it.

ITK reads a detached file from its start, however long it is, leaves memory of other volumes where a list
names too few files, and hands out what a damaged compressed file left (tried with SimpleITK 2.5.7). The
format: MetaIO's documentation (itk.org), whose names of fields are used here.
"""

from pathlib import Path

import numpy as np

from chestct.volumes.data_files import (
    count_words,
    data_path,
    listed_names,
    read_list,
    read_packed,
    read_plain,
)
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.volume_header import (
    VolumeHeader,
    add_field,
    check_axes,
    check_count,
    check_finite,
    check_same_spacing,
    check_size,
    check_spacing,
    check_units,
    not_3d,
)

_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
#: Names of one thing.
_SAME = {
    "Position": "Offset", "Origin": "Offset", "Rotation": "TransformMatrix", "Orientation": "TransformMatrix",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}  # fmt: skip
_MAX_LINES, _MAX_LINE = 1000, 1 << 16


def _read_header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """Fields by name, the lines after them where the voxels are a list of files, and where voxels start."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        for _ in range(_MAX_LINES):
            line = file.readline(_MAX_LINE)
            if not line:
                break
            name, equals, value = (part.strip() for part in line.decode("latin-1").partition("="))
            if not equals:
                continue
            name = _SAME.get(name, name)
            add_field(fields, name, value)
            if name == "ElementDataFile":
                break
        start = file.tell()
        is_list = fields.get("ElementDataFile", "").upper().startswith("LIST")
        lines = file.read(_MAX_LINES * 256).decode("latin-1").splitlines() if is_list else []
    return fields, [line.strip() for line in lines if line.strip()], start


def _numbers(fields: dict[str, str], name: str) -> list[float]:
    return [float(word) for word in fields[name].split()] if name in fields else []


def _is_true(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "t", "1", "y", "yes")


def _check_place(fields: dict[str, str]) -> list[str]:
    spacing = _numbers(fields, "ElementSpacing") or _numbers(fields, "ElementSize")
    if not spacing:
        raise RefusedScan("bad_geometry", "no ElementSpacing, so that no size of voxels is known: add it")
    offset, matrix = _numbers(fields, "Offset"), _numbers(fields, "TransformMatrix")
    for name, values, count in (
        ("ElementSpacing", spacing, 3),
        ("Offset", offset, 3),
        ("TransformMatrix", matrix, 9),
    ):
        check_count(name, values, count)
    check_spacing(spacing)
    check_finite("Offset", offset)
    if matrix:
        axes = np.array(matrix).reshape(3, 3).T
        check_axes("TransformMatrix", axes)
        check_same_spacing(
            ("the lengths in TransformMatrix", "the format"), np.linalg.norm(axes, axis=0), (1, 1, 1)
        )
    check_units([fields.get("DistanceUnits", "")])
    return [] if matrix else ["orientation unknown: no TransformMatrix; taken as left, back, up"]


def judge_meta_image(path: Path) -> VolumeHeader:
    """Judge a MetaImage.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
        OSError, EOFError, zlib.error, ValueError, OverflowError: it is damaged, or cannot be read.
    """
    fields, lines, start = _read_header(path)
    lacking = [name for name in ("DimSize", "ElementType", "ElementDataFile") if name not in fields]
    if lacking:
        raise RefusedScan("unreadable_file", f"damaged, or no MetaImage: no {', '.join(lacking)}")
    size = [int(word) for word in fields["DimSize"].split()]
    num_voxels = check_size(size)
    if int(fields.get("NDims", len(size))) != len(size):
        raise RefusedScan(
            "contradicting_header", f"NDims {fields['NDims'][:9]}, DimSize of {len(size)}: correct it"
        )
    if len(size) != 3:
        raise not_3d(size)
    notes = _check_place(fields)
    slope = float(fields.get("ElementToIntensityFunctionSlope", 1))
    offset = float(fields.get("ElementToIntensityFunctionOffset", 0))
    if (slope, offset) != (1, 0):
        raise RefusedScan(
            "bad_rescale",
            f"the header asks for slope {slope:g} and offset {offset:g}, which readers leave out: "
            "write the scan anew in HU",
        )
    if fields["ElementType"] not in _BYTES:
        raise RefusedScan("unreadable_file", "damaged, an ElementType that is none")
    channels = int(fields.get("ElementNumberOfChannels", 1))
    num_bytes = num_voxels * _BYTES[fields["ElementType"]] * channels
    if _is_true(fields, "BinaryData") or "BinaryData" not in fields:
        crc32 = _read_voxels(path, fields, lines, start, size[-1], num_bytes)
        return VolumeHeader(num_voxels=num_voxels, notes=tuple(notes), crc32=crc32)
    where = fields["ElementDataFile"]
    data, start = (path, start) if where.upper() == "LOCAL" else (data_path(path, where), 0)
    count_words(data, start, num_voxels * channels)
    return VolumeHeader(num_voxels=num_voxels, notes=tuple(notes))


def _read_voxels(
    path: Path, fields: dict[str, str], lines: list[str], start: int, num_slices: int, num_bytes: int
) -> int:
    """Check that all voxels are there; returns their CRC-32."""
    where, skip = fields["ElementDataFile"], int(fields.get("HeaderSize", 0))
    is_packed = _is_true(fields, "CompressedData")
    is_list = where.upper().startswith("LIST")
    names = lines if is_list else listed_names(where)
    if names is not None:
        if is_packed:
            raise RefusedScan(
                "unsupported_format", "a list of compressed files: write the scan into one file"
            )
        num_files = 1 if is_list and where.split()[1:2] == ["3D"] else num_slices
        return read_list([data_path(path, name) for name in names], num_files, num_bytes, skip)
    is_local = where.upper() == "LOCAL"
    data, start = (path, start) if is_local else (data_path(path, where), 0)
    if not is_packed:
        return read_plain(data, start, num_bytes, skip)
    # A header may announce any number of compressed bytes, for which ITK takes memory.
    there, said = data.stat().st_size - start, fields.get("CompressedDataSize", "")[:20]
    if said and int(said) != there:
        raise RefusedScan("wrong_length", f"{there} compressed bytes, {said} by the header: copy it again")
    return read_packed(data, start, num_bytes, "zlib")
