"""Datasets that share scans: nothing is listed from the source or obtained again, labels may differ."""

import json
from pathlib import Path

from chestct.download import datasets as sources
from chestct.download.shared_scans import data_root, share_listing, share_shard
from chestct.tables import read_table


def test_a_dataset_with_the_scans_of_another_reads_them_where_they_are(
    nodule_entry: dict, nodule_root: Path
) -> None:
    own = nodule_root.parent / "two_readers"
    entry = nodule_entry | {"name": "two_readers", "scans_of": nodule_root.name, "consensus": 1}
    root = data_root(entry, own)
    assert root == nodule_root and data_root(nodule_entry, nodule_root) == nodule_root
    share_listing(
        entry,
        nodule_root,
        series_path=own / "series.csv",
        left_out_path=own / "left_out.csv",
        manifest_path=own / "manifest.json",
    )
    shards = []
    for number in range(3):
        shards.append(own / f"shards/shard-{number}.csv")
        share_shard(entry, nodule_root / f"shards/shard-{number}.csv", shards[-1])
    series, theirs = (read_table(folder / "series.csv", "series") for folder in (own, nodule_root))
    assert set(series["dataset"]) == {"two_readers"} and series["num_bytes"].sum() == 0
    assert all((own / path).is_dir() for path in series["path"])
    same = ["patient_id", "study_id", "series_id", "num_instances", "shard"]
    assert series[same].equals(theirs[same])
    facts = json.loads((own / "manifest.json").read_text())
    assert (facts["dataset"], facts["scans_of"], facts["num_bytes"]) == ("two_readers", nodule_root.name, 0)
    sources.extract_labels(
        entry,
        root,
        own / "series.csv",
        shards,
        own / "labels.csv",
        own / "slice_labels.parquet",
        own / "findings.csv",
    )
    labels, strict = (read_table(folder / "labels.csv", "labels") for folder in (own, nodule_root))
    assert set(labels["dataset"]) == {"two_readers"}
    assert labels["label"].equals(
        strict["label"]
    )  # as it happens: all nodules of these scans have three readers
    assert sorted(path.name for path in own.glob("[!.]*")) == [
        "findings.csv",
        "labels.csv",
        "left_out.csv",
        "manifest.json",
        "series.csv",
        "shards",
        "slice_labels.parquet",
    ]
