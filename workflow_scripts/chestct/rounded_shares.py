"""Shares of few patients, which round to other ones: those are named by their patients."""

#: A share that is off by more than this part of what was asked for is another one.
_TOLERANCE = 0.2


def is_other_share(percent: float, taken: float, total: float) -> bool:
    """Whether so many of all patients are another share than this percentage, but for rounding.

    >>> is_other_share(10, taken=7, total=62), is_other_share(10, taken=2, total=12)
    (False, True)
    """
    return abs(100 * taken / total - percent) > _TOLERANCE * percent
