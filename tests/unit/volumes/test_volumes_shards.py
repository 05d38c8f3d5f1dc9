"""A shard holds what can be converted, its ledger says what became of the rest."""

import logging
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_files import phantom, write_series

from chestct.errors import InputError
from chestct.store import read_slices, read_volume
from chestct.tables import read_table
from chestct.volumes import shard as shard_module
from chestct.volumes.combine import combine_volumes
from chestct.volumes.convert import convert_one
from chestct.volumes.shard import convert_shard
from chestct.volumes.volume_file import write_volume_file

UID = "1.2.826.0.1.3680043.8.498.7.1"


@pytest.fixture
def root(tmp_path):
    """A flawless series, one with a gap, one with a duplicate, a volume file, a broken one."""
    root = tmp_path / "data"
    write_series(root / "good", phantom((6, 16, 16), seed=1))
    write_series(root / "gap", phantom((6, 16, 16), seed=2))
    (root / "gap" / "003.dcm").unlink()
    write_series(root / "twice", phantom((6, 16, 16), seed=3))
    (root / "twice" / "again.dcm").write_bytes((root / "twice" / "001.dcm").read_bytes())
    write_volume_file(root / "v.nii.gz", phantom((5, 8, 8), seed=4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    (root / "broken.nii.gz").write_bytes(b"not a volume")
    return root


def series_table(*paths, shard=0):
    return pd.DataFrame(
        {
            "dataset": "d",
            "patient_id": [f"p-{name}" for name in paths],
            "study_id": [f"s-{name}" for name in paths],
            "series_id": [f"r-{name}" for name in paths],
            "path": list(paths),
            "num_instances": 0,
            "num_bytes": 0,
            "shard": shard,
        }
    )


def outputs(folder, shard=0):
    return {
        "store_path": folder / f"shard-{shard}.h5",
        "index_path": folder / f"shard-{shard}.index.csv",
        "slices_path": folder / f"shard-{shard}.slices.parquet",
        "ledger_path": folder / f"shard-{shard}.ledger.csv",
    }


def obtained_table(series, **failures):
    """Table ``shard``: all were obtained but the studies named, with their reasons."""
    reasons = series["study_id"].map(failures).astype("string")
    return pd.DataFrame(
        {
            "series_id": series["series_id"],
            "status": reasons.isna().map({True: "obtained", False: "failed"}),
            "reason": reasons,
            "detail": reasons.where(reasons.isna(), "HTTP 404"),
        }
    )


def run(series, root, folder, shard=0, size_px=8, code="c", **failures):
    out = outputs(folder, shard)
    obtained = obtained_table(series, **failures)
    convert_shard(series, obtained=obtained, root=root, dataset="d", size_px=size_px, code_digest=code, **out)
    return out


def test_refused_scans_do_not_fail_their_shard(root, tmp_path):
    names = ["good", "gap", "twice", "v.nii.gz", "broken.nii.gz", str(root / "nowhere")]
    table = series_table(*names)
    table["study_id"] = [f"s{i}" for i in range(6)]
    out = run(table, root, tmp_path / "results")

    ledger = read_table(out["ledger_path"], "ledger").set_index("study_id")
    assert ledger["status"].tolist() == [
        "accepted", "refused", "repaired", "accepted", "refused", "refused"
    ]  # fmt: skip
    assert ledger["reason"].fillna("").tolist() == [
        "", "missing_slices", "dropped_duplicates", "", "unreadable_file", "missing_files"
    ]  # fmt: skip
    assert ledger["num_files"].tolist() == [6, 5, 7, 1, 1, 0]
    assert ledger["num_slices"].tolist() == [6, 5, 6, 5, 0, 0]
    assert "gap 5.000" in ledger["detail"]["s1"]

    index = read_table(out["index_path"], "index").set_index("study_id")
    assert index.index.tolist() == ["s0", "s2", "s3"]
    assert index["store"].unique().tolist() == [str(out["store_path"])]
    assert index.loc["s0", ["num_slices", "rows", "columns"]].tolist() == [6, 8, 8]
    assert index.loc["s0", ["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].tolist() == [2.5, 1.5, 1.5]
    for study_id, row in index.iterrows():
        volume = read_volume(out["store_path"], study_id)
        assert volume.sha256() == row["sha256"]
        assert (volume.patient_id, volume.series_id) == (row["patient_id"], row["series_id"])

    slices = read_table(out["slices_path"], "slices")
    assert slices["study_id"].value_counts().to_dict() == {"s0": 6, "s2": 6, "s3": 5}
    first = slices[slices["study_id"] == "s0"]
    assert first["slice_index"].tolist() == list(range(6))
    np.testing.assert_allclose(first["z_mm"], -300 + 2.5 * np.arange(6))
    assert first["sop_instance_uid"].notna().all()
    assert slices.loc[slices["study_id"] == "s3", "sop_instance_uid"].isna().all()


def test_stored_voxels_are_the_averages(root, tmp_path):
    out = run(series_table("good"), root, tmp_path / "results")
    exact = phantom((6, 16, 16), seed=1).reshape(6, 8, 2, 8, 2).mean((2, 4))
    assert np.abs(read_slices(out["store_path"], "s-good", 0, 6) - exact).max() <= 0.5


def test_shard_of_refused_scans_only_is_valid_and_empty(root, tmp_path):
    out = run(series_table("gap", "broken.nii.gz"), root, tmp_path / "results")
    assert len(read_table(out["index_path"], "index")) == 0
    assert len(read_table(out["slices_path"], "slices")) == 0
    assert len(read_table(out["ledger_path"], "ledger")) == 2
    with pytest.raises(InputError, match="expected: one of 0 scans"):
        read_slices(out["store_path"], "s-gap")


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
        voxels,
    ]


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_job_killed_by_the_system_goes_on_where_it_was(root, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_volumes_shards import *
class Patch:
    def setattr(self, *arguments): setattr(*arguments)
seen = kill_at(Patch(), 3)
shard_module.log.warning = lambda *arguments: len(seen) == 3 and os.kill(os.getpid(), signal.SIGKILL)
run(series_table(*NAMES), Path({str(root)!r}), Path({str(folder)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program])
    assert done.returncode == -signal.SIGKILL  # while the refusal of the third scan is written down
    assert hidden(folder) == [".shard-0.h5.parts"] == [path.name for path in folder.iterdir()]

    seen = kill_at(monkeypatch, None)
    out = run(series_table(*NAMES), root, folder)
    assert seen == ["gap", "v.nii.gz", "broken.nii.gz"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in out.values())
    assert tables(out) == tables(run(series_table(*NAMES), root, tmp_path / "uninterrupted"))


@pytest.mark.parametrize("number", range(5))
def test_wherever_a_job_ends_the_next_one_ends_with_the_same(root, tmp_path, monkeypatch, number):
    kill_at(monkeypatch, number)
    with pytest.raises(Killed):
        run(series_table(*NAMES), root, tmp_path / "results")
    seen = kill_at(monkeypatch, None)
    out = run(series_table(*NAMES), root, tmp_path / "results")
    assert seen == NAMES[number:]
    assert tables(out) == tables(run(series_table(*NAMES), root, tmp_path / "uninterrupted"))
    assert hidden(tmp_path / "results") == []


def test_a_job_killed_before_its_tables_converts_nothing_again(root, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_module, "write_table", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        run(series_table("good"), root, tmp_path / "results")
    monkeypatch.undo()
    (tmp_path / "results" / "shard-0.h5").unlink()  # as Snakemake does before it runs the job again
    seen = kill_at(monkeypatch, None)
    run(series_table("good"), root, tmp_path / "results")
    assert seen == []


def change_nothing(root, folder):
    return {}


def change_code(root, folder):
    return {"code": "other"}


def change_size(root, folder):
    return {"size_px": 4}


def change_files(root, folder):
    write_series(root / "good", phantom((6, 16, 16), seed=9))
    return {}


def damage_parts(root, folder):
    for part in folder.glob(".shard-0.h5.parts/*.bin"):
        content = part.read_bytes()
        part.write_bytes(content[:-200] + bytes(200))  # voxels lie at the end
    return {}


def lose_parts(root, folder):
    for part in folder.glob(".shard-0.h5.parts/*.bin"):
        part.unlink()
    return {}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (change_nothing, []),
        (change_code, ["good", "gap"]),
        (change_size, ["good", "gap"]),
        (change_files, ["good"]),
        (damage_parts, ["good"]),
        (lose_parts, ["good"]),
    ],
)
def test_parts_of_something_else_are_not_taken(root, tmp_path, monkeypatch, change, again):
    folder = tmp_path / "results"
    kill_at(monkeypatch, 2)
    with pytest.raises(Killed):
        run(series_table("good", "gap", "twice"), root, folder)
    arguments = change(root, folder)
    seen = kill_at(monkeypatch, None)
    out = run(series_table("good", "gap", "twice"), root, folder, **arguments)
    assert seen == [*again, "twice"]
    assert hidden(folder) == []
    assert tables(out) == tables(
        run(series_table("good", "gap", "twice"), root, tmp_path / "fresh", **arguments)
    )


def test_parts_of_other_scans_are_swept(root, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    kill_at(monkeypatch, 2)
    with pytest.raises(Killed):
        run(series_table("good", "twice", "gap"), root, folder)
    kill_at(monkeypatch, 0)
    with pytest.raises(Killed):
        run(series_table("twice", "gap"), root, folder)
    assert len(list(folder.glob(".shard-0.h5.parts/*"))) == 2  # voxels and rows of "twice"


def test_combining_removes_what_killed_jobs_left(root, tmp_path, monkeypatch):
    shards = [run(series_table("good"), root, tmp_path / "r", 0)]
    kill_at(monkeypatch, 1)
    with pytest.raises(Killed):
        run(series_table("twice", "gap"), root, tmp_path / "r", 7)  # of a time with more shards
    assert hidden(tmp_path / "r") == [".shard-7.h5.parts"]
    combine(shards, tmp_path / "all", 0)
    assert hidden(tmp_path / "r") == []


def test_an_unexpected_error_refuses_its_scan_alone_and_is_logged(root, tmp_path, monkeypatch, caplog):
    def convert(path, **arguments):
        if path.name == "twice":
            raise ZeroDivisionError("a mistake in the code")
        return convert_one(path, **arguments)

    monkeypatch.setattr(shard_module, "convert_one", convert)
    with caplog.at_level(logging.ERROR):
        out = run(series_table("good", "twice"), root, tmp_path / "r")
    ledger = read_table(out["ledger_path"], "ledger").set_index("study_id")
    assert ledger.loc["s-twice", ["status", "reason", "detail"]].tolist() == [
        "refused", "unexpected_error", "ZeroDivisionError: a mistake in the code"
    ]  # fmt: skip
    assert ledger.loc["s-good", "status"] == "accepted"
    assert "Traceback" in caplog.text and str(root / "twice") in caplog.text
    with pytest.raises(InputError, match="unexpected_error 1"):
        combine([out], tmp_path / "all", 49)


def test_running_out_of_memory_ends_the_job(root, tmp_path, monkeypatch):
    def convert(path, **arguments):
        raise MemoryError

    monkeypatch.setattr(shard_module, "convert_one", convert)
    with pytest.raises(MemoryError):
        run(series_table("good"), root, tmp_path / "r")


def test_a_disk_that_takes_no_more_is_one_message(root, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a shard cannot be written[\s\S]*make room"):
            run(series_table("good"), root, tmp_path / "r")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "r").glob("shard*"))
    assert run(series_table("good"), root, tmp_path / "r")["store_path"].is_file()


def test_same_input_gives_the_same_digests(root, tmp_path):
    tables = [
        read_table(run(series_table("good", "twice"), root, tmp_path / name)["index_path"], "index")
        for name in ("a", "b")
    ]
    assert tables[0]["sha256"].tolist() == tables[1]["sha256"].tolist()
    assert tables[0]["sha256"].nunique() == 2


@pytest.mark.parametrize("bad", [["s", "s"], ["a/b", "c"], [".", "c"]])
def test_identifiers_that_a_shard_cannot_hold(root, tmp_path, bad):
    table = series_table("good", "twice")
    table["study_id"] = bad
    with pytest.raises(InputError, match="study_id"):
        run(table, root, tmp_path / "results")


def test_series_identifier_must_match_where_it_is_a_uid(root):
    arguments = {"dataset": "d", "size_px": None, "patient_id": "p", "study_id": "s"}
    assert convert_one(root / "good", series_id=UID, **arguments).accepted
    assert convert_one(root / "good", series_id="volume.1", **arguments).accepted
    wrong = convert_one(root / "good", series_id=UID + ".2", **arguments)
    assert not wrong.accepted and wrong.ledger["reason"] == "wrong_series"


def test_fewer_files_than_announced(root):
    conversion = convert_one(root / "good", dataset="d", size_px=None, num_instances=8)
    assert conversion.ledger["reason"] == "fewer_files_than_expected"
    assert conversion.ledger["num_files"] == 6


def combine(shards, folder, max_refused_percent):
    out = {f"{name}_path": folder / name for name in ("index", "slices", "ledger")}
    out = {key: path.with_suffix(".parquet" if "slices" in key else ".csv") for key, path in out.items()}
    combine_volumes(
        dataset="d",
        index_paths=[shard["index_path"] for shard in shards],
        slices_paths=[shard["slices_path"] for shard in shards],
        ledger_paths=[shard["ledger_path"] for shard in shards],
        max_refused_percent=max_refused_percent,
        **out,
    )
    return out


def test_combined_tables_hold_every_shard_in_order(root, tmp_path):
    shards = [
        run(series_table("twice", "gap"), root, tmp_path / "r", 0),
        run(series_table("broken.nii.gz"), root, tmp_path / "r", 1),
        run(series_table("good", "v.nii.gz"), root, tmp_path / "r", 2),
    ]
    out = combine(shards, tmp_path / "all", 40)
    assert read_table(out["index_path"], "index")["study_id"].tolist() == ["s-twice", "s-good", "s-v.nii.gz"]
    assert len(read_table(out["ledger_path"], "ledger")) == 5
    slices = read_table(out["slices_path"], "slices")
    assert slices["study_id"].unique().tolist() == ["s-twice", "s-good", "s-v.nii.gz"]


def test_too_many_refused_scans_stop_the_study_with_a_summary(root, tmp_path):
    shards = [run(series_table("good", "gap", "broken.nii.gz"), root, tmp_path / "r")]
    with pytest.raises(InputError, match="2 of 3 scans of dataset 'd' were refused") as caught:
        combine(shards, tmp_path / "all", 66)
    assert "missing_slices 1" in str(caught.value) and "unreadable_file 1" in str(caught.value)
    assert not (tmp_path / "all").exists()
    combine(shards, tmp_path / "all", 67)


def test_nothing_converted_stops_the_study_whatever_the_share(root, tmp_path):
    shards = [run(series_table("gap"), root, tmp_path / "r")]
    with pytest.raises(InputError, match="at least one scan converted"):
        combine(shards, tmp_path / "all", 100)


def test_scan_in_two_shards_is_found(root, tmp_path):
    shards = [run(series_table("good"), root, tmp_path / "r", shard) for shard in (0, 1)]
    with pytest.raises(InputError, match="scans in two shards"):
        combine(shards, tmp_path / "all", 0)


def test_a_series_that_could_not_be_had_is_in_the_ledger(root, tmp_path):
    out = run(series_table("good", "v.nii.gz"), root, tmp_path, **{"s-v.nii.gz": "not_found"})
    ledger = read_table(out["ledger_path"], "ledger").set_index("study_id")
    assert ledger["status"].to_dict() == {"s-good": "accepted", "s-v.nii.gz": "refused"}
    assert ledger.loc["s-v.nii.gz", ["reason", "detail"]].tolist() == ["not_obtained", "not_found, HTTP 404"]
    assert read_table(out["index_path"], "index")["study_id"].tolist() == ["s-good"]
