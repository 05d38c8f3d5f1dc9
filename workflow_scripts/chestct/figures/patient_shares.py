"""Percentages of few training patients that round to other shares, by the patients that they stand for."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from chestct.figures.wording import listed
from chestct.rounded_shares import is_other_share
from chestct.simple_rivals import is_simple


class Patients(NamedTuple):
    """The patients that a percentage stands for, and those that all of them are."""

    taken: int
    total: int


def other_shares(means: pd.DataFrame) -> dict[tuple[str, int], Patients]:
    """By dataset and percentage, those that round to another share.

    Args:
        means: rows of the table of that name. Where none is at 100 %, nobody knows what 100 % are.
    """
    trained = means[~means["model"].map(is_simple).astype(bool)]
    found = {}
    for dataset, rows in trained.groupby("dataset", sort=False):
        numbers = rows.groupby("percent")["num_patients"].max()
        if 100 not in numbers.index:
            continue
        total = float(numbers[100])
        for percent, taken in zip(numbers.index.tolist(), numbers.tolist(), strict=True):
            if is_other_share(percent, taken, total):
                found[str(dataset), int(percent)] = Patients(round(taken), round(total))
    return found


def shares_note(shares: Mapping[tuple[str, int], Patients]) -> str:
    """A sentence on these shares; empty without any."""
    if not shares:
        return ""
    words = [
        f"{dataset}, {percent} %: {few.taken} of {few.total} ({100 * few.taken / few.total:.0f} %)"
        for (dataset, percent), few in shares.items()
    ]
    return f"So few patients that a percentage is another share, and figures name n: {listed(words)}."
