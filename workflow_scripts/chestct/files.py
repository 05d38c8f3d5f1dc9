"""Files that appear complete or not at all, also after a power cut, and digests of files and plain data.

A file counts as written once its content and its name are on the disk (fsync of the file, then of its
folder): a file system may otherwise keep the new name and lose the content when the power fails.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from chestct.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: How libraries that are no Python name a full disk or quota in their own errors.
_FULL_WORDS = tuple(os.strerror(number) for number in _FULL) + tuple(f"os error {number}" for number in _FULL)
#: What a folder or a file system answers that cannot be asked to write itself out.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.ENOSYS, errno.EROFS)
#: Below so many free bytes a disk is full.
_NO_ROOM = 1 << 16


@contextmanager
def atomic_path(path: str | Path, *, private: bool = False, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it on success and vanishes on failure.

    The temporary name is this call's own, and keeps the suffix, since many writers choose their format by it.

    Args:
        path: file to write.
        private: whether users outside the owner's group may not read it, whatever the umask.
        durable: whether the file must outlast a power cut; not of what is read with its digest and can be
            made again.

    Raises:
        InputError: no room, no permission, or a name that the file system does not take.
    """
    path = Path(path)
    with _named(path):
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix="".join(path.suffixes)
        )
        os.close(handle)
    temporary = Path(name)
    try:
        try:
            yield temporary
        except Exception as error:
            if is_full(error, path.parent):
                raise cannot_write(path, error) from error
            raise
        with _named(path):
            # mkstemp creates files readable by the owner alone; results follow the user's umask.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod((0o660 if private else 0o666) & ~umask)
            put_in_place(temporary, path, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path, *, durable: bool = True) -> None:
    """Give a complete file its name, in the place of an older one, so that both outlast a power cut.

    Raises:
        OSError: the disk fails or is full.
    """
    if durable:
        sync(temporary)
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def sync(path: Path) -> None:
    """Write a file's content out to the disk.

    Raises:
        OSError: the disk fails or is full, which some file systems tell only now.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder out to the disk, where the file system can be asked to."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def sync_disk(folder: Path) -> None:
    """Write out all that was written to the disk of a folder so far: once for many small files.

    Raises:
        OSError: the disk fails or is full.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if call is None:
            os.sync()
        elif call(handle) != 0 and (number := ctypes.get_errno()) not in _NO_SYNC:
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, which outlast a power cut."""
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error that came up while a file was written means that its disk or quota is full."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        if isinstance(cause, InputError):
            return False
        if any(words in str(cause) for words in _FULL_WORDS):
            return True
        cause = cause.__cause__ or cause.__context__
    # PyTorch tells no reason.
    return isinstance(error, RuntimeError) and not has_room(folder)


def has_room(folder: Path) -> bool:
    """Whether the disk of a folder has room for another file."""
    with suppress(OSError):
        state = os.statvfs(folder)
        # Some file systems count no inodes.
        return shutil.disk_usage(folder).free >= _NO_ROOM and (not state.f_files or state.f_favail > 0)
    return True


def cannot_write(path: str | Path, error: BaseException) -> InputError:
    """The message for a file that cannot be written."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        expected, remedy = "permission to write there", "give this user permission, or name another folder"
    elif number == errno.ENAMETOOLONG:
        expected, remedy = "a name that the file system takes", "shorten the names in the configuration"
    else:
        expected = "room on the disk, in the quota, and for one more file (df -h, df -i, quota)"
        remedy = "make room, or take another disk, and run again: what is whole is kept"
    words = next(iter(str(error).splitlines()), type(error).__name__)
    return InputError(f"a file cannot be written: {words}", where=path, expected=expected, remedy=remedy)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def write_text(path: str | Path, text: str, *, durable: bool = True) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def shown_path(path: str | Path) -> str:
    """A path as a text that can be printed and kept in tables: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def one_line(name: str) -> str:
    """A name as a line of output may hold it: line breaks and other control characters escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def digested(text: str) -> str:
    """A text with its SHA-256 on a line before it, so that damage of a file is noticed (``undigested``)."""
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def undigested(content: str) -> str:
    """The text of ``digested``.

    Raises:
        ValueError: it is damaged.
    """
    text = content.partition("\n")[2]
    if digested(text) != content:
        raise ValueError("damaged")
    return text


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_object(value: object) -> str:
    """Short digest of plain data (dicts, lists, numbers, text), independent of key order."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
