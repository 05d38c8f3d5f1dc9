"""What a model sees of a scan at once: a window of slices, a single slice, or the whole scan.

Each form has a table of windows of its own. Without torch: workflow, plan and configuration read it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chestct.catalogue import MODELS, Sees
from chestct.errors import InputError

#: By what a model sees: name of its table of windows, and configuration key that sets the number of slices.
TABLES: dict[Sees, str] = {"window": "windows", "slice": "slices", "scan": "scans"}
SLICES_KEYS: dict[Sees, str] = {
    "window": "subsets.window_slices",
    "slice": "models",
    "scan": "subsets.scan_slices",
}
#: Sources that mark no slices.
_WITHOUT_MARKS = ("own_data",)


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """How the windows of a scan are listed.

    Attributes:
        window: slices that a model sees at once.
        stride: slices from one window to the next; None: one window is the whole scan.
        min_positive: positive slices that make a window positive.
    """

    window: int
    stride: int | None
    min_positive: int


def window_rule(subsets: Mapping[str, Any], sees: Sees) -> WindowRule:
    """The rule of a form.

    Args:
        subsets: the block ``subsets`` of the configuration.
        sees: "window", "slice" or "scan".
    """
    if sees == "slice":
        return WindowRule(window=1, stride=1, min_positive=1)
    if sees == "scan":
        return WindowRule(window=subsets["scan_slices"], stride=None, min_positive=1)
    return WindowRule(
        window=subsets["window_slices"],
        stride=subsets["window_stride"],
        min_positive=subsets["min_positive_slices"],
    )


def slices_seen(subsets: Mapping[str, Any], model: str) -> int:
    """Slices that a model of the catalogue sees at once."""
    return window_rule(subsets, MODELS[model].sees).window


def has_marks(entry: Mapping[str, Any]) -> bool:
    """Whether the source of a dataset (its entry, resolved) marks slices."""
    return entry["source"] not in _WITHOUT_MARKS


def without_marks(what: str, where: str) -> InputError:
    """The error of a model of single slices whose data mark no slices."""
    return InputError(
        f"{what}, and models of single slices learn from marked ones",
        where=where,
        expected="marked slices: its scan's label would call every slice of a positive scan positive",
        remedy="take models that see windows (without _slices; the LRCN without _scan), or mark slices",
    )


def check_marks(datasets: Sequence[Mapping[str, Any]], model: str) -> None:
    """Stop where a model of single slices would be trained on a dataset whose source marks none.

    Raises:
        InputError: names dataset and model.
    """
    for entry in datasets if MODELS[model].sees == "slice" else ():
        # Scans that are only tested on need no marks.
        if entry.get("train", True) and not has_marks(entry):
            what = f"dataset '{entry['name']}' marks no slices (source {entry['source']})"
            raise without_marks(what, f"configuration key 'models.{model}'")
