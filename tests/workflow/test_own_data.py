"""A user's own scans, as far as they need no training: the example that a command writes, and what changes of
files and rows do.
"""

import os
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813

from chestct.tables import read_table
from tests.workflow.project import Project, copy_project

SUBSETS = "results/own_data/subsets/phantoms"
VOLUMES = Path("results/own_data/volumes/phantoms")
INDEX = str(VOLUMES / "index.csv")


@pytest.fixture(scope="module")
def example(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with the example's scans, converted and shared out."""
    project = copy_project(root, tmp_path_factory.mktemp("own_data") / "project")
    written = project.python("workflow_scripts/write_own_example.py", "data/own_example")
    assert "12 phantom scans: data/own_example/scans.csv" in written
    project.run(f"{SUBSETS}/splits.csv", f"{SUBSETS}/windows.parquet", study="own_data")
    return project


def digests(project: Project) -> dict[str, str]:
    index = read_table(project.folder / INDEX, "index")
    return dict(zip(index["study_id"], index["sha256"], strict=True))


def taken_over(project: Project) -> int:
    logs = (project.folder / "results/own_data/logs/convert_series").glob("*.log")
    return sum(path.read_text().count("converted by an earlier job") for path in logs)


def test_every_scan_of_the_example_is_tested_once(example):
    table = pd.read_csv(example.folder / "data/own_example/scans.csv")
    assert table["nodule"].sum() == 6 and table["patient"].nunique() == len(table) == 12
    cohort = read_table(example.folder / SUBSETS / "cohort.csv", "cohort")
    assert (cohort["status"] == "used").all() and cohort["baseline"].tolist() == table["tissue_ml"].tolist()
    splits = read_table(example.folder / SUBSETS / "splits.csv", "splits")
    tested = splits[splits["split"] == "test"]
    assert tested["study_id"].is_unique and len(tested) == 12
    assert set(tested.groupby("fold")["label"].sum()) == {2}


def test_a_file_that_changes_is_converted_again_and_a_row_that_goes_takes_its_voxels_along(example):
    project = example  # no copy: its files would be other ones, and converted again
    before = digests(project)
    scan = project.folder / "data/own_example/volumes/scan-03.nii.gz"
    os.utime(scan)
    assert project.planned("--nolock", INDEX, study="own_data") == {}, "a new time and the same content"
    image = sitk.ReadImage(str(scan))
    sitk.WriteImage(image + sitk.Cast(image > -500, image.GetPixelID()), str(scan))
    table = project.folder / "data/own_example/scans.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    project.run(INDEX, study="own_data")
    after = digests(project)
    assert set(after) == set(before) - {"scan-12"}
    assert {name for name in after if after[name] != before[name]} == {"scan-03"}
    assert taken_over(project) == len(before) - 2
    files = [path for path in (project.folder / VOLUMES).rglob("*") if path.is_file()]
    assert not any(b"scan-12" in path.read_bytes() for path in files)
    table.write_text("".join(lines))
    project.run(INDEX, study="own_data")
    assert digests(project) == after | {"scan-12": before["scan-12"]}
    assert taken_over(project) == len(before) - 1
    assert not any(path.stat().st_mode & 0o007 for path in files if path.exists())
