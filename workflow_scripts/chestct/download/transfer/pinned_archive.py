"""An archive that a code host makes of one commit: fetched once, checked, and the same from then on.

Such archives have no published digest. What pins them is the commit, which the address names and which
``git archive`` writes into the zip as its comment; the digest of the first whole one is recorded, and any
other is refused from then on (``chestct.trusted_weights``).
"""

import logging
import zipfile
from pathlib import Path
from secrets import token_hex

from chestct.download.transfer.disk import disk_errors
from chestct.download.transfer.http import download
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.download.transfer.zip_on_disk import MEMBER_ERRORS, open_zip
from chestct.errors import InputError
from chestct.files import put_in_place, sha256_file
from chestct.locks import locked
from chestct.secrets_in_text import without_secrets
from chestct.trusted_weights import check_trusted, read_trusted


def fetch_pinned(
    url: str, path: Path, settings: TransferSettings, *, name: str, commit: str, remedy: str
) -> None:
    """Make the archive exist at ``path``; what is there already is compared with the recorded digest.

    A file that is there and has no record must be of the commit, as one that is downloaded.

    A download that was interrupted goes on where it stopped, if the server serves ranges of the same file,
    and begins anew otherwise.

    Args:
        url: its address.
        path: file to write; the record of digests lies in its folder.
        settings: of transfers.
        name: in messages and in the record.
        commit: that the archive is of, 40 hexadecimal digits.
        remedy: for the message where it cannot be had.

    Raises:
        InputError: refused, no answer, or it is not the archive of that commit, or not the one seen first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = without_secrets(url)  # an address may be signed
    # Two studies that share their data: the second waits, and finds the file.
    with disk_errors(path), locked(path.with_name(f".{path.name}.lock")) as is_locked:
        if path.is_file():
            if name not in read_trusted(path.parent):
                _check_commit(path, commit, str(path), remedy)
            _trust(path, path, name=name, source=shown)
            return
        # A name that the next run finds again; without locks another may write there now.
        part = path.with_name(f".{path.name}.part" if is_locked else f".{path.name}.{token_hex(4)}.part")
        try:
            download(url, part, settings, title=path.name, remedy=remedy, resume=is_locked)
        except BaseException as error:
            if not is_locked:
                part.unlink(missing_ok=True)
            if not isinstance(error, Unobtainable):
                raise
            raise InputError(
                f"{name} is no longer where it was published: {error.detail}",
                where=shown,
                expected="a zip archive",
                remedy=remedy,
            ) from error
        try:
            _check_commit(part, commit, shown, f"rerun, so that it is fetched again; or {remedy}")
            _trust(part, path, name=name, source=shown)
        except InputError:
            part.unlink()
            raise
        put_in_place(part, path)
        logging.info("%s: %d bytes from %s", path, path.stat().st_size, shown)


def _check_commit(found: Path, commit: str, where: str, remedy: str) -> None:
    with open_zip(found, expected=f"the archive of commit {commit}", remedy=remedy, where=where) as file:
        named = file.comment.decode("ascii", "replace")
        # Before it is trusted for good: a download that a power cut tore can end as it should.
        damaged = _damaged_member(file) if named == commit else None
    if damaged is not None:
        raise InputError(
            f"the archive is damaged: {damaged}",
            where=where,
            expected=f"the archive of commit {commit}, whole",
            remedy=remedy,
        )
    if named != commit:
        raise InputError(
            f"the archive is of another commit: {named[:40] or 'it names none'}",
            where=where,
            expected=f"the archive of commit {commit}",
            remedy=remedy,
        )


def _damaged_member(file: zipfile.ZipFile) -> str | None:
    try:
        return file.testzip()
    except (*MEMBER_ERRORS, OSError) as error:
        return str(error) or type(error).__name__


def _trust(found: Path, path: Path, *, name: str, source: str) -> None:
    size = found.stat().st_size
    check_trusted(path.parent, name, sha256_file(found), size_bytes=size, source=source, kind="archive")
