"""python -m chestct.volumes: same code as the rule, plain exit states."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import phantom, setting, write_series
from shard_jobs import run, series_table

from chestct.volume_store import Volume, check_shard, write_shard
from chestct.volumes.__main__ import main
from chestct.volumes.convert_scan import convert_one


def printed_row(text):
    table = pd.read_csv(io.StringIO(text))
    assert len(table) == 1
    return table.iloc[0]


@pytest.fixture
def shard(tmp_path, hu):
    """A shard of two scans."""
    path = tmp_path / "shard.h5"
    volumes = [
        Volume(
            patient_id="Anna Example",
            study_id=study_id,
            series_id="r",
            hu=hu,
            spacing_mm=(2.5, 0.75, 0.75),
            z_mm=-300 + 2.5 * np.arange(6),
        )
        for study_id in ("s", "t")
    ]
    write_shard(path, volumes)
    return path


def test_convert_writes_the_volume_and_prints_its_ledger_row(series, hu, tmp_path, capsys):
    out = tmp_path / "out" / "scan.nii.gz"
    assert main(["convert", str(series), str(out)]) == 0
    row = printed_row(capsys.readouterr().out)
    assert (row["status"], row["num_files"], row["num_slices"]) == ("accepted", 6, 6)
    assert row["patient_id"] == "patient-007"
    image = sitk.ReadImage(str(out))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    assert image.GetSpacing() == pytest.approx((0.75, 0.75, 2.5))
    assert image.GetOrigin() == pytest.approx((-100, -80, -300))
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel())


def test_convert_takes_what_the_user_accepts(series, hu, tmp_path, capsys):
    (series / "003.dcm").unlink()
    out = tmp_path / "scan.nii.gz"
    assert main(["convert", str(series), str(out)]) == 1
    capsys.readouterr()
    assert main(["convert", str(series), str(out), "--accept", "missing_slices"]) == 0
    assert printed_row(capsys.readouterr().out)["reason"] == "accepted_by_hand"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(out))), np.delete(hu, 3, axis=0))


def test_convert_uses_the_code_of_the_rule(tmp_path, capsys):
    series = write_series(tmp_path / "s", phantom((4, 16, 16)), orientation=(1, 0, 0, 0, -1, 0))
    out = tmp_path / "scan.nrrd"
    assert main(["convert", str(series), str(out), "--size", "8"]) == 0
    _, scan = convert_one(series, dataset="d", size_px=8)
    image = sitk.ReadImage(str(out))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), scan.hu)
    assert image.GetSpacing()[::-1] == pytest.approx(scan.spacing_mm)
    # The corner of the field of view stays where it was: y ran from -80 downwards in y.
    assert image.GetOrigin()[1] - 0.75 == pytest.approx(-80 - 15.5 * 0.75)


def test_refused_series_exits_with_1_its_row_and_its_reason(series, tmp_path):
    (series / "003.dcm").unlink()
    out = tmp_path / "scan.nii.gz"
    result = subprocess.run(
        [sys.executable, "-m", "chestct.volumes", "convert", str(series), str(out)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    row = printed_row(result.stdout)
    assert (row["status"], row["reason"]) == ("refused", "missing_slices")
    assert result.stderr.startswith("refused: missing_slices: 1 at a spacing of 2.500 mm")
    assert "Traceback" not in result.stderr
    assert not out.exists()


def test_volume_that_does_not_open(tmp_path, capsys):
    (tmp_path / "in.nii.gz").write_bytes(b"not a volume")
    assert main(["convert", str(tmp_path / "in.nii.gz"), str(tmp_path / "out.nii.gz")]) == 1
    assert "refused: unreadable_file: damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["convert", "series"],
        ["convert", "series", "out.txt"],
        ["convert", "series", "out.nii.gz", "--size", "big"],
        ["convert", "series", "out.nii.gz", "--size", "0"],
        ["export", "shard.h5", "study"],
        ["sheet", "series", "out.jpg"],
        ["sheet", "series", "out.png", "--window", "lungs"],
        ["sheet", "series", "out.png", "--window=-600,0"],
        ["sheet", "series", "out.png", "--slices", "0"],
        ["check"],
    ],
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_output_that_cannot_be_written(series, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["convert", str(series), str(tmp_path / "file" / "out.nii.gz")]) == 1
    assert capsys.readouterr().err.startswith("ERROR: ")


def test_export(shard, hu, tmp_path, capsys):
    assert main(["export", str(shard), "s", str(tmp_path / "s.nii.gz")]) == 0
    image = sitk.ReadImage(str(tmp_path / "s.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    assert image.GetSpacing() == pytest.approx((0.75, 0.75, 2.5))
    assert image.GetOrigin() == pytest.approx((0, 0, -300))
    assert main(["export", str(shard), "other", str(tmp_path / "o.nii.gz")]) == 1
    assert "scan other is not in its shard" in capsys.readouterr().err
    assert not (tmp_path / "o.nii.gz").exists()


def test_sheets_of_a_shard_and_of_its_series_are_the_same(shard, series, tmp_path):
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    assert main(["sheet", str(shard), str(pictures[0]), "--study-id", "t"]) == 0
    assert main(["sheet", str(series), str(pictures[1]), "--window=-600,1500"]) == 0
    a, b = (sitk.GetArrayFromImage(sitk.ReadImage(str(picture))) for picture in pictures)
    np.testing.assert_array_equal(a, b)
    assert a.shape[1] == 1000 and a.dtype == np.uint8


def test_sheet_of_several_scans_asks_which(shard, tmp_path, capsys):
    assert main(["sheet", str(shard), str(tmp_path / "a.png")]) == 1
    assert "name one, such as --study-id s" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_a_wrong_scan_is_told_with_near_ones_and_nothing_against_the_shard(shard, tmp_path, capsys):
    content = shard.read_bytes()
    for command in (
        ["sheet", str(shard), str(tmp_path / "a.png"), "--study-id", "S"],
        ["export", str(shard), "S", str(tmp_path / "a.nii.gz")],
        ["sheet", str(shard), str(tmp_path / "a.png"), "--study-id", ""],
    ):
        assert main(command) == 1
        words = capsys.readouterr().err
        assert "is not in its shard" in words and "one of 2 scans: s, t" in words
        assert ("did you mean s?" in words) == ("S" in command)
        for advice in ("delete", "remove", "--forcerun", "damaged"):
            assert advice not in words
    assert shard.read_bytes() == content and not list(tmp_path.glob("a.*"))


def test_sheet_of_a_refused_series_says_why(series, tmp_path, capsys):
    (series / "003.dcm").unlink()
    assert main(["sheet", str(series), str(tmp_path / "a.png")]) == 1
    assert "refused: missing_slices" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_check_names_the_damaged_scan(shard, tmp_path, capsys):
    assert main(["check", str(shard)]) == 0
    assert capsys.readouterr().out == f"{shard}: whole\n"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1000] + bytes(900) + content[-100:])
    (damaged,) = check_shard(shard)
    (tmp_path / "none.h5").write_bytes(b"nothing")
    assert main(["check", str(shard), str(tmp_path / "none.h5")]) == 1
    output = capsys.readouterr()
    assert output.out == f"{shard}: DAMAGED\n{tmp_path / 'none.h5'}: DAMAGED\n"
    assert f"voxels of scan {damaged} are damaged" in output.err and "does not open" in output.err


@pytest.mark.parametrize("from_shard", [False, True])
def test_no_sheet_of_a_scan_with_text_in_its_pixels(tmp_path, capsys, from_shard):
    write_series(tmp_path / "named", phantom(), edit=setting("BurnedInAnnotation", "YES"))
    scan = tmp_path / "named"
    if from_shard:
        run(series_table("named"), tmp_path, tmp_path, size_px=16)
        scan = tmp_path / "shard-0.h5"
    assert main(["sheet", str(scan), str(tmp_path / "a.png")]) == 1
    assert "text is burned into the pixels" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
