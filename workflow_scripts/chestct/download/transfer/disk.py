"""The disk that files arrive on: its free space, and files that appear whole or not at all."""

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chestct.download.transfer.retries import TransferSettings
from chestct.errors import InputError
from chestct.files import cannot_write, is_full, make_folder, put_in_place
from chestct.locks import left_over, new_locked


def free_bytes(folder: Path) -> int:
    """Free space of the disk that ``folder``, or the nearest parent that exists, lies on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(folder: Path, num_bytes: int, settings: TransferSettings) -> None:
    """Stop before a transfer that the disk cannot hold.

    Raises:
        InputError: less than ``num_bytes`` and the reserve is free.
    """
    free = free_bytes(folder)
    if num_bytes > 0 and num_bytes + settings.reserve_bytes > free:
        raise InputError(
            f"the disk is too small: {num_bytes / 1e9:.3g} GB to download, {free / 1e9:.3g} GB free",
            where=folder,
            expected=f"{(num_bytes + settings.reserve_bytes) / 1e9:.3g} GB free, "
            f"{settings.reserve_bytes / 1e9:.3g} GB of them in reserve (download.reserve_gb)",
            remedy="free space, set data_dir to a larger disk, or narrow the dataset by `patients`",
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or quota, and what may not be written, into one clear message.

    Raises:
        InputError: the disk or the user's quota is full, or there is no permission.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise cannot_write(path, error) from error
        if not is_full(error, path.parent):
            raise
        raise InputError(
            f"the disk is full: {error.strerror}",
            where=path.parent,
            expected="space, and room for one more file (df -h, df -i), for the files of the dataset (see "
            "`snakemake plan_download`)",
            remedy="free space or move data_dir, then rerun: what is whole is kept and not fetched again",
        ) from error


@contextmanager
def whole_file(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a hidden path beside ``target`` that replaces it on success and vanishes on failure.

    The hidden name is this call's own: two runs on the same folder never write into one file.

    Args:
        target: file to write.
        durable: whether the file must outlast a power cut by itself; not of the many small files of a
            series, which are written out together (``files.sync_disk``) before the table that vouches for
            them.

    Raises:
        InputError: the disk is full.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with disk_errors(target):
        make_folder(target.parent)
        try:
            with new_locked(part):
                yield part
                # Still locked, or another run would take it for a leftover.
                put_in_place(part, target, durable=durable)
        finally:
            part.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the hidden files that killed transfers of a file, or of any file, left in a folder.

    Those of transfers that still run stay: they hold a lock. So does all where the file system has no locks.
    """
    for part in folder.glob(f".{name}.*.part"):
        with suppress(OSError), left_over(part):
            part.unlink(missing_ok=True)
