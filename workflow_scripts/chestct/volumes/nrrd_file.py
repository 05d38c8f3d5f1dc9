"""A NRRD file (``.nrrd``, ``.nhdr``) by its own bytes, before ITK reads it.

ITK reads a detached file from its start, however long it is, and takes lengths in any unit as mm (tried with
SimpleITK 2.5.7). The format: Teem's definition of NRRD, whose names of fields are used here.
"""

import math
import re
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
    check_size,
    check_spacing,
    check_units,
    not_3d,
)

_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), 8),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), 8),
    "float": 4,
    "double": 8,
}
_PACKINGS = {"gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2"}
_TEXTS = ("ascii", "text", "txt")
#: Spaces whose axes are the patient's.
_PATIENT = re.compile(r"(right|left)-(anterior|posterior)-superior|RAS|LAS|LPS|RPS", re.IGNORECASE)
_MAX_LINES, _MAX_LINE = 1000, 1 << 16


def _read_header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """Fields by name, the lines after them where the voxels are a list of files, and where voxels start."""
    fields: dict[str, str] = {}
    lines: list[str] = []
    with open(path, "rb") as file:
        if not file.readline(_MAX_LINE).startswith(b"NRRD"):
            raise RefusedScan("unreadable_file", "damaged, or no NRRD: it does not begin with NRRD")
        for _ in range(_MAX_LINES):
            line = file.readline(_MAX_LINE)
            text = line.decode("latin-1").strip()
            if not text:
                break
            name, colon, value = text.partition(":")
            if text.startswith("#") or not colon or value.startswith("="):
                continue
            name = name.strip().lower().replace("datafile", "data file").replace("  ", " ")
            add_field(fields, name, value.strip())
            if name == "data file" and value.strip().upper().startswith("LIST"):
                lines = file.read(_MAX_LINES * 256).decode("latin-1").splitlines()
                break
        start = file.tell()
    return fields, [line.strip() for line in lines if line.strip()], start


def _vectors(text: str) -> list[list[float]]:
    return [[float(word) for word in part.split(",")] for part in re.findall(r"\(([^)]*)\)", text)]


def _check_place(fields: dict[str, str]) -> list[str]:
    """Refuse impossible or contradicting statements on place; notes."""
    check_units(re.findall(r'"([^"]*)"', fields.get("space units", "") + fields.get("units", "")))
    directions = _vectors(fields.get("space directions", ""))
    if directions:
        if "spacings" in fields:
            raise RefusedScan(
                "contradicting_header", "both space directions and spacings: remove spacings from the header"
            )
        axes = np.array(directions).T
        if axes.shape != (3, 3):
            raise RefusedScan("bad_geometry", f"space directions of shape {axes.shape}: correct the header")
        check_axes("space directions", axes)
        check_spacing(np.linalg.norm(axes, axis=0).tolist())
    elif "spacings" in fields:
        spacings = [float(word) for word in fields["spacings"].split()]
        check_count("spacings", spacings, 3)
        check_spacing(spacings)
    else:
        raise RefusedScan(
            "bad_geometry",
            "neither space directions nor spacings, so that no size of voxels is known: add them",
        )
    origin = [value for vector in _vectors(fields.get("space origin", "")) for value in vector]
    check_count("space origin", origin, 3)
    check_finite("space origin", origin)
    known = directions and _PATIENT.fullmatch(fields.get("space", "").strip())
    return [] if known else ["orientation unknown: no space of the patient; taken as left, back, up"]


def judge_nrrd(path: Path) -> VolumeHeader:
    """Judge a NRRD file.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
        OSError, EOFError, zlib.error, ValueError, OverflowError: it is damaged, or cannot be read.
    """
    fields, lines, start = _read_header(path)
    lacking = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if lacking:
        raise RefusedScan("unreadable_file", f"damaged, no {', '.join(lacking)} in the header")
    size = [int(word) for word in fields["sizes"].split()]
    num_voxels = check_size(size)
    if int(fields["dimension"]) != len(size):
        detail = f"dimension {fields['dimension'][:9]}, sizes of {len(size)}: correct the header"
        raise RefusedScan("contradicting_header", detail)
    if len(size) != 3:
        raise not_3d(size)
    notes = _check_place(fields)
    if fields["type"].lower() not in _BYTES:
        raise RefusedScan("unreadable_file", "damaged, a type that is none")
    crc32 = _read_voxels(path, fields, lines, start, size, _BYTES[fields["type"].lower()])
    return VolumeHeader(num_voxels=num_voxels, notes=tuple(notes), crc32=crc32)


def _read_voxels(
    path: Path, fields: dict[str, str], lines: list[str], start: int, size: list[int], bytes_each: int
) -> int | None:
    """Check that all voxels are there; returns their CRC-32, None of text."""
    where, encoding = fields.get("data file"), fields["encoding"].lower()
    num_bytes = math.prod(size) * bytes_each
    skip, lines_to_skip = int(fields.get("byte skip", 0)), int(fields.get("line skip", 0))
    names = None
    if where is not None:
        names = lines if where.upper().startswith("LIST") else listed_names(where)
    if names is not None:
        if encoding != "raw" or lines_to_skip:
            raise RefusedScan("unsupported_format", "a list of packed files: write the scan into one file")
        return read_list([data_path(path, name) for name in names], size[-1], num_bytes, skip)
    data, start = (path, start) if where is None else (data_path(path, where), 0)
    if lines_to_skip:
        with open(data, "rb") as file:
            file.seek(start)
            for _ in range(min(lines_to_skip, _MAX_LINES)):
                file.readline(_MAX_LINE)
            start = file.tell()
    if encoding in _TEXTS:
        count_words(data, start, math.prod(size))
        return None
    if encoding != "raw" and encoding not in _PACKINGS:
        return None  # hexadecimal digits, which ITK counts
    if encoding == "raw":
        return read_plain(data, start, num_bytes, skip)
    return read_packed(data, start, num_bytes, _PACKINGS[encoding], max(skip, 0))
