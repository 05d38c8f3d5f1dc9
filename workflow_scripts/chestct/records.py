"""The record of a file: its SHA-256 in a hidden file beside it, with the digests of what it was made from.

``.NAME.sha256`` is what ``sha256sum`` writes, so that ``sha256sum --check`` verifies it without this code.
Lines that begin with ``#`` name the recorded files that the process had read before, with their digests: from
the last tables these lead back to the first lists (``trace``). What reads a file compares it first
(``check_record``). A record tells damage and changes by hand; it is no signature.
"""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chestct.errors import DamageError, InputError
from chestct.files import atomic_path, sha256_file, sync

#: Seconds until a file that does not match is read again: another study may be writing file and record anew.
_SETTLE_SECONDS = 0.05
#: Larger files are not hashed once more by ``trace``: what reads them has compared them.
_TRACED_BYTES = 16 << 20
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
#: Marks the record of a copy that lies on a node for as long as a job runs: what it is a copy of counts.
_OF_JOB = "# for one job"

#: Digest of every recorded file that this process has read, by its path. A job is a process.
_read: dict[str, str] = {}


def record_path(path: str | Path) -> Path:
    """Where the record of a file lies."""
    path = Path(path)
    return path.with_name(f".{path.name}.sha256")


@contextmanager
def recorded_path(
    path: str | Path, *, made_from: bool = True, of_job: bool = False, private: bool = False
) -> Iterator[Path]:
    """As ``files.atomic_path``, and the file gets its record.

    Args:
        path: file to write.
        made_from: whether the record names what this process has read; not of files that are passed on.
        of_job: whether the file goes with the job that writes it.
        private: as of ``files.atomic_path``, of the file and its record.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(path)
    with atomic_path(path, private=private) as temporary:
        yield temporary
        sync(temporary)
        _write_record(path, sha256_file(temporary), made_from=made_from, of_job=of_job, private=private)


def record(path: str | Path) -> None:
    """Give a file that is there its record.

    Raises:
        InputError: it cannot be written.
    """
    _write_record(Path(path), sha256_file(path), made_from=True, of_job=False, private=False)


def _write_record(path: Path, sha256: str, *, made_from: bool, of_job: bool, private: bool) -> None:
    lines = [f"{sha256}  {path.name}", *([_OF_JOB] if of_job else [])]
    if made_from:
        lines += [f"# {digest}  {name}" for name, digest in sorted(_read.items()) if name != _name(path)]
    # Before the file itself: what has its name has its record too. Both names reach the disk together.
    with atomic_path(record_path(path), private=private, durable=False) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        sync(temporary)


def write_recorded(path: str | Path, text: str) -> None:
    """Write a text file with its record."""
    with recorded_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_recorded(path: str | Path) -> str:
    """A text file that matches its record.

    Raises:
        InputError: it is missing or does not match.
    """
    check_record(path)
    return Path(path).read_text(encoding="utf-8")


def check_record(path: str | Path, what: str = "file", remedy: str | None = None) -> str:
    """Compare a file with its record.

    Args:
        path: of the file.
        what: it is, for the message.
        remedy: for the message, where no rule makes the file.

    Returns:
        Its SHA-256.

    Raises:
        DamageError: it has no record, or is not what the record says.
        InputError: it is missing or cannot be read.
    """
    path = Path(path)
    for last in (False, True):
        record, found = _record_of(path), _digest_of(path, what, remedy)
        if record is not None and record.sha256 == found:
            _read.update(record.made_from if record.of_job else {_name(path): found})
            return found
        if not last:
            time.sleep(_SETTLE_SECONDS)
    if record is None:
        raise DamageError(
            f"{what} has no record of its digest, or a damaged one",
            where=path,
            expected=f"the file {record_path(path).name} beside it, which is copied along with it",
            remedy=f"copy the record too; or {remedy or _rerun(path)}",
        )
    raise DamageError(
        f"{what} is not what was written: it is damaged, or was changed by hand",
        where=path,
        expected=f"SHA-256 {record.sha256}, as {record_path(path).name} says; got {found}",
        remedy=f"{remedy or _rerun(path)}; changes belong in the configuration, or in the tables it names",
    )


def _rerun(path: Path) -> str:
    return (
        "run the rule that makes it again: "
        f"snakemake --cores all --forcerun {path} (with the study's --configfile)"
    )


def _digest_of(path: Path, what: str, remedy: str | None) -> str:
    try:
        return sha256_file(path)
    except PermissionError as error:
        raise InputError(
            f"{what} may not be read: {error.strerror}",
            where=path,
            expected="a file that you may read; tables that name patients are closed to others",
            remedy="ask its owner to share it with your group (chmod g+r, chgrp)",
        ) from error
    except OSError as error:
        raise InputError(
            f"{what} cannot be read: {error.strerror}",
            where=path,
            expected="a file, on a disk that works",
            remedy=remedy or _rerun(path),
        ) from error


def recorded_digest(path: str | Path) -> str | None:
    """The digest that a file's record says; None without a record, or where that is damaged itself."""
    record = _record_of(Path(path))
    return record.sha256 if record else None


class _Record(NamedTuple):
    sha256: str
    of_job: bool
    made_from: dict[str, str]


def _record_of(path: Path) -> _Record | None:
    try:
        text = record_path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    own, *lines = text.split("\n")
    if not lines or lines.pop():  # it ends with a new line
        return None
    of_job = lines[:1] == [_OF_JOB]
    found = _LINE.fullmatch(own)
    sources = [_LINE.fullmatch(line.removeprefix("# ")) for line in lines[of_job:] if line.startswith("# ")]
    if found is None or found[2] != path.name or len(sources) != len(lines) - of_job or None in sources:
        return None
    return _Record(found[1], of_job, {match[2]: match[1] for match in sources if match})


def _name(path: Path) -> str:
    """The path as records name it: as it is given, relative to the workflow's folder where it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@dataclass(frozen=True, kw_only=True)
class Link:
    """A file of the chain that leads to a study's tables.

    Attributes:
        path: of the file.
        sha256: as its record says; None without a record.
        problem: why it is not verified, or None.
    """

    path: str
    sha256: str | None
    problem: str | None


def trace(paths: Iterable[str | Path]) -> list[Link]:
    """Follow the records of files back to the first ones, and compare every file on the way.

    A file is verified if it matches its record, and if all that was made from it had read it as it is now.
    Large files (weights, features) are compared by their records: what reads them compares their content.

    Args:
        paths: of the last files.

    Returns:
        All files on the way, by path.
    """
    links: dict[str, Link] = {}
    expected: dict[str, set[tuple[str, str]]] = {}
    todo = [_name(Path(path)) for path in paths]
    while todo:
        name = todo.pop()
        if name in links:
            continue
        record = _record_of(Path(name))
        sha256 = record.sha256 if record else None
        links[name] = Link(path=name, sha256=sha256, problem=_problem(Path(name), sha256))
        for source, digest in record.made_from.items() if record else ():
            expected.setdefault(source, set()).add((digest, name))
            todo.append(source)
    for name, readers in expected.items():
        other = sorted(reader for digest, reader in readers if digest != links[name].sha256)
        if other and links[name].problem is None:
            problem = f"another file than the one that {other[0]} was made from"
            links[name] = Link(path=name, sha256=links[name].sha256, problem=problem)
    return [links[name] for name in sorted(links)]


def _problem(path: Path, sha256: str | None) -> str | None:
    if not path.is_file():
        return "is gone"
    if sha256 is None:
        return "has no record"
    if path.stat().st_size <= _TRACED_BYTES and sha256_file(path) != sha256:
        return "does not match its record"
    return None
