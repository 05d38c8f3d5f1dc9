"""Thumbnails: a seeded sample, light, without identifiers, and nothing of a file that may show a name."""

import base64

import cv2
import numpy as np
import pandas as pd
import pytest
from dicom_files import phantom, write_series
from pydicom.uid import RLELossless

from chestct.errors import InputError
from chestct.tables import read_table, write_table
from chestct.volume_store import Volume, write_shard
from chestct.volumes.thumbnails import draw_thumbnails

LUNG = (-600.0, 1500.0)


def edit_all(**fields):
    def edit(number, dataset):
        for name, value in fields.items():
            setattr(dataset, name, value)

    return edit


@pytest.fixture
def dataset(tmp_path):
    """Writes the tables of a dataset of 20 converted scans and of the refused series given by folder."""

    def write(*refused):
        volumes = [
            Volume(
                patient_id=f"Name{i}",
                study_id=f"secret-{i}",
                series_id=f"series-{i}",
                hu=np.full((6 + i, 16, 16), 100 * i - 1000, dtype=np.int16),
                spacing_mm=(2.0 + i / 10, 0.7, 0.7),
                z_mm=np.arange(6.0 + i),
            )
            for i in range(20)
        ]
        store = tmp_path / "shard-0.h5"
        write_shard(store, volumes)
        index = pd.DataFrame(
            {
                "dataset": "d",
                "patient_id": [v.patient_id for v in volumes],
                "study_id": [v.study_id for v in volumes],
                "series_id": [v.series_id for v in volumes],
                "store": str(store),
                "num_slices": [len(v.hu) for v in volumes],
                "rows": 16,
                "columns": 16,
                "spacing_z_mm": [v.spacing_mm[0] for v in volumes],
                "spacing_y_mm": 0.7,
                "spacing_x_mm": 0.7,
                "sha256": "0",
            }
        )
        studies = [*(v.study_id for v in volumes), *(f"refused-{folder.name}" for folder in refused)]
        ledger = pd.DataFrame(
            {
                "dataset": "d",
                "patient_id": "Name",
                "study_id": studies,
                "series_id": "secret series",
                "status": ["repaired"] + ["accepted"] * 19 + ["refused"] * len(refused),
                "reason": ["dropped_derived"] + [None] * 19 + ["missing_slices"] * len(refused),
                "detail": "a secret detail",
                "num_files": 6,
                "num_slices": [len(v.hu) for v in volumes] + [5] * len(refused),
            }
        )
        series = ledger[["dataset", "patient_id", "study_id", "series_id"]].assign(
            path=["nowhere"] * 20 + [folder.name for folder in refused], num_instances=0, num_bytes=0, shard=0
        )
        paths = {name: tmp_path / f"{name}.csv" for name in ("index", "ledger", "series", "thumbnails")}
        for name, table in (("index", index), ("ledger", ledger), ("series", series)):
            write_table(table, paths[name], name)
        return paths

    def draw(*refused, seed=0, num_tiles=5):
        paths = write(*refused)
        draw_thumbnails(
            **{f"{name}_path": path for name, path in paths.items()},
            root=tmp_path,
            display_window_hu=LUNG,
            num_tiles=num_tiles,
            rng=np.random.default_rng(seed),
        )
        return paths["thumbnails"]

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
        grey = np.clip((100 * number - 1000 + 1350) / 1500 * 255, 0, 255)
        assert tile[60:84, 60:84].mean() == pytest.approx(grey, abs=2)
    assert dataset().read_bytes() == first
    assert dataset(seed=1).read_bytes() != first


def test_no_identifiers_go_into_the_table(dataset, tmp_path):
    text = dataset(write_series(tmp_path / "gap", phantom())).read_text()
    assert "secret" not in text and "Name" not in text and "gap" not in text


def test_refused_scans_show_what_can_be_read(dataset, tmp_path):
    stored = np.full((6, 16, 16), -1000, dtype=np.int16)
    stored[:, 4:12, 4:12] = 400
    table = read_table(dataset(write_series(tmp_path / "gap", stored)), "thumbnails")
    row = table[table["status"] == "refused"].iloc[0]
    assert row["reason"] == "missing_slices" and pd.isna(row["spacing_mm"])
    tile = picture(row)
    assert tile.shape == (144, 144)
    assert tile[60:84, 60:84].min() > 240 and tile[2:20, 2:20].max() < 80


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({"edit": edit_all(ImageType=["DERIVED", "PRIMARY"])}, False),
        ({"edit": edit_all(ImageType=["ORIGINAL", "SECONDARY"])}, False),
        ({"edit": edit_all(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])}, False),
        ({"edit": edit_all(BurnedInAnnotation="YES")}, False),
        ({"edit": edit_all(Modality="OT")}, False),
        ({"syntax": RLELossless}, False),
        ({"edit": edit_all(RescaleSlope="nan")}, False),
        ({"edit": edit_all(PixelData=b"short")}, False),
        ({"edit": edit_all(BurnedInAnnotation="NO")}, True),
        ({"edit": edit_all(ImageOrientationPatient=None)}, True),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_pictures_that_could_or_should_not_be_shown_are_left_out(dataset, tmp_path, arguments, shown):
    folder = write_series(tmp_path / "odd", phantom(), **arguments)
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
        draw_thumbnails(
            **{f"{name}_path": tmp_path / f"{name}.csv" for name in ("index", "ledger", "series")},
            thumbnails_path=tmp_path / "new.csv",
            root=tmp_path,
            display_window_hu=LUNG,
            num_tiles=20,
            rng=np.random.default_rng(0),
        )
