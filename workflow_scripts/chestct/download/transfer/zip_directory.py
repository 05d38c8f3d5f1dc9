"""The directory of a zip archive: which members it has and where they lie.

The standard library's ``zipfile`` reads it (zip64, comments and extra fields included). A directory of
1.8 million members takes it 19 s and 1.4 GB (measured; the directory itself is some 300 MB). Members are
not read through it: one request fetches many neighbours, and several threads fetch at once.
"""

import io
import stat
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from chestct.download.transfer.zip_archive import Archive, ArchiveFile
from chestct.download.transfer.zip_on_disk import DIRECTORY_ERRORS, MAX_MEMBER_BYTES
from chestct.errors import InputError

_BUFFER_BYTES = 1 << 17  # zipfile looks for the directory in small steps
_LOCAL_HEADER_BYTES = 30
_NAME_AND_EXTRA_BYTES = 2 * 0xFFFF  # at most, between a local header and the content
ENCRYPTED = 0x1 | 0x40 | 0x2000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Names that would leave the folder, or mean different files on different systems.
_UNSAFE = r"^/|^[A-Za-z]:|\\|\x00|(^|/)\.\.(/|$)"


def read_directory(
    archive: Archive, size: int, progress: Callable[[int], object] = lambda _: None
) -> pd.DataFrame:
    """Read the archive's directory: one row a member that is a file, in the order of the directory.

    Args:
        archive: where the bytes come from.
        size: bytes of the archive.
        progress: called with the number of bytes that were read.

    Returns:
        name; offset, end (bytes of the archive that hold it, up to the next member); compressed_bytes,
        num_bytes, crc32, method, encrypted.

    Raises:
        InputError: no archive, a damaged directory, or one with members that have unsafe or equal names,
            are links, or overlap.
    """
    try:
        file = io.BufferedReader(ArchiveFile(archive, size, progress), _BUFFER_BYTES)
        with file, zipfile.ZipFile(file) as opened:
            infos, directory_start = opened.filelist, opened.start_dir
    except InputError:
        raise
    except DIRECTORY_ERRORS as error:
        raise archive.refuse(f"the archive's directory cannot be read: {error}") from error
    table = pd.DataFrame(
        {
            "name": pd.Series([info.orig_filename for info in infos], dtype="str"),
            "offset": _numbers(info.header_offset for info in infos),
            "compressed_bytes": _numbers(info.compress_size for info in infos),
            "num_bytes": _numbers(info.file_size for info in infos),
            "crc32": _numbers(info.CRC for info in infos),
            "method": _numbers(info.compress_type for info in infos),
            "encrypted": [bool(info.flag_bits & ENCRYPTED) for info in infos],
        }
    )
    kinds = _numbers(info.external_attr >> 16 if info.create_system == 3 else 0 for info in infos)
    del infos, opened  # they take 1 GB
    _check_members(archive, table, stat_kinds=kinds & 0o170000)
    offset = table["offset"].to_numpy()
    order = np.argsort(offset, kind="stable")
    end = np.empty_like(offset)
    end[order] = np.append(offset[order][1:], directory_start)
    least = offset + _LOCAL_HEADER_BYTES + table["compressed_bytes"].to_numpy()
    misplaced = table.loc[(least > end) | (offset < 0), "name"]
    if len(misplaced):
        raise archive.refuse(
            f"{len(misplaced)} members overlap each other or the directory: {misplaced.head(3).tolist()}"
        )
    table.insert(2, "end", np.minimum(end, least + _NAME_AND_EXTRA_BYTES))
    return table[~table["name"].str.endswith("/")].reset_index(drop=True)


def _numbers(values: Iterator[int]) -> np.ndarray:
    return np.fromiter(values, dtype=np.int64)


def _check_members(archive: Archive, table: pd.DataFrame, stat_kinds: np.ndarray) -> None:
    names = pa.array(table["name"])
    plain = np.isin(stat_kinds, (0, stat.S_IFREG, stat.S_IFDIR))
    for what, bad in (
        ("names that leave the folder", pc.match_substring_regex(names, _UNSAFE).to_numpy(False)),
        ("names that occur twice", table["name"].duplicated().to_numpy()),
        ("members that are links or devices", ~plain),
    ):
        if bad.any():
            raise archive.refuse(
                f"the archive has {what}: {table.loc[bad, 'name'].head(3).tolist()} ({bad.sum()})",
                expected="plain files with relative names of their own",
            )


def check_readable(archive: Archive, members: pd.DataFrame) -> None:
    """Refuse members that are encrypted, packed in an unusual way, or too large to be read into memory.

    Raises:
        InputError: see above.
    """
    for what, bad in (
        ("encrypted", members["encrypted"]),
        ("packed with another method than deflate", ~members["method"].isin(METHODS)),
        ("of more than 1 GiB unpacked", members["num_bytes"] > MAX_MEMBER_BYTES),
    ):
        if bad.any():
            raise archive.refuse(
                f"{bad.sum()} members are {what}: {members.loc[bad, 'name'].head(3).tolist()}",
                expected="members stored or deflated, not encrypted, of at most 1 GiB",
            )
