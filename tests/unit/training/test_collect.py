"""The learning curves of all runs in one table."""

from pathlib import Path

import pandas as pd
import pytest

from chestct.errors import InputError
from chestct.tables import column_types, read_table, write_table
from chestct.training.collect import collect_histories

KEYS = {"dataset": "lidc", "model": "slow_r50", "init": "video", "percent": 10, "seed": 0, "fold": 0}


def write_run(folder: Path, num_records: int = 1, **changes) -> tuple[str, str]:
    kinds = {"string": "0", "Int64": 1, "float64": 0.5}
    row = {name: kinds[kind] for name, kind in column_types("runs").items()} | KEYS | changes
    write_table(pd.DataFrame([row] * num_records, columns=list(row)), folder / "run.csv", "runs")
    history = pd.DataFrame(
        {"step": [2, 4], "epoch": [0, 1], "train_loss": [0.7, 0.5], "learning_rate": 0.001}
    )
    history = history.assign(validation_loss=None, validation_auroc=[None, 0.75 + row["seed"] / 8])
    write_table(history, folder / "history.csv", "history")
    return str(folder / "run.csv"), str(folder / "history.csv")


def test_histories_carry_the_keys_of_their_runs(tmp_path):
    runs = [write_run(tmp_path / str(seed), seed=seed, percent=10 * seed) for seed in (2, 1)]
    collect_histories([run for run, _ in runs], [history for _, history in runs], str(tmp_path / "all.csv"))
    table = read_table(tmp_path / "all.csv", "histories")
    assert table[["seed", "percent", "step"]].to_numpy().tolist() == [
        [2, 20, 2],
        [2, 20, 4],
        [1, 10, 2],
        [1, 10, 4],
    ]
    assert table["validation_auroc"].dropna().tolist() == [1.0, 0.875]
    assert set(table["dataset"]) == {"lidc"} and table["validation_loss"].isna().all()


@pytest.mark.parametrize("num_records", [0, 2])
def test_a_record_of_no_or_two_runs_is_refused(tmp_path, num_records):
    run, history = write_run(tmp_path, num_records)
    with pytest.raises(InputError, match=f"holds {num_records} rows"):
        collect_histories([run], [history], str(tmp_path / "all.csv"))
