"""Selection of learning rates: the rule, divergence, and that no test scan has a part in it."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from engine_data import RUN, make_job, windows
from safetensors.torch import load_file

from chestct.errors import InputError
from chestct.tables import read_table, write_table
from chestct.training import selection
from chestct.training.collect import collect_tables
from chestct.training.trials import try_learning_rate

FILES = {
    "weights": "weights.safetensors",
    "history": "history.csv",
    "record": "run.csv",
    "resolved": "config.yaml",
}


def trials(*rows):
    """Trials as (learning rate, AUROC, loss)."""
    table = pd.DataFrame(rows, columns=["learning_rate", "validation_auroc", "validation_loss"])
    return table.assign(**RUN.asdict())


@pytest.mark.parametrize(
    ("rows", "rate"),
    [
        ([(0.1, 0.6, 0.9), (0.01, 0.8, 0.9), (0.001, 0.7, 0.1)], 0.01),
        ([(0.1, 0.8, 0.5), (0.01, 0.8, 0.4), (0.001, 0.8, 0.6)], 0.01),
        ([(0.1, 0.8, 0.5), (0.01, 0.8, 0.5), (0.001, 0.7, 0.1)], 0.01),
        ([(0.1, None, None), (0.01, 0.2, 0.9)], 0.01),
    ],
    ids=["highest AUROC", "then lowest loss", "then smallest rate", "diverged is out"],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_one_rule_decides_whatever_the_order(rows, rate, reverse):
    table = selection.rank_trials(trials(*(rows[::-1] if reverse else rows)))
    assert table.loc[table["chosen"] == 1, "learning_rate"].tolist() == [rate]
    assert len(table) == len(rows)
    assert table["learning_rate"].is_monotonic_increasing


def test_an_arm_that_always_diverges_is_an_error_with_a_remedy():
    with pytest.raises(
        InputError, match=r"diverged with every[\s\S]*d/swin_narrow/scratch[\s\S]*smaller rates"
    ):
        selection.rank_trials(trials((0.1, None, None), (0.01, None, None)))


def choices(path: Path, init: str, rate: float) -> str:
    table = selection.rank_trials(trials((rate, 0.9, 0.1), (1.0, 0.5, 0.1))).assign(init=init)
    table = table.assign(num_steps=3, windows_seen=12, seconds=1.0, final_weights_sha256="0" * 64)
    write_table(table, path, "choices")
    return str(path)


def test_an_arm_names_its_rate_and_all_arms_make_one_table(tmp_path):
    paths = [choices(tmp_path / f"{init}.csv", init, rate) for init, rate in (("video", 0.01), ("ct", 0.5))]
    assert [selection.chosen_rate(path) for path in paths] == [0.01, 0.5]
    collect_tables(paths, str(tmp_path / "trials.csv"), "choices")
    assert len(read_table(tmp_path / "trials.csv", "choices")) == 4


# --- A search on a tiny dataset in which bright scans are positive


def spoil_test_scans(data: dict[str, str], folder: Path) -> dict[str, str]:
    """The same tables with turned labels of test scans, whose volumes and windows are nowhere."""
    spoilt = {name: str(folder / Path(path).name) for name, path in data.items()}
    splits = read_table(data["splits"], "splits")
    test = splits["split"] == "test"
    splits.loc[test, "label"] = 1 - splits.loc[test, "label"]
    write_table(splits, spoilt["splits"], "splits")
    write_table(read_table(data["subset"], "subset"), spoilt["subset"], "subset")
    for name in ("index", "windows"):
        table = read_table(data[name], name)
        write_table(table[~table["study_id"].isin(splits.loc[test, "study_id"])], spoilt[name], name)
    return spoilt


RATES = [1e30, 0.003, 0.0001]


def search(folder: Path, data: dict[str, str]) -> pd.DataFrame:
    """Try the rates, choose one, adopt its trial; returns the table of choices."""
    folders = [folder / f"rate-{rate}" for rate in RATES]
    for rate, path in zip(RATES, folders, strict=True):
        job = make_job(data, budget=windows(16), num_validations=2, learning_rate=rate)
        try_learning_rate(job, str(path), threads=1)
    files = {name: [str(path / file) for path in folders] for name, file in FILES.items()}
    path = str(folder / "choices.csv")
    selection.choose_learning_rate(RUN, RATES, files["record"], files["history"], path)
    run = {name: str(folder / "run" / file) for name, file in FILES.items()}
    selection.adopt_trial(path, RATES, files, run)
    return read_table(path, "choices")


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """Folder and choices of a search."""
    folder = tmp_path_factory.mktemp("search")
    return folder, search(folder, data)


def test_a_diverging_trial_is_recorded_and_the_others_go_on(searched):
    folder, table = searched
    diverged = table[table["validation_auroc"].isna()]
    assert diverged["learning_rate"].tolist() == [1e30]
    assert table.loc[table["learning_rate"] < 1, "num_steps"].tolist() == [4, 4]
    assert table.loc[table["learning_rate"] < 1, "windows_seen"].tolist() == [16, 16]
    facts = yaml.safe_load((folder / "rate-1e+30" / "config.yaml").read_text())
    assert facts["learning_rate"] == 1e30
    assert "loss" in facts["diverged"] or "scores" in facts["diverged"]
    assert load_file(folder / "rate-1e+30" / "weights.safetensors") == {}
    assert not list(folder.glob("rate-*/.checkpoint"))


def test_the_chosen_trial_is_the_run_of_its_rate(searched):
    folder, table = searched
    rate = table.loc[table["chosen"] == 1, "learning_rate"].item()
    for file in FILES.values():
        assert (folder / "run" / file).read_bytes() == (folder / f"rate-{rate}" / file).read_bytes()
    record = read_table(folder / "run" / "run.csv", "runs").iloc[0]
    assert record["final_weights_sha256"] == table.loc[table["chosen"] == 1, "final_weights_sha256"].item()
    assert yaml.safe_load((folder / "run" / "config.yaml").read_text())["settings"]["learning_rate"] == rate


def test_the_best_validation_of_a_trial_counts(searched):
    folder, table = searched
    for row in table.dropna(subset="validation_auroc").itertuples():
        history = read_table(folder / f"rate-{row.learning_rate}" / "history.csv", "history")
        best = history[history["validation_auroc"] == history["validation_auroc"].max()]
        assert row.validation_auroc == best["validation_auroc"].iloc[0]
        assert row.validation_loss == best["validation_loss"].min()


def test_test_scans_have_no_part_in_the_choice(data, searched, tmp_path):
    """Turned test labels and missing test volumes change no trial, no weight and no choice."""
    _, table = searched
    spoilt = search(tmp_path, spoil_test_scans(data, tmp_path))
    pd.testing.assert_frame_equal(spoilt.drop(columns="seconds"), table.drop(columns="seconds"))
