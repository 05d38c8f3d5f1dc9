import numpy as np
import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.tables import column_types, read_table, write_table


def series(**changes):
    row = {
        "dataset": "d",
        "patient_id": "007",
        "study_id": "s",
        "series_id": "1",
        "path": "p",
        "num_instances": 3,
        "num_bytes": 0,
        "shard": 0,
    }
    return pd.DataFrame([row | changes])


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_identifiers_stay_text_and_columns_keep_their_order(tmp_path, name):
    write_table(series()[["shard", *[c for c in series() if c != "shard"]]], tmp_path / name, "series")
    table = read_table(tmp_path / name, "series")
    assert list(table) == list(column_types("series"))
    assert table["patient_id"].tolist() == ["007"]
    assert table["shard"].dtype == "Int64"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, r"unknown: \['extra'\]"),
        ({"shard": -1}, r"bad value.*'shard'.*-1"),
        ({"patient_id": None}, r"bad value.*'patient_id'"),
        ({"num_instances": "many"}, r"wrong type"),
    ],
)
def test_bad_tables_are_not_written(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        write_table(series(**changes), tmp_path / "t.csv", "series")
    assert list(tmp_path.iterdir()) == []


def test_numbers_come_back_to_the_last_bit(tmp_path):
    scores = np.concatenate([1 / (1 + np.exp(-np.linspace(-90, 36.5, 400))), [5e-324, 0.1, 1.0]])
    row = {"study_id": "s", "slice_index": 0, "sop_instance_uid": None}
    for name in ("t.csv", "t.parquet"):
        write_table(pd.DataFrame([row | {"z_mm": score} for score in scores]), tmp_path / name, "slices")
        assert np.array_equal(read_table(tmp_path / name, "slices")["z_mm"], scores)


def test_missing_file_and_missing_column_are_named(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        read_table(tmp_path / "t.csv", "series")
    series().drop(columns="shard").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"missing: \['shard'\]"):
        read_table(tmp_path / "t.csv", "series")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"does not parse[\s\S]*t.parquet"):
        read_table(tmp_path / "t.parquet", "series")
