"""How report and tables write numbers, contrasts and metrics, and how they hide local paths."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.simple_rivals import FITTED, TITLES

_SMALLEST_P = 0.0001
_ABSOLUTE = re.compile(
    r"(?<![\w:/.\u2026~])~?/(?:[^\s/,;:]+/)*([^\s/,;:]+)/?"  # /home/me/ct, ~/ct
    r"|\b[A-Za-z]:\\(?:[^\s\\]+\\)*([^\s\\]+)"  # C:\Users\me\ct
)


def hide_folders(value: Any) -> Any:
    """Cut absolute paths in plain data to their last part, since folder names may identify a person.

    A text that is a path as a whole may contain blanks; within other text, a path ends at the first blank.
    URLs (with ``://``) are kept.
    """
    if isinstance(value, dict):
        return {key: hide_folders(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [hide_folders(part) for part in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("/", "~/")):
        return f"\u2026/{PurePosixPath(value).name}"
    return _ABSOLUTE.sub(lambda match: f"\u2026/{match[1] or match[2]}", value)


def plain(value: float) -> str:
    """A number with three decimals; empty if it is missing."""
    return "" if pd.isna(value) else f"{value:.3f}".replace("-", style.MINUS)


def signed(value: float) -> str:
    """A difference with its sign and three decimals; empty if it is missing."""
    return "" if pd.isna(value) else style.signed(value)


def interval(low: float, high: float, *, with_sign: bool = False) -> str:
    """Both ends of an interval; empty if it is missing."""
    form = signed if with_sign else plain
    return "" if pd.isna(low) or pd.isna(high) else f"{form(low)} to {form(high)}"


def p_value(value: float) -> str:
    """Four decimals, or "< 0.0001"; empty if it is missing."""
    if pd.isna(value):
        return ""
    return f"< {_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.4f}"


def percentage(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def count(number: int, word: str) -> str:
    """ "1 scan", "2 scans"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def integer(value: float) -> str:
    """A whole number, which a table with missing values holds as a float."""
    return str(int(value))


def metric_title(metric: str) -> str:
    """Name of a metric in tables."""
    return style.METRIC_TITLES.get(metric, metric.replace("_", " "))


def contrast_title(contrast: str) -> str:
    """A contrast as shown: "video_ct - best_2d" becomes "video, then CT - best 2D" with a true minus sign."""
    minuend, _, subtrahend = contrast.partition(" - ")
    if subtrahend == f"{minuend}_probe":
        minuend, subtrahend = f"{minuend}, fine-tuned", "frozen probe"
    words = {
        "best_2d": "best 2D",
        "baseline": "trivial baseline",
        **{name: style.in_sentence(TITLES[name]) for name in FITTED},
        "ct": "CT",
        "video_ct": "video, then CT",
        "imagenet": "ImageNet",
        "scratch_long": "longer from scratch",
    }
    return f"{words.get(minuend, minuend)} {style.MINUS} {words.get(subtrahend, subtrahend)}"
