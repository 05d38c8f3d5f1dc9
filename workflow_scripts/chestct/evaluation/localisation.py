"""Does the highest-scoring window of a positive scan hold a slice that readers marked?

A score that comes from the finding is highest where the finding is. Chance is stated beside the rate, for it
can be high: the share of a scan's own windows that hold a marked slice, which one drawn at random would hit.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chestct.evaluation.contrasts import Quantity, arms_of, common_seeds, values_by_seed
from chestct.evaluation.intervals import student_intervals
from chestct.evaluation.matching import RunKey
from chestct.evaluation.predictions import TopWindows
from chestct.evaluation.resampling import Draws
from chestct.evaluation.scans import TestSet
from chestct.evaluation.subgroups import MAX_RESAMPLES

_COUNTS_AT_ONCE = 2**24  # converted to float64


def localisation_rows(
    quantities: Sequence[Quantity],
    windows: Mapping[RunKey, TopWindows],
    test_set: TestSet,
    draws: Draws,
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of the table "localisation", of arms and means whose positive test scans have marked slices.

    Where every window holds one, as in stacks that show nothing but the finding, there is nothing to find.

    Args:
        quantities: arms and means over models.
        windows: by run, of the test scans.
        test_set: test scans.
        draws: of the dataset.
        confidence: of the intervals, which are over patients alone.
    """
    draws = draws.first(MAX_RESAMPLES)
    shown = [
        quantity
        for quantity in quantities
        if all(_findable(windows[run], test_set).any() for run in _runs_of(quantity, windows))
    ]
    if not shown:
        return
    hits, chances = {}, {}
    for run, own in windows.items():
        marked = _marked(own, test_set)
        hits[run] = _weighted_mean(own.top_marked, marked, draws.counts)
        chances[run] = _weighted_mean(own.num_marked / own.num_windows, marked, draws.counts)
    values = {name: arms_of(runs) for name, runs in {"rate": hits, "chance": chances}.items()}
    for quantity in shown:
        means = {name: values_by_seed(quantity, arms).mean(axis=(0, 1, 2)) for name, arms in values.items()}
        (run, *_) = _runs_of(quantity, windows)
        marked = _marked(windows[run], test_set)
        freedom = max(1, len(np.unique(test_set.patient_ids[marked])) - 1)
        rate, difference = means["rate"], means["rate"] - means["chance"]
        low, high, _ = _interval(rate, draws, freedom, confidence, of_share=True)
        below, above, _ = _interval(difference, draws, freedom, confidence, of_share=False)
        yield {
            "model": quantity.model,
            "init": quantity.label,
            "percent": quantity.percent,
            "num_seeds": len(common_seeds(quantity, values["rate"])),
            "num_scans": int(marked.sum()),
            "rate": rate[0],
            "patients_low": low,
            "patients_high": high,
            "chance": means["chance"][0],
            "difference": difference[0],
            "difference_low": below,
            "difference_high": above,
            "num_resamples": draws.num_resamples,
        }


def _runs_of(quantity: Quantity, windows: Mapping[RunKey, TopWindows]) -> list[RunKey]:
    arms = {arm for arm, _ in quantity.parts}
    return [run for run in windows if run[:3] in arms]


def _marked(own: TopWindows, test_set: TestSet) -> np.ndarray:
    """Positive scans that have a window with a marked slice."""
    return (test_set.labels == 1) & (own.num_marked > 0)


def _findable(own: TopWindows, test_set: TestSet) -> np.ndarray:
    """Of these, scans that have a window without a marked slice, too."""
    return _marked(own, test_set) & (own.num_marked < own.num_windows)


def _weighted_mean(values: np.ndarray, chosen: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the chosen scans under every count, shape (1, num_counts), as ``fold_values`` of one fold."""
    if not chosen.any():
        return np.full((1, len(counts)), np.nan)
    size = max(1, _COUNTS_AT_ONCE // int(chosen.sum()))
    parts = []
    for start in range(0, len(counts), size):
        weights = counts[start : start + size, chosen].astype(np.float64)
        totals = weights.sum(axis=1)
        out = np.full(len(totals), np.nan)
        parts.append(np.divide(weights @ values[chosen], totals, out=out, where=totals > 0))
    return np.concatenate(parts)[None]


def _interval(
    values_R: np.ndarray, draws: Draws, freedom: int, confidence: float, *, of_share: bool
) -> tuple[float, float, float]:
    low, high, p_value = student_intervals(
        values_R[:1], draws.resampled(values_R)[None], freedom, confidence, of_share=of_share
    )
    return float(low[0]), float(high[0]), float(p_value[0])
