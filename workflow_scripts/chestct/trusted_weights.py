"""Trust on first use: digests of weight files whose publishers name none.

The first weight file under a name that loads into its model, with every parameter, is recorded in
``trusted.csv`` beside the weights (of an archive the first one that is of its commit); from then on the steps
that download and that train refuse any other. The table is no output of a rule, so that it
survives reruns. Nothing here needs more than the standard library, so that every step can use it.
"""

import csv
import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from chestct.errors import InputError
from chestct.files import atomic_path
from chestct.locks import locked

TABLE_NAME = "trusted.csv"
COLUMNS = ("weights_id", "sha256", "size_bytes", "first_seen", "source")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"the table of trusted weight files is damaged: {what}",
        where=path,
        expected=f"the columns {', '.join(COLUMNS)}, one row a weight file",
        remedy="correct it, or move it elsewhere: the files that are there then count as first seen",
    )


def read_trusted(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the folder's table by ``weights_id``; empty where there is no table.

    Raises:
        InputError: the table is damaged or names a weight file twice.
    """
    path = folder / TABLE_NAME
    if not path.is_file():
        return {}
    rows: dict[str, dict[str, str]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            heading, *cells = list(csv.reader(file, strict=True)) or [[]]
    except (ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    if tuple(heading) != COLUMNS:
        raise _damaged(path, f"its columns are {', '.join(heading)[:200] or 'missing'}")
    for line, values in enumerate(cells, start=2):
        row = dict(zip(COLUMNS, values, strict=False))
        weights_id = row.get("weights_id", "")[:200]
        if len(values) != len(COLUMNS) or not weights_id or not row["size_bytes"].isdecimal():
            raise _damaged(path, f"row {line} has {len(values)} cells, or lacks a name or a size")
        if weights_id in rows:
            raise _damaged(path, f"'{weights_id}' has two rows")
        if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise _damaged(path, f"'{weights_id}' has no SHA-256")
        rows[weights_id] = row
    return rows


def _record(folder: Path, row: dict[str, str]) -> dict[str, str]:
    """Add a row unless another job was first; returns the row that holds."""
    # Without locks, of two first uses at the same moment one row may be lost, and recorded at the next use.
    with locked(folder / f".{TABLE_NAME}.lock"):
        rows = read_trusted(folder)
        if row["weights_id"] not in rows:
            rows[row["weights_id"]] = row
            with atomic_path(folder / TABLE_NAME) as temporary:
                with open(temporary, "w", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows[name] for name in sorted(rows))
            logging.info("%s: first seen, trusted from now on: SHA-256 %s", row["weights_id"], row["sha256"])
        return rows[row["weights_id"]]


def check_trusted(
    folder: Path, weights_id: str, sha256: str, *, size_bytes: int, source: str, kind: str = "weights"
) -> None:
    """Record the first digest of a weight file (or of an archive); refuse any other from then on.

    Several jobs may call it at once.

    Args:
        folder: of the weight files, where the table lies.
        weights_id: name of the weight file.
        sha256: digest of the file that is there now, 64 lower-case hexadecimal digits.
        size_bytes: of that file.
        source: where it comes from, for the record.
        kind: what it is, for messages: weights or archive.

    Raises:
        InputError: another digest was recorded before, or the table is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row = read_trusted(folder).get(weights_id)
    if row is None:
        values = (weights_id, sha256, str(size_bytes), datetime.now(UTC).date().isoformat(), source)
        row = _record(folder, dict(zip(COLUMNS, values, strict=True)))
    if row["sha256"] != sha256:
        raise InputError(
            f"{kind} '{weights_id}' {'are' if kind == 'weights' else 'is'} not the file that was seen first: "
            f"{size_bytes} bytes, SHA-256 {sha256}",
            where=source,
            expected=f"{row['size_bytes']} bytes, SHA-256 {row['sha256']} "
            f"(first seen {row['first_seen']}, from {row['source']})",
            remedy="put the first file back, or move the present one elsewhere and rerun, so that it is "
            f"fetched again; only if the publisher really changed it, take the row of '{weights_id}' out of "
            f"{folder / TABLE_NAME}",
        )
