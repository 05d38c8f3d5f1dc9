"""Thumbnails: a seeded sample, light, without identifiers, and nothing of a file that may show a name."""

import base64

import cv2
import numpy as np
import pandas as pd
import pytest
from dicom_files import phantom, setting, write_series
from pydicom.uid import RLELossless
from shard_jobs import run, series_table

from chestct.errors import InputError
from chestct.pictures import ABSENT, UNKNOWN, of_headers
from chestct.tables import read_table, write_table
from chestct.volumes.thumbnails import draw_thumbnails
from chestct.volumes.volume_file import write_volume_file

LUNG = (-600.0, 1500.0)
#: Scans that are converted, of which thumbnails show five.
NUM_SCANS = 8


def arguments(folder, **options):
    """Of ``draw_thumbnails``, for the tables in a folder."""
    return {
        "index_path": folder / "shard-0.index.csv",
        "ledger_path": folder / "shard-0.ledger.csv",
        "series_path": folder / "series.csv",
        "thumbnails_path": folder / "thumbnails.csv",
        "root": folder,
        "display_window_hu": LUNG,
        "burned_in_annotation": ABSENT,
        "num_tiles": 5,
        "rng": np.random.default_rng(0),
    } | options


@pytest.fixture
def dataset(tmp_path):
    """Draws the thumbnails of converted scans and of the refused series given by folder."""
    names = [f"secret-{i}.nii.gz" for i in range(NUM_SCANS)]
    for i, name in enumerate(names):
        hu = np.full((6 + i, 12, 12), 250 * i - 980, dtype=np.int16)
        hu[0, 0] = -1000  # air in a corner that no picture shows: one value everywhere is no scan
        write_volume_file(tmp_path / name, hu, (2.0 + i / 10, 0.7, 0.7), (0.0, 0.0, 0.0))

    def draw(*refused, **options):
        table = series_table(*names, *(folder.name for folder in refused))
        write_table(table, tmp_path / "series.csv", "series")
        failures = {f"s-{folder.name}": "not_found" for folder in refused}
        run(table, tmp_path, tmp_path, size_px=12, **failures)
        draw_thumbnails(**arguments(tmp_path, **options))
        return tmp_path / "thumbnails.csv"

    return draw


def picture(row):
    content = base64.b64decode(row["jpeg"])
    assert len(content) < 20_000
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_seeded_sample_of_converted_scans(dataset, tmp_path):
    path = dataset()
    first = path.read_bytes()
    table = read_table(path, "thumbnails")
    assert len(table) == 5 and table["ledger_row"].is_monotonic_increasing
    for _, row in table.iterrows():
        number = row["ledger_row"] - 2  # the scans' number, in all that is shown of it
        assert (row["num_slices"], row["spacing_mm"]) == (6 + number, pytest.approx(2 + number / 10))
        tile = picture(row)
        assert tile.shape == (144, 288)
        grey = np.clip((250 * number - 980 + 1350) / 1500 * 255, 0, 255)
        assert tile[60:84, 60:84].mean() == pytest.approx(grey, abs=2)
    assert dataset().read_bytes() == first
    assert dataset(rng=np.random.default_rng(1)).read_bytes() != first


def test_no_identifiers_go_into_the_table(dataset, tmp_path):
    text = dataset(write_series(tmp_path / "gap", phantom())).read_text()
    assert not any(name in text for name in ("secret", "p-", "s-", "r-", "gap"))


def test_refused_scans_show_what_can_be_read(dataset, tmp_path):
    stored = np.full((6, 16, 16), -1000, dtype=np.int16)
    stored[:, 4:12, 4:12] = 400
    table = read_table(dataset(write_series(tmp_path / "gap", stored)), "thumbnails")
    row = table[table["status"] == "refused"].iloc[0]
    assert row["reason"] == "not_obtained" and pd.isna(row["spacing_mm"])
    tile = picture(row)
    assert tile.shape == (144, 144)
    assert tile[60:84, 60:84].min() > 240 and tile[2:20, 2:20].max() < 80


@pytest.mark.parametrize(
    ("bent", "shown"),
    [
        ({"edit": setting("ImageType", ["DERIVED", "PRIMARY"])}, False),
        ({"edit": setting("ImageType", "DERIVED")}, False),
        ({"edit": setting("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "SCREENSHOT"])}, False),
        ({"edit": setting("ImageType", ["ORIGINAL", "SECONDARY"])}, False),
        ({"edit": setting("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])}, False),
        ({"edit": setting("BurnedInAnnotation", "YES")}, False),
        ({"edit": setting("Modality", "OT")}, False),
        ({"syntax": RLELossless}, False),
        ({"edit": setting("RescaleSlope", "nan")}, False),
        ({"edit": setting("PixelData", b"short")}, False),
        ({"edit": setting("BurnedInAnnotation", "NO")}, True),
        ({"edit": setting("ImageOrientationPatient", None)}, True),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_pictures_that_could_or_should_not_be_shown_are_left_out(dataset, tmp_path, bent, shown):
    folder = write_series(tmp_path / "odd", phantom(), **bent)
    table = read_table(dataset(folder), "thumbnails")
    assert bool(table.iloc[-1]["jpeg"] is not pd.NA) is shown
    assert table.iloc[-1]["status"] == "refused"


def test_one_readable_slice_is_enough(dataset, tmp_path):
    folder = write_series(tmp_path / "odd", phantom())
    for file in sorted(folder.iterdir())[2:5]:
        file.write_bytes(b"damaged")
    assert read_table(dataset(folder), "thumbnails").iloc[-1]["jpeg"] is not pd.NA


def test_series_that_do_not_exist_have_no_picture(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "scan.nii.gz").write_bytes(b"no volume")
    table = read_table(dataset(tmp_path / "gone", tmp_path / "empty", tmp_path / "scan.nii.gz"), "thumbnails")
    assert table[table["status"] == "refused"]["jpeg"].isna().tolist() == [True] * 3


def test_a_damaged_shard_is_named(dataset, tmp_path):
    dataset()
    store = tmp_path / "shard-0.h5"
    content = store.read_bytes()
    store.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(InputError, match=r"shard-0\.h5"):
        draw_thumbnails(**arguments(tmp_path, num_tiles=NUM_SCANS))


@pytest.mark.parametrize(
    ("says", "absent", "unknown"),
    [
        ("YES", False, False),
        ("NO", True, True),
        (None, True, False),
        ("", True, False),
        ("MAYBE", True, False),
    ],
)
def test_scans_with_text_in_their_pixels_are_never_shown(tmp_path, says, absent, unknown):
    """As converted and as refused scans; where the headers say nothing, the dataset decides."""
    edit = None if says is None else setting("BurnedInAnnotation", says)
    for name, more in (("converted", {}), ("refused", {"keep": 1})):
        write_series(tmp_path / name, phantom(), **({"edit": edit} if edit else {}))
        for path in sorted((tmp_path / name).iterdir())[more.get("keep", 99) :]:
            path.unlink()
    table = series_table("converted", "refused")
    write_table(table, tmp_path / "series.csv", "series")
    run(table, tmp_path, tmp_path, size_px=16)
    ledger = read_table(tmp_path / "shard-0.ledger.csv", "ledger")
    assert ledger["status"].tolist() == ["accepted", "refused"]
    said = {"YES": "yes", "NO": "no"}.get(says)
    assert ledger["burned_in_annotation"].fillna("").tolist() == [said or ""] * 2
    for policy, shown in ((ABSENT, absent), (UNKNOWN, unknown)):
        draw_thumbnails(**arguments(tmp_path, burned_in_annotation=policy))
        pictures = read_table(tmp_path / "thumbnails.csv", "thumbnails")["jpeg"]
        assert pictures.notna().tolist() == [shown] * 2


def test_one_slice_with_text_hides_the_scan():
    assert (
        of_headers(["NO", "", "YES"]) == "yes" and of_headers(["NO", ""]) is None and of_headers([]) is None
    )
