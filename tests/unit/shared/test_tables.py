import numpy as np
import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.records import record
from chestct.tables import check_table, column_types, is_private, read_table, without_formulas, write_table


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


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("percent", [1, 100], [0, 101, None]),
        ("share_patients", [0.0, 1.0, None], [-1e-9, 1 + 1e-9, np.inf]),
        ("num_patients", [1e-9, None], [0.0, -1.0]),
        ("labels_counted", ["training", "training_and_validation"], ["validation", "", None]),
    ],
)
def test_values_beyond_the_limits_of_a_schema_are_refused(column, good, bad):
    """A value at a limit passes, one beyond it does not; a missing one passes where the schema has null."""
    row = dict.fromkeys(column_types("means"), 1.0) | {"labels_counted": "training"}
    table = pd.DataFrame([row] * len(good)).assign(dataset="d", model="m", init="video", metric="auroc")
    table = table.assign(num_scans=2, **{column: good})
    check_table(table, "means", where="here")
    for value in bad:
        broken = table.astype({column: object})
        broken.loc[len(good) - 1, column] = value
        with pytest.raises(InputError, match=rf"has 1 bad value\(s\) in column '{column}'"):
            check_table(broken, "means", where="here")


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
    record(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"missing: \['shard'\]"):
        read_table(tmp_path / "t.csv", "series")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    record(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"does not parse[\s\S]*t.parquet"):
        read_table(tmp_path / "t.parquet", "series")


@pytest.mark.parametrize(
    "name", ["NA", "null", "nan", "None", "N/A", "#N/A", "-1.#IND", "1e5", "0x10", "True"]
)
@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
def test_words_for_missing_values_are_identifiers(tmp_path, name, file):
    write_table(series(patient_id=name, study_id=name), tmp_path / file, "series")
    assert read_table(tmp_path / file, "series")[["patient_id", "study_id"]].to_numpy().tolist() == [
        [name] * 2
    ]


def test_rows_of_another_length_are_damage(tmp_path):
    write_table(series(), tmp_path / "t.csv", "series")
    heading, row = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text(f"{heading}\n{row},9\n")
    record(tmp_path / "t.csv")
    with pytest.raises(InputError, match="does not parse"):
        read_table(tmp_path / "t.csv", "series")


def test_tables_that_name_patients_are_closed_to_others(tmp_path):
    write_table(series(), tmp_path / "series.csv", "series")
    assert (tmp_path / "series.csv").stat().st_mode & 0o007 == 0
    private = ("labels", "index", "ledger", "cohort", "predictions", "thumbnails", "slices", "acquisition")
    assert all(is_private(name) for name in private)
    assert not any(is_private(name) for name in ("metrics", "claims", "runs", "published_cases"))


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "-", "-a\n=1"],
)
def test_published_texts_are_no_formulas(cell):
    table = without_formulas(pd.DataFrame({"text": [cell, "=x", None], "number": [-1.0, 2.0, np.nan]}))
    assert table["text"].tolist()[:2] == [cell if cell == "-" else f"'{cell}", "'=x"]
    assert table["text"].isna()[2]
    assert table["number"].tolist()[:2] == [-1.0, 2.0]


def test_numbers_with_a_sign_stay_as_they_are():
    cells = [
        "-0.3",
        "+0.012 (-0.1 to 0.2)",
        "+0.232 [+0.105 to +0.360]",
        "-1e-5",
        "plain",
        "\N{MINUS SIGN}0.3",
        "1-2",
    ]
    assert without_formulas(pd.DataFrame({"text": cells}))["text"].tolist() == cells


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_that_is_edited_by_hand_is_refused_with_a_way_out(tmp_path, name):
    path = tmp_path / name
    write_table(pd.concat([series(), series(study_id="t")]), path, "series")
    table = read_table(path, "series").iloc[:1]
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path, index=False)
    with pytest.raises(InputError, match=r"changed by hand[\s\S]*--forcerun[\s\S]*configuration") as caught:
        read_table(path, "series")
    assert "delete" not in str(caught.value)


def test_a_table_that_is_passed_on_names_no_other_file(tmp_path):
    write_table(series(), tmp_path / "t.csv", "series")
    read_table(tmp_path / "t.csv", "series")
    row = {"dataset": "d", "fold": 0, "split": "test", "patient": "p", "scan": "s", "label": 1}
    columns = column_types("published_splits")
    write_table(pd.DataFrame([row])[list(columns)], tmp_path / "splits.csv", "published_splits")
    assert (tmp_path / ".splits.csv.sha256").read_text().count("\n") == 1
