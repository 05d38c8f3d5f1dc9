"""Checks of volume files that ITK's readers leave out.

ITK fills the missing end of a cut NIfTI file with zeros and hands out what a damaged compressed MetaImage
left in memory (tried with SimpleITK 2.5.7), both without an error: a wrong volume, silently.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

_BLOCK = 1 << 20


class DamagedFileError(Exception):
    """A volume file whose voxels are not all there."""


def _check_nifti(path: Path) -> None:
    """Compare the bytes of a NIfTI file with what its header announces; reads gzip to its checksum."""
    compressed = path.name.lower().endswith(".gz")
    with gzip.open(path, "rb") if compressed else path.open("rb") as file:
        header = file.read(352)
        if len(header) < 352:
            raise DamagedFileError(f"{len(header)} of 352 header bytes")
        # NIfTI-1 alone: ITK reads no NIfTI-2. The length of the header tells its byte order.
        order = "<" if struct.unpack_from("<i", header)[0] == 348 else ">"
        size = struct.unpack_from(f"{order}8h", header, 40)
        (bits,) = struct.unpack_from(f"{order}h", header, 72)
        (start,) = struct.unpack_from(f"{order}f", header, 108)
        expected = int(start) + bits // 8 * math.prod(size[1 : 1 + size[0]])
        found = len(header)
        while block := file.read(_BLOCK):
            found += len(block)
    if found < expected:
        raise DamagedFileError(f"{found} of {expected} bytes")


def _check_meta_image(path: Path, num_voxel_bytes: int) -> None:
    """Decompress a MetaImage's voxels to their checksum, where they are compressed and in one file."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "ElementDataFile" not in fields and (line := file.readline(_BLOCK)):
            key, _, value = line.decode("latin-1").partition("=")
            fields[key.strip()] = value.strip()
        start = file.tell()
    if fields.get("CompressedData", "").lower() != "true":
        return  # ITK itself finds missing bytes of uncompressed voxels
    data_file = fields.get("ElementDataFile", "")
    local = data_file.lower() == "local"
    data_path = path if local else path.parent / data_file
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    found = 0
    with open(data_path, "rb") as file:
        file.seek(start if local else 0)
        while not inflate.eof and (block := file.read(_BLOCK)):
            found += len(inflate.decompress(block))
    if not inflate.eof or found != num_voxel_bytes:
        raise DamagedFileError(f"{found} of {num_voxel_bytes} voxel bytes")


def check_integrity(path: Path, num_voxel_bytes: int) -> None:
    """Check that a volume file holds all its voxels.

    Args:
        path: NIfTI, NRRD or MetaImage file.
        num_voxel_bytes: size of the voxels in the file's own type; only MetaImage needs it.

    Raises:
        DamagedFileError: with the numbers.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith((".mha", ".mhd")):
            _check_meta_image(path, num_voxel_bytes)
        # NRRD: ITK finds missing bytes and wrong checksums.
    except (OSError, EOFError, zlib.error, struct.error, ValueError, OverflowError) as error:
        raise DamagedFileError(f"{type(error).__name__}: {error}") from error
