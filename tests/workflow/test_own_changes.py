"""A user's own files and rows that change: what is converted again, and what leaves the results."""

import os
from pathlib import Path

from chestct.tables import read_table
from tests.workflow.project import Project

VOLUMES = Path("results/own_data/volumes/scans")
INDEX = str(VOLUMES / "index.csv")
BRIGHTER = """
import sys, SimpleITK as sitk
image = sitk.ReadImage(sys.argv[1])
sitk.WriteImage(image + sitk.Cast(image > -500, image.GetPixelID()), sys.argv[1])
"""


def digests(project: Project) -> dict[str, str]:
    index = read_table(project.folder / INDEX, "index")
    return dict(zip(index["study_id"], index["sha256"], strict=True))


def taken_over(project: Project) -> int:
    logs = (project.folder / "results/own_data/logs/convert_series").glob("*.log")
    return sum(path.read_text().count("converted by an earlier job") for path in logs)


def test_a_file_that_changes_is_converted_again_and_a_row_that_goes_takes_its_voxels_along(project):
    project.python("workflow_scripts/write_own_example.py", "data/own_example")
    project.run(INDEX, study="own_data")
    before = digests(project)
    scan = project.folder / "data/own_example/volumes/scan-03.nii.gz"
    os.utime(scan)
    assert project.planned("--nolock", INDEX, study="own_data") == {}, "a new time and the same content"
    project.python("-c", BRIGHTER, str(scan))
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
