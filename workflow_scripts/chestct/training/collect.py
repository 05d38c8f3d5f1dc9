"""Collects the records of all runs of a study into one table."""

from collections.abc import Sequence

import pandas as pd

from chestct.tables import read_table, write_table


def collect_runs(paths: Sequence[str], output: str) -> None:
    """Concatenate run records (schema ``runs``), in the given order."""
    write_table(pd.concat([read_table(path, "runs") for path in paths], ignore_index=True), output, "runs")
