"""The records and the learning curves of all runs, in a table each."""

from pathlib import Path

import pytest

from chestct.errors import InputError
from chestct.tables import read_table, write_table
from chestct.training.collect import collect_histories, collect_tables


def write_run(trained: Path, folder: Path, num_records: int = 1, **keys) -> tuple[str, str]:
    """Record and learning curve of a trained run, under changed keys."""
    record = read_table(trained / "run.csv", "runs").assign(**keys)
    record = record.loc[[0] * num_records]
    write_table(record, folder / "run.csv", "runs")
    return str(folder / "run.csv"), str(trained / "history.csv")


def test_records_and_histories_carry_the_keys_of_their_runs(trained, tmp_path):
    runs = [write_run(trained, tmp_path / str(seed), seed=seed, percent=10 * seed) for seed in (2, 1)]
    records, histories = zip(*runs, strict=True)
    collect_tables(records, str(tmp_path / "runs.csv"), "runs")
    assert read_table(tmp_path / "runs.csv", "runs")[["seed", "percent"]].to_numpy().tolist() == [
        [2, 20],
        [1, 10],
    ]
    collect_histories(records, histories, str(tmp_path / "all.csv"))
    table, curve = read_table(tmp_path / "all.csv", "histories"), read_table(histories[0], "history")
    keys = table[["seed", "percent", "step"]].to_numpy().tolist()
    assert keys == [[seed, 10 * seed, step] for seed in (2, 1) for step in (4, 8, 12)]
    assert table["validation_auroc"].tolist() == [*curve["validation_auroc"]] * 2
    assert set(table["dataset"]) == {"d"}


@pytest.mark.parametrize("num_records", [0, 2])
def test_a_record_of_no_or_two_runs_is_refused(trained, tmp_path, num_records):
    run, history = write_run(trained, tmp_path, num_records)
    with pytest.raises(InputError, match=f"holds {num_records} rows"):
        collect_histories([run], [history], str(tmp_path / "all.csv"))
