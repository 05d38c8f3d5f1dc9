"""The table of published weight files. Standard library only: the workflow reads it when it is loaded."""

import csv
from functools import cache
from pathlib import Path

from chestct.errors import InputError

TABLE = Path(__file__).with_name("weights.csv")


def weights_table() -> dict[str, dict[str, str]]:
    """All rows of the weights table by ``weights_id``; what is not known is empty.

    Columns: weights_id, model and init (of the catalogue), kind (``package``, ``url`` or ``by_hand``),
    training_data, source (in words), package, package_sha256 and member (of a package), url (of the
    file; where ``by_hand``, of the page that offers it), file (its published name), size_bytes, sha256,
    sha256_prefix (where only the first digits are published), licence, citation, note (where the facts
    come from), stand_in.
    """
    return {weights_id: dict(row) for weights_id, row in _rows().items()}


@cache
def _rows() -> dict[str, dict[str, str]]:
    # Once, however many runs start from published weights: the file may lie beyond a network.
    with open(TABLE, newline="", encoding="utf-8") as file:
        return {row["weights_id"]: row for row in csv.DictReader(file)}


def file_facts(row: dict[str, str]) -> dict[str, str]:
    """What a row says of the file and the way to it, without what it tells its readers about the weights."""
    told = ("training_data", "licence", "citation", "note", "stand_in")
    return {name: value for name, value in row.items() if name not in told}


def weights_row(weights_id: str) -> dict[str, str]:
    """The row of one weight file.

    Raises:
        InputError: the table does not name it.
    """
    table = _rows()
    if weights_id not in table:
        raise InputError(
            f"weights '{weights_id}' are not known",
            where=TABLE,
            expected=", ".join(table),
            remedy="correct the name, or add a row to the table",
        )
    return dict(table[weights_id])
