"""Why a path of a user's table leads nowhere: what people write most often, told by looking."""

import os
import re
from pathlib import Path

#: Suffixes that tables leave out.
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def remedy_for(cell: str, folder: Path) -> str:
    """What to do about a path that is not there.

    Args:
        cell: as the table has it.
        folder: where its relative paths start.
    """
    path = folder / cell
    # os.path: no error where a name is longer than any file's.
    found = next((suffix for suffix in _SUFFIXES if os.path.exists(f"{path}{suffix}")), None)  # noqa: PTH110
    if "\\" in cell or re.match(r"[A-Za-z]:", cell):
        return "write them as this machine does, with '/': paths of Windows (C:\\, \\) lead nowhere here"
    if cell.startswith("~"):
        return "write out the home folder: '~' has no meaning in a table"
    if "://" in cell:
        return "write a path in the place of the address (file://, https://), and fetch the scans before"
    if locked := _locked(path):
        return f"give this user the right to read {locked}: without it nobody sees what is in there"
    if os.path.lexists(path):
        return "the link is there, and what it points to is not: fetch or restore it, or correct the link"
    if found:
        return f"add the suffix: a file of that name ends in {found}"
    if not Path(cell).is_absolute() and os.path.exists(cell):  # noqa: PTH110
        return f"they are there from the working directory, and not from the table's, {folder}: write them so"
    if near := _other_case(path):
        return f"write them as the files are called: '{near}' is there, in other letters"
    return "correct the paths, or remove these rows"


def _locked(path: Path) -> Path | None:
    """The folder above a path that this user may not enter."""
    above = next((folder for folder in path.parents if os.path.isdir(folder)), None)  # noqa: PTH112
    return above if above is not None and not os.access(above, os.X_OK | os.R_OK) else None


def _other_case(path: Path) -> str | None:
    """The name that differs in case alone, of the first part of a path that is not there."""
    above = path.parent
    while not os.path.exists(above):  # noqa: PTH110
        path, above = above, above.parent
    try:
        names = [entry.name for entry in above.iterdir()]
    except OSError:
        return None
    return next((name for name in names if name.casefold() == path.name.casefold()), None)
