"""A CSV that a user wrote: decoded, its separator found, every row a cell a column.

A general CSV reader mends what it meets: it shifts the columns of rows that end in a comma, renames doubled
columns, takes ``NA`` for a missing value and ``007`` for seven. Each of these gives a scan another label
without a word. Here a row that does not fit its heading is an error, and every cell is text.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from chestct.errors import InputError

#: Byte order marks, the longer first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: First bytes of files that people take for a CSV.
_OTHERS = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods) or a zip file",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
    b"\x1f\x8b": "a packed file (.gz)",
    b"PAR1": "a Parquet file",
}
_SEPARATORS = ",;\t"
_SAVE = "save it as CSV in UTF-8 (spreadsheet programs call this 'CSV UTF-8')"
_SHOWN = 5

#: Where a row starts (line number, the first line is 1), and its cells.
_Row = tuple[int, list[str]]


def read_user_csv(path: Path, wanted: Sequence[str], *, where: object) -> pd.DataFrame:
    """Read a CSV whose columns are separated by commas, semicolons or tabs.

    UTF-8, and UTF-16 and UTF-32 with their byte order marks, are understood. Blank lines, rows of empty cells
    alone, and a first line ``sep=;`` are passed over.

    Args:
        path: the file.
        wanted: columns that must be there, by which the separator is known.
        where: named in messages.

    Returns:
        All columns, with the heading's names trimmed; cells are text, trimmed, empty where nothing is written
        (never missing). The index holds the number of the line that a row starts on.

    Raises:
        InputError: the file is no text, a quote is never closed, a wanted column is missing or given twice,
            or a row has another number of cells than the heading; rows are named by their lines.
    """
    text = _decode(path.read_bytes(), where)
    separator, text, skipped = _declared(text)
    tables = {mark: _read(text, mark, skipped, where) for mark in (separator or _SEPARATORS)}
    rows = max(tables.values(), key=lambda found: _fit(found, wanted))
    if not rows:
        raise _problem("the table is empty", where, "a heading and a row a scan", "add them")
    heading = rows[0][1]
    _check_heading(heading, wanted, where)
    _check_lengths(rows, where)
    body = rows[1:]
    # Columns without a name, which spreadsheets leave behind, are none that anyone asks for.
    columns = {name: [cells[place] for _, cells in body] for place, name in enumerate(heading) if name}
    return pd.DataFrame(columns, index=[line for line, _ in body], dtype="string")


def _problem(what: str, where: object, expected: str, remedy: str) -> InputError:
    return InputError(what, where=where, expected=expected, remedy=remedy)


def _decode(content: bytes, where: object) -> str:
    for first, kind in _OTHERS.items():
        if content.startswith(first):
            raise _problem(f"the table is no text but {kind}", where, "a CSV file", _SAVE)
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start + len(mark)) + 1
        raise _problem(
            f"line {line} of the table is not written in {encoding.upper()}",
            where,
            "a CSV in UTF-8, or in UTF-16 with a byte order mark",
            _SAVE,
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _problem(
            f"line {line} of the table holds a NUL character: UTF-16 without a byte order mark, or damaged",
            where,
            "a CSV in UTF-8",
            _SAVE,
        )
    return text


def _declared(text: str) -> tuple[str, str, int]:
    """The separator that a first line ``sep=;`` declares, else empty; the rest; the lines passed over."""
    first, _, rest = text.partition("\n")
    words = first.strip("\r").strip('"').lower()
    if words.startswith("sep=") and words[4:] in (*_SEPARATORS, "|"):
        return words[4:], rest, 1
    return "", text, 0


def _read(text: str, separator: str, skipped: int, where: object) -> list[_Row]:
    """All rows that are not blank; none where the text does not parse, but may with another separator."""
    try:
        return list(_rows(text, separator, skipped))
    except csv.Error as error:
        if separator != _guessed(text):
            return []
        raise _problem(
            f"the table of scans does not parse: {error}",
            where,
            "cells with commas or quotes in quotes, closed in the same row; quotes in them doubled",
            "correct the row",
        ) from error


def _rows(text: str, separator: str, skipped: int) -> Iterator[_Row]:
    # newline="": lines end as they are written, also in quoted cells.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start + skipped, [cell.strip() for cell in cells]
            start = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"row on line {start + skipped}: {error}") from error


def _guessed(text: str) -> str:
    """The separator that the heading holds most of."""
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return max(_SEPARATORS, key=heading.count)


def _fit(rows: list[_Row], wanted: Sequence[str]) -> tuple[int, int]:
    """How well rows fit what is wanted: columns found, then columns at all."""
    return (len(set(wanted) & set(rows[0][1])), len(rows[0][1])) if rows else (-1, 0)


def _check_heading(heading: list[str], wanted: Sequence[str], where: object) -> None:
    missing = [name for name in dict.fromkeys(wanted) if not name or name not in heading]
    if missing:
        raise _problem(
            f"the table lacks the columns {missing}",
            where,
            f"among its columns: {[name for name in heading if name]}",
            "correct `columns` (or `baseline_column`) of the dataset",
        )
    twice = [name for name in dict.fromkeys(wanted) if heading.count(name) > 1]
    if twice:
        raise _problem(
            f"the table has more than one column named {twice}",
            where,
            "one column of each name that is used",
            "rename or remove the others",
        )


def _check_lengths(rows: list[_Row], where: object) -> None:
    (line, heading), *body = rows
    ragged = [(at, len(cells)) for at, cells in body if len(cells) != len(heading)]
    if ragged:
        shown = ", ".join(f"line {at}: {count}" for at, count in ragged[:_SHOWN])
        raise _problem(
            f"{len(ragged)} row(s) have another number of cells than the heading on line {line}, which has "
            f"{len(heading)}: {shown}",
            where,
            "a cell a column in every row",
            "remove what stands before the heading, which is the first line"
            if len(heading) == 1
            else "put cells that hold the separator in quotes, and end either all rows in a separator, with "
            "the heading, or none",
        )
