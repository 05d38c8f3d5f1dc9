"""All scans below a folder: found wherever they lie, converted once, refused with a reason."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import phantom, write_series
from pydicom.uid import generate_uid

from chestct.errors import InputError
from chestct.tables import read_table
from chestct.volumes import convert_folder as module
from chestct.volumes.__main__ import main
from chestct.volumes.convert_folder import TABLE
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.find_scans import find_scans
from chestct.volumes.volume_file import write_volume_file

SHAPE = (4, 8, 8)


def of_series(uid: str):
    """Gives a slice the SeriesInstanceUID, and identifiers of its own."""

    def edit(number: int, dataset) -> None:
        dataset.SeriesInstanceUID = uid
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[uid, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

    return edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two series in folders, one with a gap; two in one folder; one spread over two; a volume file."""
    root = tmp_path / "scans"
    uids = [generate_uid(entropy_srcs=[str(n)]) for n in range(5)]
    write_series(root / "p1" / "plain", phantom(SHAPE, seed=0), edit=of_series(uids[0]))
    write_series(root / "p1" / "gap", phantom((6, 8, 8), seed=1), edit=of_series(uids[1]))
    (root / "p1" / "gap" / "003.dcm").unlink()
    for n in (2, 3):
        write_series(root / "two" / f"{n}", phantom(SHAPE, seed=n), edit=of_series(uids[n]))
        for path in sorted((root / "two" / f"{n}").iterdir()):
            path.rename(root / "two" / f"{n}_{path.name}")
        (root / "two" / f"{n}").rmdir()
    write_series(root / "disc" / "A", phantom(SHAPE, seed=4), edit=of_series(uids[4]))
    (root / "disc" / "B").mkdir()
    for name in ("000.dcm", "002.dcm"):
        (root / "disc" / "A" / name).rename(root / "disc" / "B" / name)
    write_volume_file(root / "p2.nii.gz", phantom(SHAPE, seed=6), (2.5, 1.0, 1.0), (0.0, 0.0, 0.0))
    (root / "notes.txt").write_text("nothing to convert")
    return root


def names_of(root: Path) -> set[str]:
    return {f"two/{generate_uid(entropy_srcs=[str(n)])}" for n in (2, 3)}


def table_of(out: Path) -> pd.DataFrame:
    return read_table(out / TABLE, "conversions").set_index("scan")


def test_every_scan_is_found_once(root, tmp_path):
    found = {scan.name: scan for scan in find_scans(root, leave_out=tmp_path / "out")}
    assert set(found) == {"p1/plain", "p1/gap", "disc", "p2"} | names_of(root)
    assert found["disc"].path == root / "disc" and found["p2"].path == root / "p2.nii.gz"
    # A copy of a series is another scan; a link to a folder is none.
    shutil.copytree(root / "p1" / "plain", root / "p3" / "copy")
    (root / "p4").symlink_to(root / "p1")
    assert {scan.name for scan in find_scans(root, leave_out=tmp_path / "out")} == set(found) | {"p3/copy"}
    # Of scans of one name the volume file keeps its suffix.
    shutil.copyfile(root / "p2.nii.gz", root / "disc.nii.gz")
    assert {"disc", "disc.nii.gz"} < {scan.name for scan in find_scans(root, leave_out=tmp_path / "out")}
    # Beside another series below the same folder, the one that is spread is named.
    shutil.copytree(root / "p1" / "gap", root / "disc" / "C")
    names = [scan.name for scan in find_scans(root / "disc", leave_out=tmp_path / "out")]
    assert names == ["C", f"disc/{generate_uid(entropy_srcs=['4'])}"]
    # A folder's own scan, and that of a folder in it that is called alike.
    shutil.copytree(root / "p1" / "plain", root / "p1" / "plain" / "plain")
    assert [scan.name for scan in find_scans(root / "p1" / "plain", leave_out=tmp_path / "out")] == [
        "plain",
        "plain_2",
    ]


def test_a_folder_is_converted_by_the_code_of_the_rule_and_once(root, tmp_path, capsys, monkeypatch):
    out = root / "converted"  # below what is searched: it is no scan
    assert main(["convert", str(root), str(out)]) == 0
    said = capsys.readouterr()
    assert "refused    p1/gap  missing_slices:" in said.out and said.out.count("converted  ") == 5
    assert "6 scans found, 0 of them done before" in said.err
    assert "5 of 6 scans converted, 1 refused" in said.err
    table = table_of(out)
    assert table["volume"].dropna().to_dict() == {
        name: f"{name}.nii.gz" for name in ({"p1/plain", "disc", "p2"} | names_of(root))
    }
    _, scan = convert_one(root / "disc", dataset="d", size_px=None)
    image = sitk.ReadImage(str(out / "disc.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), scan.hu)
    assert (out / TABLE).stat().st_mode & 0o007 == 0  # it names patients

    # Nothing is converted again but what is new, lost or changed.
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    (out / "disc.nii.gz").unlink()
    write_series(root / "p5", phantom(SHAPE, seed=9), edit=of_series(generate_uid()))
    os.utime(root / "p1" / "gap" / "001.dcm", (1, 1))
    assert main(["convert", str(root), str(out)]) == 0
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines()] == ["disc", "p1/gap", "p5"]
    assert "7 scans found, 4 of them done before" in said.err
    assert all(path.stat().st_mtime_ns == then for path, then in times.items() if path.name != "disc.nii.gz")
    # Other settings make other volumes.
    assert main(["convert", str(root), str(out), "--accept", "missing_slices"]) == 0
    assert table_of(out).loc["p1/gap", "reason"] == "accepted_by_hand"


def test_a_stopped_call_keeps_what_it_has(root, tmp_path, capsys, monkeypatch):
    out, done = tmp_path / "out", []
    convert_found = module.convert_found

    def stop(scan, *arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(scan.name)
        return convert_found(scan, *arguments)

    monkeypatch.setattr(module, "convert_found", stop)
    assert main(["convert", str(root), str(out)]) == 130
    assert sorted(table_of(out).index) == sorted(done)
    monkeypatch.undo()
    assert main(["convert", str(root), str(out)]) == 0
    assert "2 of them done before" in capsys.readouterr().err


def test_an_unexpected_error_is_told_and_the_others_go_on(root, tmp_path, capsys, monkeypatch):
    def fail(path, **settings):
        if path.name == "plain":
            raise ZeroDivisionError("odd")
        return convert_one(path, **settings)

    monkeypatch.setattr(module, "convert_one", fail)
    assert main(["convert", str(root), str(tmp_path / "out")]) == 0
    row = table_of(tmp_path / "out").loc["p1/plain"]
    assert (row["status"], row["reason"], row["detail"]) == (
        "refused",
        "unexpected_error",
        "ZeroDivisionError: odd",
    )


@pytest.mark.parametrize("case", ["other files", "itself", "no folder", "no scan", "another root"])
def test_what_cannot_be_meant_is_refused(root, tmp_path, capsys, case):
    out, source = tmp_path / "out", root
    if case == "other files":
        out.mkdir()
        (out / "mine.nii.gz").write_bytes(b"a user's own")
    elif case == "itself":
        out = root
    elif case == "no folder":
        source = root / "p2.nii.gz"
    elif case == "no scan":
        source = tmp_path / "empty"
        source.mkdir()
    else:
        assert main(["convert", str(root / "p1"), str(out)]) == 0
        source = root / "disc"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["convert", str(source), str(out)]) == 1
    assert "remedy: " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(InputError):
        module.convert_folder(
            source, out, module.Settings(size_px=None, intensity="hu", accept=(), suffix=".nii")
        )


def test_a_folder_of_several_series_says_how_all_are_converted(root, tmp_path, capsys):
    main(["convert", str(root / "two"), str(tmp_path / "one.nii.gz")])
    assert "convert SCAN OUT_FOLDER" in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_give_the_same(root, tmp_path, capsys):
    assert main(["convert", str(root), str(tmp_path / "one"), "--suffix", ".nii"]) == 0
    assert main(["convert", str(root), str(tmp_path / "two"), "--suffix", ".nii", "--processes", "2"]) == 0
    pd.testing.assert_frame_equal(table_of(tmp_path / "one"), table_of(tmp_path / "two"))
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.nii")} for name in ("one", "two"))
    assert one == two and len(one) == 5
