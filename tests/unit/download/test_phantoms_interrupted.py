"""Phantoms whose writing was cut short: made again, whatever the files look like; folders are never torn."""

import shutil
from pathlib import Path

import pytest

from chestct.download import datasets as sources
from chestct.download.sources import study_folders
from chestct.tables import read_table
from tests.unit.download.file_server import SETTINGS


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.dcm"))}


@pytest.fixture(params=["pe", "nodule"])
def dataset(request: pytest.FixtureRequest) -> tuple[dict, Path]:
    return request.getfixturevalue(f"{request.param}_entry"), request.getfixturevalue(f"{request.param}_root")


@pytest.mark.parametrize("content", [b"", None])
def test_a_slice_that_a_power_cut_left_empty_or_of_zeros_is_made_again(
    dataset: tuple[dict, Path], tmp_path: Path, content: bytes | None
) -> None:
    entry, source = dataset
    shutil.copytree(source, tmp_path / "copy")
    root = tmp_path / "copy"
    series = read_table(root / "series.csv", "series").iloc[:2]
    before = files_of(root)
    for path in sorted((root / series.iloc[0]["path"]).iterdir())[:2]:
        path.write_bytes(bytes(path.stat().st_size) if content is None else content)
    sources.source_of(entry).obtain(entry, root, series, SETTINGS)
    assert files_of(root) == before


def test_of_two_studies_that_write_one_folder_the_first_stays_and_none_is_torn(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with study_folders.whole_folder(folder) as mine, study_folders.whole_folder(folder) as other:
        assert mine != other
        (mine / "a").write_text("mine")
        (other / "a").write_text("other")
    assert (folder / "a").read_text() == "other" and study_folders.is_recorded(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    (folder / "a").write_text("torn")
    assert not study_folders.is_recorded(folder)
    with study_folders.whole_folder(folder) as again:
        (again / "a").write_text("again")
    assert (folder / "a").read_text() == "again"
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
