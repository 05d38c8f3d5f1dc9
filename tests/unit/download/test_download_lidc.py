"""Readers' XML: what it means, which marks mean one nodule, and what is refused; LIDC-IDRI folders."""

import shutil
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pydicom
import pytest

from chestct.download import lidc_idri
from chestct.download.lidc_xml import (
    Annotation,
    cluster_annotations,
    read_xml,
    readers_by_slice,
    readers_of,
)
from chestct.errors import InputError
from chestct.tables import read_table

SPACING = (0.7, 0.7)


def mark(
    reader: int, z: float = 0.0, row: float = 50.0, column: float = 50.0, radius: float = 5.0
) -> Annotation:
    """A circular outline on three slices, 1 mm apart."""
    angles = np.linspace(0, 2 * np.pi, 24)
    circle = np.stack([row + radius * np.sin(angles), column + radius * np.cos(angles)], axis=1)
    heights = (z - 1.0, z, z + 1.0)
    points = np.vstack([np.column_stack([np.full(24, h), circle]) for h in heights])
    return Annotation(
        reader=reader, nodule_id=f"{reader}", slices={f"sop{h:g}": h for h in heights}, points=points
    )


def sizes(annotations: list[Annotation], tolerance: float = 1.0) -> list[int]:
    return sorted(len(c) for c in cluster_annotations(tuple(annotations), SPACING, tolerance))


def test_four_outlines_of_one_nodule_are_one_cluster() -> None:
    assert sizes([mark(r, row=50 + r) for r in range(4)]) == [4]


def test_distant_nodules_are_apart() -> None:
    assert sizes([mark(0), mark(1), mark(2, z=10.0), mark(3, row=90.0)]) == [1, 1, 2]


def test_distance_counts_in_mm_along_all_axes() -> None:
    # 4 px between the outlines: 2.8 mm at 0.7 mm, 1.2 mm at 0.3 mm.
    pair = (mark(0), mark(1, column=64.0))
    assert len(cluster_annotations(pair, (0.7, 0.7), 1.5)) == 2
    assert len(cluster_annotations(pair, (0.7, 0.3), 1.5)) == 1
    assert len(cluster_annotations(pair, (0.3, 0.7), 1.5)) == 2


def test_tolerance_shrinks_until_no_cluster_exceeds_the_readers() -> None:
    # Two nodules 1.4 mm apart (2 px at 0.7 mm), each marked by four readers: one cluster of 8 at 2 mm.
    both = [mark(r) for r in range(4)] + [mark(r, column=62.0) for r in range(4)]
    assert sizes(both, tolerance=2.0) == [4, 4]


def test_shrinking_ends() -> None:
    assert sizes([mark(0) for _ in range(6)]) == [6]


def test_no_annotations_no_clusters() -> None:
    assert cluster_annotations((), SPACING, 1.0) == []


def test_three_readers_of_three_nodules_are_no_consensus() -> None:
    clusters = cluster_annotations(tuple(mark(r, column=20.0 + 30 * r) for r in range(3)), SPACING, 1.0)
    assert [readers_of(c) for c in clusters] == [1, 1, 1]
    assert readers_by_slice(clusters)["sop0"] == (0.0, 1)


def test_one_reader_who_marked_twice_counts_once() -> None:
    clusters = cluster_annotations((mark(0), mark(0, row=51), mark(1)), SPACING, 1.0)
    assert [readers_of(c) for c in clusters] == [2]


def test_slices_count_only_their_own_readers() -> None:
    clusters = cluster_annotations((mark(0), mark(1), mark(2, z=1.0)), SPACING, 1.0)
    numbers = {sop: number for sop, (_, number) in readers_by_slice(clusters).items()}
    assert numbers == {"sop-1": 2, "sop0": 3, "sop1": 3, "sop2": 1}


NODULE = """<unblindedReadNodule><noduleID>{name}</noduleID>
{characteristics}<roi><imageZposition>{z} </imageZposition><imageSOP_UID>1.2.{slice}</imageSOP_UID>
<inclusion>{inclusion}</inclusion>{edges}</roi></unblindedReadNodule>"""


def nodule(name: str, z: str = "-5.0", num_points: int = 3, inclusion: str = "TRUE", number: int = 1) -> str:
    edges = "".join(
        f"<edgeMap><xCoord>{10 + i}</xCoord><yCoord>{20 + i}</yCoord></edgeMap>" for i in range(num_points)
    )
    return NODULE.format(name=name, z=z, slice=number, inclusion=inclusion, edges=edges, characteristics="")


def document(*sessions: str, series: str = "1.9", tag: str = "LidcReadMessage", head: str = "") -> str:
    inner = "".join(f"<readingSession>{s}</readingSession>" for s in sessions)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<{tag} xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{escape(series)}</SeriesInstanceUid></ResponseHeader>{inner}</{tag}>"
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_read_xml_takes_outlines_and_leaves_point_marks_and_exclusions(tmp_path: Path) -> None:
    text = document(
        nodule("a") + nodule("point", num_points=1),
        "<nonNodule><nonNoduleID>x</nonNoduleID></nonNodule>",
        nodule("hole", inclusion="FALSE") + nodule("b", number=2),
    )
    reading = read_xml(write(tmp_path / "a.xml", text))
    assert reading is not None and reading.series_id == "1.9" and reading.num_readers == 3
    assert [(a.reader, a.nodule_id, a.slices) for a in reading.annotations] == [
        (0, "a", {"1.2.1": -5.0}),
        (2, "b", {"1.2.2": -5.0}),
    ]
    assert reading.annotations[0].points.tolist() == [[-5, 20, 10], [-5, 21, 11], [-5, 22, 12]]


def test_other_documents_are_passed_over(tmp_path: Path) -> None:
    assert read_xml(write(tmp_path / "a.xml", document(tag="IdriReadMessage"))) is None


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "bomb.xml"
    text = document(nodule("&b;"), head=BOMB).replace('encoding="UTF-8"', f'encoding="{encoding}"')
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match="DOCTYPE") as caught:
        read_xml(path)
    assert "bomb.xml" in str(caught.value)


def test_external_entity_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "secret")
    head = f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
    with pytest.raises(InputError, match="DOCTYPE"):
        read_xml(write(tmp_path / "a.xml", document(nodule("&s;"), head=head)))


@pytest.mark.parametrize(
    ("text", "words"),
    [("<LidcReadMessage>", "does not parse"), (document(nodule("a", z="up")), "not a number")],
)
def test_broken_xml_names_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_xml(write(tmp_path / "broken.xml", text))
    assert "broken.xml" in str(caught.value)


@pytest.fixture
def folder(nodule_root: Path, tmp_path: Path) -> Path:
    """A user's folder with three patients in LIDC-IDRI's layout."""
    for patient in ("LIDC-PHANT-00000", "LIDC-PHANT-00001", "LIDC-PHANT-00002"):
        shutil.copytree(nodule_root / patient, tmp_path / "lidc" / patient)
    return tmp_path / "lidc"


def entry_of(folder: Path, **more: object) -> dict:
    return {"name": "lidc", "source": "lidc_idri", "folder": str(folder), **more}


def test_a_users_folder_gives_the_labels_of_the_phantom(
    folder: Path, nodule_root: Path, tmp_path: Path
) -> None:
    entry = entry_of(folder)
    series = lidc_idri.list_series(entry, tmp_path, 2)
    assert series["patient_id"].tolist() == [f"LIDC-PHANT-0000{k}" for k in range(3)]
    assert series["shard"].tolist() == [0, 0, 1]
    lidc_idri.obtain(entry, tmp_path, series, lambda _: None)
    scans, slices = lidc_idri.read_labels(entry, tmp_path, series)
    expected = read_table(nodule_root / "labels.csv", "labels").iloc[:3]
    assert scans["label"].tolist() == expected["label"].tolist()
    all_slices = read_table(nodule_root / "slice_labels.parquet", "slice_labels")
    mine = all_slices[all_slices["study_id"].isin(scans["study_id"])]
    assert sorted(slices["sop_instance_uid"]) == sorted(mine["sop_instance_uid"])
    assert lidc_idri.manifest(entry)["stand_in"] is False


def test_patients_select_and_unknown_ones_are_named(folder: Path, tmp_path: Path) -> None:
    chosen = entry_of(folder, patients=["LIDC-PHANT-00001"])
    assert lidc_idri.list_series(chosen, tmp_path, 5)["patient_id"].tolist() == ["LIDC-PHANT-00001"]
    with pytest.raises(InputError, match="LIDC-IDRI-9999"):
        wrong = entry_of(folder, patients=["LIDC-PHANT-00001", "LIDC-IDRI-9999"])
        lidc_idri.list_series(wrong, tmp_path, 5)


def edit_headers(series_dir: Path, **values: str) -> None:
    for path in series_dir.glob("*.dcm"):
        header = pydicom.dcmread(path)
        for name, value in values.items():
            setattr(header, name, value)
        header.save_as(path)


def test_radiographs_are_passed_over_and_two_ct_series_refused(folder: Path, tmp_path: Path) -> None:
    first = next(folder.glob("LIDC-PHANT-00000/*/*"))
    extra = first.with_name("1.2.3")
    shutil.copytree(first, extra)
    with pytest.raises(InputError, match="more than one CT series"):
        lidc_idri.list_series(entry_of(folder), tmp_path, 5)
    edit_headers(extra, Modality="DX")
    assert len(lidc_idri.list_series(entry_of(folder), tmp_path, 5)) == 3


def test_missing_and_double_readings_exclude(folder: Path, tmp_path: Path) -> None:
    xmls = sorted(folder.glob("*/*/*/*.xml"))
    xmls[0].unlink()
    shutil.copy(xmls[1], xmls[1].with_name("again.xml"))
    series = lidc_idri.list_series(entry_of(folder), tmp_path, 5)
    scans, _ = lidc_idri.read_labels(entry_of(folder), tmp_path, series)
    assert scans["exclusion"].tolist()[:2] == ["no_reading", "several_readings"]
    assert pd.isna(scans["label"].tolist()[0]) and scans["label"].tolist()[2] in (0, 1)


def test_a_reading_of_another_series_is_none(folder: Path, tmp_path: Path) -> None:
    xml = next(folder.glob("LIDC-PHANT-00000/*/*/*.xml"))
    write(xml, document(nodule("a"), series="1.2.3.4"))
    series = lidc_idri.list_series(entry_of(folder), tmp_path, 5)
    scans, _ = lidc_idri.read_labels(entry_of(folder), tmp_path, series)
    assert scans["exclusion"].tolist()[0] == "no_reading"


def test_lost_files_and_no_dicom_are_named(folder: Path, tmp_path: Path) -> None:
    series = lidc_idri.list_series(entry_of(folder), tmp_path, 5)
    next(Path(series.iloc[1]["path"]).glob("*.dcm")).unlink()
    with pytest.raises(InputError, match="lost files"):
        lidc_idri.obtain(entry_of(folder), tmp_path, series, lambda _: None)
    sorted(Path(series.iloc[0]["path"]).glob("*.dcm"))[0].write_text("no image")
    with pytest.raises(InputError, match="does not open"):
        lidc_idri.list_series(entry_of(folder), tmp_path, 5)


@pytest.mark.parametrize("folder_name", [None, "nowhere"])
def test_without_a_folder_the_message_names_the_key(folder_name: str | None, tmp_path: Path) -> None:
    entry = {"name": "lidc", "source": "lidc_idri"} | ({"folder": folder_name} if folder_name else {})
    with pytest.raises(InputError, match="needs a folder") as caught:
        lidc_idri.list_series(entry, tmp_path, 5)
    assert "key folder" in str(caught.value)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no CT series"):
        lidc_idri.list_series(entry_of(tmp_path), tmp_path, 5)
