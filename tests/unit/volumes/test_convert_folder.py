"""All scans below a folder: found wherever they lie, converted once, refused with a reason."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import phantom, write_series
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from chestct import dicom_folder
from chestct.dicom_folder import list_folder
from chestct.errors import InputError
from chestct.tables import read_table
from chestct.volumes import convert_folder as module
from chestct.volumes import convert_scan, dicom_series
from chestct.volumes import find_scans as find_module
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


def test_a_damaged_file_and_a_bomb_stop_no_search(root, tmp_path, capsys):
    """The parser unpacks a deflated file whole, and fails in its own way where that is damaged."""
    path = root / "p1" / "plain" / "001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    content = path.read_bytes()
    path.write_bytes(content[:-200] + bytes(200))
    assert main(["convert", str(root / "p1"), str(tmp_path / "out")]) == 1
    assert "refused    plain  unreadable_file" in capsys.readouterr().out


def test_a_series_among_others_is_read_alone(root, tmp_path, capsys, monkeypatch):
    """Of a folder with many series every file would be read as often as there are series."""
    read = []
    read_files = dicom_series.read_files

    def count(paths, *arguments):
        read.extend(paths)
        return read_files(paths, *arguments)

    monkeypatch.setattr(dicom_series, "read_files", count)
    assert main(["convert", str(root / "two"), str(tmp_path / "out")]) == 0
    assert len(read) == len(set(read)) == 8
    by_name = table_of(tmp_path / "out")
    for name in names_of(root):
        uid = name.partition("/")[2]
        row, _ = convert_one(root / "two", dataset="command_line", size_px=None, series_id=uid)
        own = by_name.loc[name]
        own = own.astype(object).where(own.notna(), None).to_dict()
        assert {key: row[key] for key in ("detail", "num_files", "num_slices", "series_id", "status")} == {
            key: own[key] for key in ("detail", "num_files", "num_slices", "series_id", "status")
        }
        assert "4 file(s) of other series" in row["detail"]


def test_parts_of_a_series_that_are_not_read_as_one_say_so(root, tmp_path, capsys):
    (root / "disc" / "A" / "B").mkdir()
    for path in (root / "disc" / "B").iterdir():
        path.rename(root / "disc" / "A" / "B" / path.name)
    assert main(["convert", str(root / "disc" / "A"), str(tmp_path / "out")]) == 0
    rows = table_of(tmp_path / "out")
    assert sorted(rows.index) == ["A", "B"]
    assert rows["detail"].str.contains("2 more image.s. of the series lie in other folders").all()
    assert capsys.readouterr().out.count("lie in other folders") == 2


def test_a_series_below_a_folder_of_very_many_is_not_cut_silently(root, tmp_path, monkeypatch):
    monkeypatch.setattr(find_module, "MAX_FOLDERS", 2)
    found = {scan.name: scan for scan in find_scans(root / "disc", leave_out=tmp_path / "out")}
    assert {name: scan.num_elsewhere for name, scan in found.items()} == {"A": 2, "B": 2}


def test_a_refused_scan_leaves_no_volume_of_an_earlier_call(root, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", str(root / "p1"), str(out)]) == 0
    assert (out / "plain.nii.gz").is_file()
    (root / "p1" / "plain" / "001.dcm").unlink()
    assert main(["convert", str(root / "p1"), str(out)]) == 1
    assert not (out / "plain.nii.gz").exists()


def test_what_a_disk_or_a_right_refused_is_tried_again(root, tmp_path, capsys, monkeypatch):
    def fail(path, **settings):
        raise PermissionError(13, "Permission denied")

    out = tmp_path / "out"
    monkeypatch.setattr(convert_scan, "read_dicom_series", fail)
    assert main(["convert", str(root / "p1"), str(out)]) == 1
    monkeypatch.undo()
    assert main(["convert", str(root / "p1"), str(out)]) == 0
    assert set(table_of(out)["reason"].dropna()) == {"missing_slices"}


def test_what_may_not_be_read_or_is_not_there_stops_no_other_scan(root, tmp_path, capsys, monkeypatch):
    def listed(folder, unreadable=None):
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied")
        return list_folder(folder, unreadable)

    def opened(path, length):
        if path.name in ("secret.xyz", "secret.nii.gz"):
            raise PermissionError(13, "Permission denied")
        return starts(path, length)

    starts = dicom_folder._starts
    for name in ("locked/1.dcm", "closed/secret.xyz", "secret.nii.gz"):
        (root / "p1" / name).parent.mkdir(exist_ok=True)
        (root / "p1" / name).write_bytes(b"x")
    (root / "p1" / "annex").mkdir()
    for name in ("gone.nii.gz", "annex/1.dcm", "notes.txt"):
        (root / "p1" / name).symlink_to("nothing")
    for target in (dicom_folder, find_module):
        monkeypatch.setattr(target, "list_folder", listed)
    monkeypatch.setattr(dicom_folder, "_starts", opened)
    assert main(["convert", str(root / "p1"), str(tmp_path / "out")]) == 0
    rows = table_of(tmp_path / "out")
    lost = rows[rows["reason"] == "missing_files"]
    assert sorted(lost.index) == ["annex", "closed", "gone", "locked", "secret"]
    assert (rows["status"] != "refused").any() and capsys.readouterr().err.count(
        "remedy for missing_files"
    ) == 1


def test_a_call_that_is_killed_leaves_a_folder_that_the_next_one_takes(root, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def die(scan, out, settings):
        (out / ".half-written.nii.gz").write_bytes(b"")
        os._exit(9)

    monkeypatch.setattr(module, "convert_found", die)
    if not (child := os.fork()):
        main(["convert", str(root), str(out)])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()
    assert main(["convert", str(root), str(out)]) == 0


def test_names_that_are_no_utf_8_are_told_with_a_mark_in_their_place(root, tmp_path, capsys):
    (root / "p1").rename(os.fsdecode(os.fsencode(root) + b"/M\xfcller"))
    for _ in range(2):
        assert main(["convert", str(root), str(tmp_path / "out")]) == 0
    assert "6 scans found, 6 of them done before" in capsys.readouterr().err
    assert (tmp_path / "out" / "M\ufffdller" / "plain.nii.gz").is_file()


def test_a_scan_is_not_written_over_itself_and_the_working_directory_has_a_name(
    root, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(root)
    before = (root / "p2.nii.gz").read_bytes()
    assert main(["convert", str(root / "p2.nii.gz"), "p2.nii.gz"]) == 1
    assert "the scan itself" in capsys.readouterr().err and (root / "p2.nii.gz").read_bytes() == before
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["convert", ".", str(tmp_path / "v.nii")]) == 1
    assert "command_line,empty,empty,empty,refused,no_dicom_files" in capsys.readouterr().out


@pytest.mark.slow
def test_a_process_that_cannot_write_is_one_message(root, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["convert", str(root / "two"), str(tmp_path / "out")]) == 0
    for path in (tmp_path / "out" / "two").iterdir():
        path.unlink()
    (tmp_path / "out" / "two").rmdir()
    (tmp_path / "out" / "two").write_text("in the way")
    capsys.readouterr()
    assert main(["convert", str(root / "two"), str(tmp_path / "out"), "--processes", "2"]) == 1
    assert "ERROR: a file cannot be written" in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_give_the_same(root, tmp_path, capsys):
    assert main(["convert", str(root), str(tmp_path / "one"), "--suffix", ".nii"]) == 0
    assert main(["convert", str(root), str(tmp_path / "two"), "--suffix", ".nii", "--processes", "2"]) == 0
    pd.testing.assert_frame_equal(table_of(tmp_path / "one"), table_of(tmp_path / "two"))
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.nii")} for name in ("one", "two"))
    assert one == two and len(one) == 5
