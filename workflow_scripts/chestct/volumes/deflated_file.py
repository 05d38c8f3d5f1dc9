"""DICOM files packed as a whole (deflated explicit VR little endian, PS3.5 A.5), judged before a parser
unpacks them into memory."""

from pathlib import Path

from pydicom.uid import DeflatedExplicitVRLittleEndian

from chestct.volumes.data_files import inflated

#: Where the transfer syntax stands, and what a file holds at most once unpacked.
_META_BYTES, _MAX_BYTES = 2048, 1 << 30


def check_deflated(path: Path) -> None:
    """Refuse a deflated file that unpacks to more than a scan holds; other files pass.

    Raises:
        ValueError, EOFError, zlib.error: it does, or it is damaged.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_META_BYTES)
        if DeflatedExplicitVRLittleEndian.encode() not in head or head[128:136] != b"DICM\2\0\0\0":
            return
        file.seek(144 + int.from_bytes(head[140:144], "little"))  # behind the meta information
        if sum(map(len, inflated(file, _MAX_BYTES + 1, wbits=-15))) > _MAX_BYTES:
            raise ValueError(f"deflated, of more than {_MAX_BYTES >> 20} MiB")
