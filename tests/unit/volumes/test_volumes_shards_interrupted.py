"""A killed conversion job goes on where it stopped, and ends with the same tables."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dicom_files import phantom, write_series
from shard_jobs import combine, run, series_table

from chestct.tables import read_table
from chestct.volume_store import read_slices
from chestct.volumes import convert_shard as shard_module
from chestct.volumes.convert_scan import convert_one

NAMES = ["good", "twice", "gap", "v.nii.gz", "broken.nii.gz"]


class Killed(BaseException):
    """Stands for a signal; files are closed properly, but nothing else is done."""


def kill_at(monkeypatch, number):
    """Let the conversion of the scan of this number (from 0) end the job; returns what was converted."""
    seen = []

    def convert(path, **arguments):
        if len(seen) == number:
            raise Killed
        seen.append(path.name)
        return convert_one(path, **arguments)

    monkeypatch.setattr(shard_module, "convert_one", convert)
    return seen


def tables(out):
    """The tables of a shard without the name of its folder, and all its voxels."""
    index = read_table(out["index_path"], "index").drop(columns="store")
    voxels = [read_slices(out["store_path"], study_id).tobytes() for study_id in index["study_id"]]
    return [
        index.to_csv(),
        read_table(out["slices_path"], "slices").to_csv(),
        out["ledger_path"].read_bytes(),
        out["acquisition_path"].read_bytes(),
        voxels,
    ]


def hidden(folder):
    """Hidden files and folders, but for records and what is kept of complete shards."""
    names = (path.name for path in folder.iterdir() if path.name.startswith("."))
    return sorted(name for name in names if not name.endswith(".sha256") and name != ".kept")


def test_a_job_killed_by_the_system_goes_on_where_it_stopped(scans, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_volumes_shards_interrupted import *
class Patch:
    def setattr(self, *arguments): setattr(*arguments)
seen = kill_at(Patch(), 3)
shard_module.log.warning = lambda *arguments: len(seen) == 3 and os.kill(os.getpid(), signal.SIGKILL)
run(series_table(*NAMES), Path({str(scans)!r}), Path({str(folder)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program])
    assert done.returncode == -signal.SIGKILL  # while the refusal of the third scan is written down
    assert hidden(folder) == [".shard-0.h5.parts"] == [path.name for path in folder.iterdir()]

    seen = kill_at(monkeypatch, None)
    out = run(series_table(*NAMES), scans, folder)
    assert seen == ["gap", "v.nii.gz", "broken.nii.gz"]
    assert sorted(path.name for path in folder.glob("[!.]*")) == sorted(path.name for path in out.values())
    assert tables(out) == tables(run(series_table(*NAMES), scans, tmp_path / "uninterrupted"))


@pytest.mark.parametrize("number", range(5))
def test_wherever_a_job_ends_the_next_one_ends_with_the_same(scans, tmp_path, monkeypatch, number):
    kill_at(monkeypatch, number)
    with pytest.raises(Killed):
        run(series_table(*NAMES), scans, tmp_path / "results")
    seen = kill_at(monkeypatch, None)
    out = run(series_table(*NAMES), scans, tmp_path / "results")
    assert seen == NAMES[number:]
    assert tables(out) == tables(run(series_table(*NAMES), scans, tmp_path / "uninterrupted"))
    assert hidden(tmp_path / "results") == []


def test_a_job_killed_before_its_tables_converts_nothing_again(scans, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_module, "write_table", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        run(series_table("good"), scans, tmp_path / "results")
    monkeypatch.undo()
    (tmp_path / "results" / "shard-0.h5").unlink()  # as Snakemake does before it runs the job again
    seen = kill_at(monkeypatch, None)
    run(series_table("good"), scans, tmp_path / "results")
    assert seen == []


def change_files(scans, folder):
    write_series(scans / "good", phantom((6, 16, 16), seed=9))
    return {}


def damage_parts(scans, folder):
    (part,) = folder.glob(".shard-0.h5.parts/*.bin")
    part.write_bytes(part.read_bytes()[:-200] + bytes(200))  # voxels lie at the end
    return {}


def lose_parts(scans, folder):
    (part,) = folder.glob(".shard-0.h5.parts/*.bin")
    part.unlink()
    return {}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda scans, folder: {}, []),
        (lambda scans, folder: {"code": "other"}, ["good", "gap"]),
        (lambda scans, folder: {"size_px": 4}, ["good", "gap"]),
        (change_files, ["good"]),
        (damage_parts, ["good"]),
        (lose_parts, ["good"]),
    ],
)
def test_parts_of_something_else_are_not_taken(scans, tmp_path, monkeypatch, change, again):
    folder = tmp_path / "results"
    kill_at(monkeypatch, 2)
    with pytest.raises(Killed):
        run(series_table("good", "gap", "twice"), scans, folder)
    arguments = change(scans, folder)
    seen = kill_at(monkeypatch, None)
    out = run(series_table("good", "gap", "twice"), scans, folder, **arguments)
    assert seen == [*again, "twice"]
    assert hidden(folder) == []
    assert tables(out) == tables(
        run(series_table("good", "gap", "twice"), scans, tmp_path / "fresh", **arguments)
    )


def test_parts_of_other_scans_are_swept(scans, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    kill_at(monkeypatch, 2)
    with pytest.raises(Killed):
        run(series_table("good", "twice", "gap"), scans, folder)
    kill_at(monkeypatch, 0)
    with pytest.raises(Killed):
        run(series_table("twice", "gap"), scans, folder)
    assert len(list(folder.glob(".shard-0.h5.parts/*"))) == 2  # voxels and rows of "twice"


def test_combining_removes_what_killed_jobs_left(scans, tmp_path, monkeypatch):
    shards = [run(series_table("good"), scans, tmp_path / "r", 0)]
    kill_at(monkeypatch, 1)
    with pytest.raises(Killed):
        run(series_table("twice", "gap"), scans, tmp_path / "r", 7)  # of a time with more shards
    assert hidden(tmp_path / "r") == [".shard-7.h5.parts"]
    combine(shards, tmp_path / "all", 0)
    assert hidden(tmp_path / "r") == []
