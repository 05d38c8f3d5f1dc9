"""Selection of learning rates: on validation alone, by one rule for every arm.

A trial is an ordinary run at one rate, on the study's selection subset, first seed and first fold. Its score
is its best validation, by the rule that keeps weights in training: highest AUROC, then lowest loss. The
chosen rate has the trial of the highest AUROC; of equals the lower loss decides, then the smaller rate.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.errors import InputError
from chestct.records import check_record, recorded_path
from chestct.run import RUN_KEYS, Run
from chestct.tables import read_table, write_table
from chestct.training.collect import check_curve

_COPIED = ["num_steps", "windows_seen", "seconds", "final_weights_sha256"]


def rank_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Mark the trial to take, with a column ``chosen``.

    Args:
        trials: a row a rate, with learning_rate, validation_auroc and validation_loss; a trial without
            a validation AUROC diverged and is never chosen.

    Returns:
        The trials by learning rate, ascending.

    Raises:
        InputError: no trial has a validation AUROC.
    """
    trials = trials.sort_values("learning_rate").reset_index(drop=True)
    scored = trials.dropna(subset="validation_auroc")
    if scored.empty:
        raise InputError(
            f"training diverged with every learning rate: {trials['learning_rate'].tolist()}",
            where="/".join(str(trials.loc[0, key]) for key in RUN_KEYS[:3]),
            expected="a rate with which the loss stays finite",
            remedy="add smaller rates to training.learning_rates",
        )
    order = scored.sort_values(
        ["validation_auroc", "validation_loss", "learning_rate"], ascending=[False, True, True]
    )
    return trials.assign(chosen=(trials.index == order.index[0]).astype(int))


def _trial(run: Run, rate: float, record: str, history: str) -> dict[str, Any]:
    """The row of a trial; where training diverged there is a rate and nothing else."""
    row: dict[str, Any] = {
        **run.asdict(),
        "learning_rate": rate,
        "validation_auroc": None,
        "validation_loss": None,
    }
    records, validations = read_table(record, "runs"), read_table(history, "history")
    if records.empty:
        return row | dict.fromkeys(_COPIED)
    check_curve(records.iloc[0], validations, history)
    trained = records.iloc[0]["learning_rate"]
    if trained != rate:
        raise InputError(
            f"the trial is of another learning rate: {trained:g}",
            where=record,
            expected=f"{rate:g}",
            remedy="put the right one back, or train the run again: "
            f"snakemake --cores all --forcerun {record}",
        )
    columns = ["validation_auroc", "validation_loss"]
    best = validations.sort_values(columns, ascending=[False, True]).iloc[0]
    return row | {key: best[key] for key in columns} | {key: records.loc[0, key] for key in _COPIED}


def choose_learning_rate(
    run: Run,
    rates: Sequence[float],
    records: Sequence[str],
    histories: Sequence[str],
    output: str,
) -> None:
    """Choose the learning rate of an arm and write its trials.

    Args:
        run: that was tried.
        rates: learning rates.
        records, histories: run.csv and history.csv of every trial, in the order of the rates.
        output: table of schema ``choices``.

    Raises:
        InputError: training diverged with every rate.
    """
    rows = [_trial(run, *trial) for trial in zip(rates, records, histories, strict=True)]
    table = rank_trials(pd.DataFrame(rows))
    write_table(table, output, "choices")
    print(table[["learning_rate", "validation_auroc", "validation_loss", "chosen"]].to_string(index=False))
    chosen = table.index[table["chosen"] == 1][0]
    if len(table) > 1 and chosen in (0, len(table) - 1):
        print("The chosen rate is at the border of the rates tried: one beyond it may be better.")


def chosen_rate(choices: str) -> float:
    """The learning rate that an arm's table of choices names."""
    table = read_table(choices, "choices")
    return float(table.loc[table["chosen"] == 1, "learning_rate"].item())


def adopt_trial(
    choices: str, rates: Sequence[float], trials: Mapping[str, Sequence[str]], run: Mapping[str, str]
) -> None:
    """Make the chosen trial the arm's run of the same subset, seed, fold and rate: it is that run.

    Args:
        choices: the arm's table of choices.
        rates: learning rates.
        trials: files of all trials by name, in the order of the rates.
        run: where the run's files belong, by the same names.
    """
    number = list(rates).index(chosen_rate(choices))
    for name, target in run.items():
        check_record(trials[name][number], "file of a trial")
        with recorded_path(target) as temporary:
            shutil.copyfile(trials[name][number], temporary)
        print(f"{Path(target).name}: {trials[name][number]}")
