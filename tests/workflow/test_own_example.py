"""The example of a user's own scans, which a command writes, as far as it needs no training."""

import pandas as pd

from chestct.tables import read_table

SUBSETS = "results/own_data/subsets/scans"


def test_the_example_is_written_and_every_scan_is_tested_once(project):
    written = project.python("workflow_scripts/write_own_example.py", "data/own_example")
    assert "12 phantom scans: data/own_example/scans.csv" in written
    table = pd.read_csv(project.folder / "data/own_example/scans.csv")
    assert table["nodule"].sum() == 6 and table["patient"].nunique() == len(table) == 12
    project.run(f"{SUBSETS}/splits.csv", f"{SUBSETS}/windows.parquet", study="own_data")
    cohort = read_table(project.folder / SUBSETS / "cohort.csv", "cohort")
    assert (cohort["status"] == "used").all() and cohort["baseline"].tolist() == table["tissue_ml"].tolist()
    splits = read_table(project.folder / SUBSETS / "splits.csv", "splits")
    tested = splits[splits["split"] == "test"]
    assert tested["study_id"].is_unique and len(tested) == 12
    assert set(tested.groupby("fold")["label"].sum()) == {2}
