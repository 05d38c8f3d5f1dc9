"""The records and the learning curves of all runs, in a table each."""

from dataclasses import replace
from pathlib import Path

import pytest
from engine_data import RUN

from chestct.errors import InputError
from chestct.run import Run
from chestct.tables import read_table, write_table
from chestct.training.collect import collect_histories, collect_tables
from chestct.training.record import check_weights
from chestct.training.selection import choose_learning_rate
from chestct.training.windows.scans import load_scans


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


def test_whole_files_of_another_run_in_the_place_of_this_one_are_noticed(data, trained, tmp_path):
    record, history = write_run(trained, tmp_path)
    curve = read_table(history, "history")
    for number, other in enumerate(
        (curve.assign(validation_auroc=0.25), curve.assign(step=curve["step"] + 1))
    ):
        path = str(tmp_path / f"history-{number}.csv")
        write_table(other, path, "history")
        with pytest.raises(InputError, match="learning curve is that of another run"):
            collect_histories([record], [path], str(tmp_path / "all.csv"))
    record, _ = write_run(trained, tmp_path, learning_rate=0.1)
    with pytest.raises(InputError, match=r"trial is of another learning rate: 0\.1"):
        choose_learning_rate(RUN, [0.003], [record], [history], str(tmp_path / "choices.csv"))
    weights = trained / "weights.safetensors"
    check_weights(weights, RUN.folder)
    with pytest.raises(InputError, match="weights are those of another run"):
        check_weights(weights, replace(RUN, fold=1).folder)
    tables = {name: data[name] for name in ("index", "windows", "splits")}
    for other, words in ((replace(RUN, seed=1), "seed 0"), (replace(RUN, percent=50), "percent 100")):
        with pytest.raises(InputError, match=f"table is that of another run: {words}"):
            load_scans(tables, data["subset"], other, 8)
    with pytest.raises(InputError, match="table is that of another run: dataset d"):
        load_scans(tables, data["subset"], replace(RUN, dataset="e"), 8)


def test_the_folder_of_a_run_is_known_by_its_form():
    path = f"results/s/training/{RUN.folder}/weights.safetensors"
    assert Run.folder_in(path) == RUN.folder
    assert Run.folder_in("results/s/training/pretraining/i3d/video/weights.safetensors") is None
