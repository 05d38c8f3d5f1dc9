"""A NIfTI file by its own bytes: what its header says twice, whether its voxels are all there, and numbers.

ITK makes NaN and infinity 0, fills the missing end of a cut file with zeros, applies an intercept although
slope 0 says that there is none, and takes the spacing of one statement and the direction of another (tried
with SimpleITK 2.5.7). The format: nifti1.h of the NIfTI Data Format Working Group, whose names of fields are
used here.
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chestct.volumes.refusals import RefusedScan
from chestct.volumes.volume_header import (
    VolumeHeader,
    check_axes,
    check_finite,
    check_same_axes,
    check_same_spacing,
    check_size,
    check_spacing,
    check_units,
    not_3d,
    wrong_length,
)

_HEADER_BYTES = 352
#: Bits of a voxel by ``datatype``; what is no single number a voxel is left to ITK, which says so.
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_FLOATS = {16: "f4", 64: "f8"}
_UNITS = {0: "", 1: "metres", 2: "mm", 3: "micrometres"}
#: Bytes read at once: a multiple of every size of a voxel but 3.
_BLOCK = 1 << 20
#: How far the origins of the two statements on place may be apart before the ledger notes it, mm.
_SAME_ORIGIN_MM = 1.0


@dataclass(frozen=True, kw_only=True)
class _Fields:
    """Fields of a header, as the standard names them."""

    order: str
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: float
    scl_slope: float
    scl_inter: float
    units: int
    qform_code: int
    sform_code: int
    quatern: tuple[float, ...]
    qoffset: tuple[float, ...]
    sform: np.ndarray


def _parse(header: bytes) -> _Fields:
    (size,) = struct.unpack_from("<i", header)
    # The length of the header tells its byte order.
    order = "<" if size in (348, 540) else ">"
    (size,) = struct.unpack_from(f"{order}i", header)
    if size == 540:
        raise RefusedScan("unsupported_format", "NIfTI-2: write the scan anew as NIfTI-1, NRRD or MetaImage")
    if size != 348:
        raise RefusedScan("unreadable_file", "damaged, or no NIfTI: the header has no length")
    if header[344:348] != b"n+1\0":
        raise RefusedScan(
            "unsupported_format", "Analyze, or a pair of .hdr and .img: write the scan anew as .nii"
        )

    def unpack(form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(order + form, header, at)

    qform_code, sform_code, *place = unpack("2h6f", 252)
    return _Fields(
        order=order,
        dim=unpack("8h", 40),
        datatype=unpack("h", 70)[0],
        bitpix=unpack("h", 72)[0],
        pixdim=unpack("8f", 76),
        vox_offset=unpack("f", 108)[0],
        scl_slope=unpack("f", 112)[0],
        scl_inter=unpack("f", 116)[0],
        units=header[123] & 7,
        qform_code=qform_code,
        sform_code=sform_code,
        quatern=tuple(place[:3]),
        qoffset=tuple(place[3:]),
        sform=np.array(unpack("12f", 280)).reshape(3, 4),
    )


def _check_scaling(fields: _Fields) -> None:
    """Refuse a scaling that the standard does not give, or that turns HU over."""
    slope, inter = fields.scl_slope, fields.scl_inter
    # No scaling where the slope is 0, or no number, as some writers leave it.
    if slope == 0 or not math.isfinite(slope):
        if inter != 0 and math.isfinite(inter):
            raise RefusedScan(
                "contradicting_header",
                f"scl_slope {slope:g} says that values are not scaled, scl_inter {inter:g} that they are: "
                "write the scan anew with slope 1, or without an intercept",
            )
    elif slope < 0 or not math.isfinite(inter):
        raise RefusedScan(
            "bad_rescale", f"scl_slope {slope:g}, scl_inter {inter:g}: write the scan anew in HU"
        )


def _quaternion_axes(fields: _Fields) -> np.ndarray:
    """Steps of a voxel by the qform, mm, as columns."""
    b, c, d = (float(value) for value in fields.quatern)
    check_finite("quaternion", (b, c, d))
    rest = 1 - (b * b + c * c + d * d)
    if rest < -0.01:
        raise RefusedScan(
            "bad_geometry", f"quaternion {b:g}, {c:g}, {d:g} is longer than 1: correct the header"
        )
    a = math.sqrt(max(rest, 0))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    handed = -1.0 if fields.pixdim[0] < 0 else 1.0
    return turn * (np.array(fields.pixdim[1:4]) * [1, 1, handed])


def _check_place(fields: _Fields) -> list[str]:
    """Refuse statements on spacing, axes and place that are impossible or contradict each other; notes."""
    spacing = fields.pixdim[1:4]
    check_spacing(spacing)
    if fields.qform_code <= 0 and fields.sform_code <= 0:
        return ["orientation unknown: qform_code and sform_code are 0; taken as left, back, up"]
    notes = []
    if fields.sform_code > 0:
        axes, origin = fields.sform[:, :3], fields.sform[:, 3]
        check_axes("sform", axes)
        check_finite("origin of the sform", origin)
        check_same_spacing(("the sform", "pixdim"), np.linalg.norm(axes, axis=0), spacing)
    if fields.qform_code > 0:
        turned = _quaternion_axes(fields)
        check_finite("origin of the qform", fields.qoffset)
        if fields.sform_code > 0:
            check_same_axes(("sform", "qform"), axes, turned)
            apart = float(np.linalg.norm(origin - np.array(fields.qoffset)))
            if apart > _SAME_ORIGIN_MM:
                notes.append(f"origins of sform and qform are {apart:.0f} mm apart")
    return notes


def _read_voxels(path: Path, fields: _Fields, num_bytes: int) -> int:
    """Read the voxels once, to the checksum of gzip: as many as announced, all numbers; their CRC-32."""
    start = int(fields.vox_offset)
    if start < _HEADER_BYTES:
        raise RefusedScan(
            "unreadable_file", f"damaged, vox_offset {fields.vox_offset:g} lies within the header"
        )
    float_type = _FLOATS.get(fields.datatype)
    num_odd = found = crc32 = 0
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        if start > (1 << 26) or len(file.read(start)) < start:
            raise RefusedScan("unreadable_file", f"damaged, no voxels at vox_offset {fields.vox_offset:g}")
        # A byte more than announced, so that a longer file is found, and no more of it is unpacked.
        while found <= num_bytes and (block := file.read(min(_BLOCK, num_bytes + 1 - found))):
            if float_type:
                whole = len(block) - len(block) % np.dtype(float_type).itemsize
                voxels = np.frombuffer(block[:whole], np.dtype(f"{fields.order}{float_type}"))
                num_odd += voxels.size - int(np.count_nonzero(np.isfinite(voxels)))
            found += len(block)
            crc32 = zlib.crc32(block, crc32)
    if found != num_bytes:
        raise wrong_length("more" if found > num_bytes else found, num_bytes)
    if num_odd:
        raise RefusedScan(
            "not_finite",
            f"{num_odd} of {num_bytes * 8 // fields.bitpix} voxels are NaN or infinite: "
            "write the scan anew, with air (-1024) outside of the image",
        )
    return crc32


def judge_nifti(path: Path) -> VolumeHeader:
    """Judge a NIfTI file.

    Raises:
        RefusedScan: with a reason listed in ``refusals``.
        OSError, EOFError, struct.error, ValueError, OverflowError: it is damaged, or cannot be read.
    """
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise RefusedScan("unreadable_file", f"damaged, {len(header)} of {_HEADER_BYTES} bytes of the header")
    fields = _parse(header)
    num_dimensions = fields.dim[0]
    if not 1 <= num_dimensions <= 7:
        raise RefusedScan("unreadable_file", f"damaged, {num_dimensions} dimensions")
    num_voxels = check_size(fields.dim[1 : 1 + num_dimensions])
    if fields.datatype in _BITS and fields.bitpix != _BITS[fields.datatype]:
        raise RefusedScan(
            "contradicting_header",
            f"bitpix {fields.bitpix} of datatype {fields.datatype}, which has {_BITS[fields.datatype]} bits: "
            "write the scan anew",
        )
    if num_dimensions < 3 or math.prod(fields.dim[4 : 1 + num_dimensions]) != 1:
        raise not_3d(fields.dim[1 : 1 + num_dimensions])
    _check_scaling(fields)
    check_units([_UNITS.get(fields.units, f"unit {fields.units}")])
    notes = _check_place(fields)
    crc32 = _read_voxels(path, fields, num_voxels * fields.bitpix // 8)
    is_scaled = (fields.scl_slope, fields.scl_inter) != (1, 0) and fields.scl_slope != 0
    return VolumeHeader(num_voxels=num_voxels, notes=tuple(notes), crc32=None if is_scaled else crc32)
