"""A shard holds what can be converted, its ledger says what became of the rest."""

import logging
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_files import phantom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_jobs import COPY_UID, UID, combine, run, series_table

from chestct import obtained_files
from chestct.errors import InputError
from chestct.obtained_files import content_digest, is_altered, state_of
from chestct.subsets.windows import positive_slices
from chestct.tables import read_table
from chestct.volume_store import read_slices, read_volume
from chestct.volumes import convert_shard as shard_module
from chestct.volumes.convert_scan import convert_one


def test_refused_scans_do_not_fail_their_shard(scans, tmp_path):
    names = ["good", "gap", "twice", "v.nii.gz", "broken.nii.gz", str(scans / "nowhere")]
    table = series_table(*names)
    table["study_id"] = [f"s{i}" for i in range(6)]
    out = run(table, scans, tmp_path / "results")

    ledger = read_table(out["ledger_path"], "ledger").set_index("study_id")
    assert ledger["status"].tolist() == [
        "accepted", "refused", "repaired", "accepted", "refused", "refused"
    ]  # fmt: skip
    assert ledger["reason"].fillna("").tolist() == [
        "", "missing_slices", "dropped_duplicates", "", "unreadable_file", "missing_files"
    ]  # fmt: skip
    assert ledger["num_files"].tolist() == [6, 5, 8, 1, 1, 0]
    assert ledger["num_slices"].tolist() == [6, 5, 6, 5, 0, 0]
    assert "gap 5.000" in ledger["detail"]["s1"]

    index = read_table(out["index_path"], "index").set_index("study_id")
    assert index.index.tolist() == ["s0", "s2", "s3"]
    assert index["store"].unique().tolist() == [str(out["store_path"])]
    assert index.loc["s0", ["num_slices", "rows", "columns"]].tolist() == [6, 8, 8]
    assert index.loc["s0", ["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].tolist() == [2.5, 1.5, 1.5]
    for study_id, row in index.iterrows():
        volume = read_volume(out["store_path"], study_id)
        assert volume.sha256 == row["sha256"]
        assert (volume.patient_id, volume.series_id) == (row["patient_id"], row["series_id"])
    exact = phantom((6, 16, 16), seed=1).reshape(6, 8, 2, 8, 2).mean((2, 4))
    assert np.abs(read_slices(out["store_path"], "s0") - exact).max() <= 0.5

    slices = read_table(out["slices_path"], "slices")
    assert slices["study_id"].value_counts().to_dict() == {"s0": 6, "s2": 7, "s3": 5}
    first = slices[slices["study_id"] == "s0"]
    assert first["slice_index"].tolist() == list(range(6))
    np.testing.assert_allclose(first["z_mm"], -300 + 2.5 * np.arange(6))
    assert first["sop_instance_uid"].notna().all()
    assert slices.loc[slices["study_id"] == "s3", "sop_instance_uid"].isna().all()


def test_a_copy_with_its_own_identifier_has_the_row_of_the_slice_that_stayed(scans, tmp_path):
    out = run(series_table("twice"), scans, tmp_path / "r")
    slices = read_table(out["slices_path"], "slices")
    assert slices["slice_index"].tolist() == [0, 1, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(slices["z_mm"], -300 + 2.5 * slices["slice_index"].to_numpy(dtype=float))
    stayed, copy = slices.loc[slices["slice_index"] == 1, "sop_instance_uid"]
    assert copy == COPY_UID != stayed
    assert slices["sop_instance_uid"].is_unique
    assert read_table(out["index_path"], "index")["num_slices"].tolist() == [6]
    # What readers marked on the copy counts for the slice.
    for marked in (stayed, copy):
        mark = {"study_id": ["s-twice"], "sop_instance_uid": [marked], "z_mm": [None], "num_readers": [1]}
        assert positive_slices(slices, pd.DataFrame(mark), min_readers=1)["s-twice"].tolist() == [1]


def test_shard_of_refused_scans_only_is_valid_and_empty(scans, tmp_path):
    out = run(series_table("gap", "broken.nii.gz"), scans, tmp_path / "results")
    assert len(read_table(out["index_path"], "index")) == 0
    assert len(read_table(out["slices_path"], "slices")) == 0
    assert len(read_table(out["ledger_path"], "ledger")) == 2
    with pytest.raises(InputError, match="expected: one of 0 scans"):
        read_slices(out["store_path"], "s-gap")


def test_an_unexpected_error_refuses_its_scan_alone_and_is_logged(scans, tmp_path, monkeypatch, caplog):
    def convert(path, **arguments):
        if path.name == "twice":
            raise ZeroDivisionError("a mistake in the code")
        return convert_one(path, **arguments)

    monkeypatch.setattr(shard_module, "convert_one", convert)
    with caplog.at_level(logging.ERROR):
        out = run(series_table("good", "twice"), scans, tmp_path / "r")
    ledger = read_table(out["ledger_path"], "ledger").set_index("study_id")
    assert ledger.loc["s-twice", ["status", "reason", "detail"]].tolist() == [
        "refused", "unexpected_error", "ZeroDivisionError: a mistake in the code"
    ]  # fmt: skip
    assert ledger.loc["s-good", "status"] == "accepted"
    assert "Traceback" in caplog.text and "scan 2 of 2 in the shard" in caplog.text
    assert str(scans) not in caplog.text
    with pytest.raises(InputError, match="unexpected_error 1"):
        combine([out], tmp_path / "all", 49)


def test_running_out_of_memory_ends_the_job(scans, tmp_path, monkeypatch):
    def convert(path, **arguments):
        raise MemoryError

    monkeypatch.setattr(shard_module, "convert_one", convert)
    with pytest.raises(MemoryError):
        run(series_table("good"), scans, tmp_path / "r")


def test_a_disk_that_takes_no_more_is_one_message(scans, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a shard cannot be written[\s\S]*make room"):
            run(series_table("good"), scans, tmp_path / "r")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "r").glob("shard*"))
    assert run(series_table("good"), scans, tmp_path / "r")["store_path"].is_file()


@pytest.mark.parametrize("name", ["1.2.826.0.1.3680043.8.498.7", "S" * 300, "caf\u00e9", "NA", "..", "=1+1"])
def test_identifiers_of_any_form(scans, tmp_path, name):
    table = series_table("good").assign(study_id=name, series_id=name)
    out = run(table, scans, tmp_path / "results")
    assert read_table(out["ledger_path"], "ledger")["status"].tolist() == ["accepted"]
    assert read_volume(out["store_path"], name).study_id == name


@pytest.mark.parametrize(
    "bad", [["s", "s"], ["a/b", "c"], [".", "c"], ["", "c"], ["a\0b", "c"], ["a\nb", "c"], ["x" * 2000, "c"]]
)
def test_identifiers_that_a_shard_cannot_hold(scans, tmp_path, bad):
    table = series_table("good", "twice")
    table["study_id"] = bad
    with pytest.raises(InputError, match="study_id"):
        run(table, scans, tmp_path / "results")


def test_series_identifier_must_match_where_it_is_a_uid(scans):
    arguments = {"dataset": "d", "size_px": None, "patient_id": "p", "study_id": "s"}
    for series_id in (UID, "volume.1"):
        assert convert_one(scans / "good", series_id=series_id, **arguments)[1] is not None
    ledger, scan = convert_one(scans / "good", series_id=UID + ".2", **arguments)
    assert scan is None and ledger["reason"] == "wrong_series"


def test_a_series_that_could_not_be_obtained_is_in_the_ledger(scans, tmp_path):
    out = run(series_table("good", "v.nii.gz"), scans, tmp_path, **{"s-v.nii.gz": "not_found"})
    ledger = read_table(out["ledger_path"], "ledger").set_index("study_id")
    assert ledger["status"].to_dict() == {"s-good": "accepted", "s-v.nii.gz": "refused"}
    assert ledger.loc["s-v.nii.gz", ["reason", "detail"]].tolist() == ["not_obtained", "not_found, HTTP 404"]
    assert read_table(out["index_path"], "index")["study_id"].tolist() == ["s-good"]


def wait_for_another_time(folder: Path) -> None:
    """Until what is written has another time than what lies there: some file systems tell 10 ms apart."""
    newest, probe = max(path.stat().st_ctime_ns for path in folder.rglob("*")), folder.with_name("probe")
    probe.touch()
    while probe.stat().st_ctime_ns <= newest:
        time.sleep(0.001)
        probe.touch()


@given(st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_flipped_bit_between_download_and_conversion_is_a_refusal(scans, tmp_path, draw):
    """Bits of pixels, headers and preambles, of DICOM and of volume files, sizes and times as they were."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as name:
        raw = Path(name) / "raw"
        raw.mkdir()
        shutil.copytree(scans / "good", raw / "good")
        shutil.copy(scans / "v.nii.gz", raw)
        table = series_table("good", "v.nii.gz")
        digests = [content_digest(raw / path) for path in table["path"]]
        states = {f"r-{path}": state_of(raw / path).exact for path in table["path"]}
        wait_for_another_time(raw)
        files = sorted(path for path in raw.rglob("*") if path.is_file())
        path = draw.draw(st.sampled_from(files))
        content, state = bytearray(path.read_bytes()), path.stat()
        content[draw.draw(st.integers(0, len(content) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        out = run(
            table, raw, Path(name) / "out", sha256=digests, states=draw.draw(st.sampled_from([states, None]))
        )
        ledger = read_table(out["ledger_path"], "ledger")
        hit = "v.nii.gz" if path.name == "v.nii.gz" else "good"
        assert ledger["status"].eq("refused").tolist() == [p == hit for p in table["path"]]
        assert ledger.loc[ledger["status"] == "refused", "reason"].tolist() == ["altered"]
        assert "--forcerun download_series" in ledger["detail"].dropna().iloc[0]


def test_what_was_obtained_is_converted_and_read_once(scans, tmp_path, monkeypatch):
    shutil.copytree(scans / "good", tmp_path / "raw" / "good")
    table = series_table("good")
    folder = tmp_path / "raw" / "good"
    digest, state = content_digest(folder), state_of(folder).exact
    assert (
        is_altered(folder, "another")
        and not is_altered(folder, digest)
        and not is_altered(folder, "?", state)
    )
    shutil.copytree(tmp_path / "raw", tmp_path / "copied")  # with other times
    assert state_of(tmp_path / "copied" / "good").exact != state
    for number, root in enumerate(("raw", "copied")):
        out = run(table, tmp_path / root, tmp_path / str(number), sha256=[digest], states={"r-good": state})
        assert len(read_table(out["index_path"], "index")) == 1
    monkeypatch.setattr(obtained_files, "content_digest", None)
    run(table, tmp_path / "raw", tmp_path / "once", sha256=[digest], states={"r-good": state})
