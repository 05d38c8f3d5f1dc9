"""The report says whether the files that led to its tables are verified, and which are not."""

import pandas as pd
import pytest

from chestct import records
from chestct.figures.report_provenance import chain_of
from chestct.records import write_recorded
from chestct.tables import read_table, write_table

SLICES = pd.DataFrame({"study_id": ["s"], "slice_index": [0], "z_mm": [0.0], "sop_instance_uid": ["1"]})


@pytest.fixture
def metrics(tmp_path, monkeypatch):
    """A last table, made from one that was made from two."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_table(SLICES, f"data/{name}/labels.parquet", "slices")
    steps = {
        "results/predictions.csv": ["data/a/labels.parquet", "data/b/labels.parquet"],
        "results/metrics.csv": ["results/predictions.csv"],
    }
    for target, sources in steps.items():
        monkeypatch.setattr(records, "_read", {})
        for source in sources:
            read_table(source, "slices")
        write_table(SLICES, target, "slices")
    monkeypatch.setattr(records, "_read", {})
    return "results/metrics.csv"


def test_the_chain_is_listed_and_verified(metrics):
    assert chain_of([metrics]) == [
        ("verified", "4 files: each is as it was written, and as it was when others were made from it"),
        ("labels.parquet", "2 file(s)"),
        ("metrics.csv", "1 file(s)"),
        ("predictions.csv", "1 file(s)"),
    ]


def test_forged_predictions_are_named_even_with_a_record_of_their_own(metrics):
    write_table(SLICES.assign(z_mm=1.0), "results/predictions.csv", "slices")
    verdict = chain_of([metrics])[0]
    assert verdict[0] == "NOT verified"
    assert "results/predictions.csv: another file than the one that results/metrics.csv" in verdict[1]


def test_no_folder_of_this_machine_is_shown(tmp_path):
    secret = tmp_path / "of somebody"
    write_recorded(secret / "labels.csv", "x")
    (secret / "labels.csv").write_text("y")
    assert "somebody" not in str(chain_of([secret / "labels.csv"]))
    assert "labels.csv: does not match its record" in chain_of([secret / "labels.csv"])[0][1]
