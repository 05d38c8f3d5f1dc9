"""Readers' marks of a real LIDC-IDRI study against an independent count of the XML."""

import re
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from chestct.download import datasets as sources
from chestct.download.transfer.retries import TransferSettings
from chestct.tables import read_table

ARCHIVE = "real_ct/LIDC-IDRI-0001.tar.xz"


@pytest.fixture(scope="module")
def dataset(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study unpacked, with the tables of the download step."""
    folder = tmp_path_factory.mktemp("lidc")
    with tarfile.open(shared / ARCHIVE) as archive:
        archive.extractall(folder / "source", filter="data")
    entry = {"name": "lidc", "source": "lidc_idri", "folder": str(folder / "source")}
    entry["patients"] = ["LIDC-IDRI-0001"]
    root = folder / "data"
    settings = TransferSettings(reserve_bytes=0)
    sources.list_dataset(
        entry,
        root,
        5,
        settings,
        series_path=root / "series.csv",
        left_out_path=root / "left_out.csv",
        manifest_path=root / "manifest.json",
    )
    shard = root / "shards/shard-0.csv"
    sources.obtain_shard(entry, root, root / "series.csv", 0, settings, shard)
    sources.extract_labels(
        entry, root, root / "series.csv", [shard], root / "labels.csv", root / "slice_labels.parquet"
    )
    return folder


def count_readers(xml: str) -> dict[str, tuple[float, int]]:
    """SOPInstanceUID -> (z, readers who outlined something), by regular expressions alone.

    In this study the outlines of 3 mm and more are all of one nodule, so no clustering is needed.
    """
    readers: dict[str, set[int]] = defaultdict(set)
    heights: dict[str, float] = {}
    for reader, session in enumerate(re.findall(r"<readingSession>(.*?)</readingSession>", xml, re.S)):
        for roi in re.findall(r"<roi>(.*?)</roi>", session, re.S):
            if roi.count("<edgeMap>") == 1 or "TRUE" not in roi:
                continue
            match = re.search(r"<imageSOP_UID>([\d.]+)</imageSOP_UID>", roi)
            assert match is not None
            readers[match[1]].add(reader)
            z = re.search(r"<imageZposition>([-\d.]+)", roi)
            assert z is not None
            heights[match[1]] = float(z[1])
    return {sop: (heights[sop], len(who)) for sop, who in readers.items()}


def test_series_is_the_ct_with_all_its_slices(dataset: Path) -> None:
    series = read_table(dataset / "data/series.csv", "series")
    assert series["patient_id"].tolist() == ["LIDC-IDRI-0001"]
    assert series["num_instances"].tolist() == [133]
    shard = read_table(dataset / "data/shards/shard-0.csv", "shard")
    assert shard["num_files"].tolist() == [133], "the XML is no instance"


def test_slice_labels_agree_with_the_readers(dataset: Path) -> None:
    (path,) = (dataset / "source").rglob("*.xml")
    expected = count_readers(path.read_text(encoding="utf-8"))
    table = read_table(dataset / "data/slice_labels.parquet", "slice_labels").set_index("sop_instance_uid")
    assert {s: (r.z_mm, r.num_readers) for s, r in table.iterrows()} == expected
    # Four readers; seen in the XML: 7 to 9 slices each, from -125 to -105 mm.
    by_z = table.set_index("z_mm")["num_readers"].to_dict()
    assert by_z == {-125: 3, **{-122.5 + 2.5 * k: 4 for k in range(7)}, -105: 1}


def test_scan_is_positive(dataset: Path) -> None:
    labels = read_table(dataset / "data/labels.csv", "labels")
    assert labels["label"].tolist() == [1] and labels["exclusion"].isna().all()
