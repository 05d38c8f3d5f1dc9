"""Collects records, trials and learning curves of all runs of a study into one table each."""

from collections.abc import Sequence

import pandas as pd

from chestct.errors import InputError
from chestct.run import RUN_KEYS
from chestct.tables import read_table, write_table


def collect_tables(paths: Sequence[str], output: str, schema: str) -> None:
    """Concatenate tables of one schema: records of runs (``runs``), trials of arms (``choices``)."""
    write_table(pd.concat([read_table(path, schema) for path in paths], ignore_index=True), output, schema)


def collect_histories(records: Sequence[str], histories: Sequence[str], output: str) -> None:
    """Concatenate learning curves (schema ``history``), with the key columns of their runs.

    Args:
        records: run.csv of every run, in the order of the table.
        histories: history.csv of the same runs.
        output: table of schema ``histories``.

    Raises:
        InputError: a table is missing or broken, or a record does not hold exactly its one run.
    """
    parts = []
    for record, history in zip(records, histories, strict=True):
        rows = read_table(record, "runs")
        if len(rows) != 1:
            raise InputError(
                f"a run's record holds {len(rows)} rows",
                where=record,
                expected="one row",
                remedy=f"let the workflow train it again: snakemake --forcerun {record}",
            )
        curve = read_table(history, "history").drop(columns=["learning_rate", "l2_strength"])
        parts.append(rows[RUN_KEYS].merge(curve, how="cross"))
    write_table(pd.concat(parts, ignore_index=True), output, "histories")
