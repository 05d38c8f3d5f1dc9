"""The LIDC-IDRI study through the workflow's own rules: download, volumes, labels, windows' input."""

import pytest
import yaml

from chestct.tables import read_table
from tests.workflow.project import copy_project


@pytest.fixture(scope="module")
def converted(root, real_ct, tmp_path_factory):
    """A copy of the project in which the one real study is listed, labelled and converted."""
    project = copy_project(root, tmp_path_factory.mktemp("lidc") / "project")
    overlay = {
        "study": "real",
        "datasets": [
            {
                "name": "lidc",
                "source": "lidc_idri",
                "folder": str(real_ct),
                "display_window_hu": {"centre": -600, "width": 1500},
            }
        ],
        "models": [{"name": "swin_narrow"}],
        "inits": ["scratch"],
        "volumes": {"size_px": 256},
    }
    (project.folder / "studies" / "real.yaml").write_text(yaml.safe_dump(overlay))
    project.run("results/real/volumes/lidc/index.csv", "data/lidc/labels.csv", study="real")
    return project.folder


def test_the_volume_keeps_slices_and_spacing(converted):
    index = read_table(converted / "results/real/volumes/lidc/index.csv", "index").iloc[0]
    assert (index["num_slices"], index["rows"], index["columns"]) == (133, 256, 256)
    assert index["spacing_z_mm"] == pytest.approx(2.5)
    assert index["spacing_x_mm"] == pytest.approx(2 * 0.703125)
    ledger = read_table(converted / "results/real/volumes/lidc/ledger.csv", "ledger")
    assert ledger["status"].tolist() == ["accepted"]


def test_every_slice_that_readers_marked_is_among_the_converted_ones(converted):
    labels = read_table(converted / "data/lidc/labels.csv", "labels")
    assert labels["label"].tolist() == [1]
    marks = read_table(converted / "data/lidc/slice_labels.parquet", "slice_labels")
    slices = read_table(converted / "results/real/volumes/lidc/slices.parquet", "slices")
    joined = marks.merge(slices, on=["study_id", "sop_instance_uid"], suffixes=("_mark", "_slice"))
    assert len(joined) == len(marks) > 0
    assert (joined["z_mm_mark"] - joined["z_mm_slice"]).abs().max() < 0.01
    assert marks["num_readers"].max() == 4
