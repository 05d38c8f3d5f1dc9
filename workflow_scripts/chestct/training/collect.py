"""Collects records, trials and learning curves of all runs of a study into one table each."""

from collections.abc import Sequence

import pandas as pd

from chestct.errors import InputError
from chestct.run import RUN_KEYS
from chestct.tables import read_table, write_table


def collect_tables(paths: Sequence[str], output: str, schema: str) -> None:
    """Concatenate tables of one schema: records of runs (``runs``), trials of arms (``choices``)."""
    write_table(pd.concat([read_table(path, schema) for path in paths], ignore_index=True), output, schema)


def check_curve(record: pd.Series, curve: pd.DataFrame, where: str) -> None:
    """Refuse the learning curve of another run, which may lie in the place of this one's with its record.

    Args:
        record: row of the run.
        curve: its learning curve.
        where: its path.

    Raises:
        InputError: the best validation of the curve is not the one that the record names.
    """
    best = curve["validation_auroc"].max()
    at_best = curve.loc[curve["step"] == record["best_step"], "validation_auroc"]
    is_other = best != record["validation_auroc"] or (
        pd.notna(record["best_step"]) and best not in set(at_best)
    )
    if is_other or curve["windows_seen"].max() > record["windows_seen"]:
        raise InputError(
            "the learning curve is that of another run",
            where=where,
            expected=f"a best validation AUROC of {record['validation_auroc']}, as the run's record says",
            remedy="put the right one back, or train the run again: "
            f"snakemake --cores all --forcerun {where}",
        )


def collect_histories(records: Sequence[str], histories: Sequence[str], output: str) -> None:
    """Concatenate learning curves (schema ``history``), with the key columns of their runs.

    Args:
        records: run.csv of every run, in the order of the table.
        histories: history.csv of the same runs.
        output: table of schema ``histories``.

    Raises:
        InputError: a table is missing or broken, a record does not hold exactly its one run, or a curve is of
            another.
    """
    parts = []
    for record, history in zip(records, histories, strict=True):
        rows = read_table(record, "runs")
        if len(rows) != 1:
            raise InputError(
                f"a run's record holds {len(rows)} rows",
                where=record,
                expected="one row",
                remedy=f"let the workflow train it again: snakemake --cores all --forcerun {record}",
            )
        curve = read_table(history, "history")
        check_curve(rows.iloc[0], curve, history)
        curve = curve.drop(columns=["learning_rate", "l2_strength"])
        parts.append(rows[RUN_KEYS].merge(curve, how="cross"))
    write_table(pd.concat(parts, ignore_index=True), output, "histories")
