"""How a good run decides on the test scans: its worst errors, and scans that stand for each outcome."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.evaluation.matching import RunKey
from chestct.evaluation.operating_point import validation_thresholds
from chestct.evaluation.predictions import Scores, TopWindows, validation_auroc
from chestct.evaluation.scans import TestSet

_log = logging.getLogger(__name__)

#: Scans shown of either kind, at most.
MAX_SHOWN = 6
#: Scans that stand for an outcome, at most.
MAX_EXAMPLES = 2
_FACTS = ("manufacturer", "slice_thickness_mm", "diameter_mm")


def best_run(loaded: Scores, test_set: TestSet) -> RunKey | None:
    """The fine-tuned run with the highest AUROC on validation, of the first seed at the largest percentage.

    Test scores have no part in the choice. None where no fold has validation scans of both labels.
    """
    largest = max(key.percent for key in loaded.test)
    first = min(key.seed for key in loaded.test)
    runs = {
        key: scores
        for key, scores in loaded.validation.items()
        if (key.percent, key.seed) == (largest, first) and not MODELS[key.model].frozen
    }
    values = {key: value for key, value in validation_auroc(runs, test_set).items() if np.isfinite(value)}
    return max(values, key=lambda key: values[key], default=None)


class Decided(NamedTuple):
    """The test scans as the best run decides on them; arrays are of shape (num_scans,).

    Attributes:
        run: the run (``best_run``).
        scores, thresholds: of the scans.
        windows: their highest-scoring ones.
        specificity: that the thresholds keep on the run's validation scans.
    """

    run: RunKey
    scores: np.ndarray
    thresholds: np.ndarray
    windows: TopWindows
    specificity: float

    @property
    def called(self) -> np.ndarray:
        """Whether a scan is called positive."""
        return self.scores > self.thresholds


def decide(loaded: Scores, test_set: TestSet, specificity: float) -> Decided | None:
    """Decide on the test scans with ``best_run``, at the threshold that keeps the specificity on validation.

    Args:
        loaded: scores and windows of all runs.
        test_set: test and validation scans.
        specificity: of the threshold on the run's validation scans.

    Returns:
        None where no run can be chosen, or it has no threshold.
    """
    run = best_run(loaded, test_set)
    if run is None:
        return None
    try:
        thresholds = validation_thresholds({run: loaded.validation[run]}, test_set, specificity)[run]
    except InputError as error:
        _log.warning("%s: no table of failures and examples: %s", test_set.dataset, error.what)
        return None
    return Decided(run, loaded.test[run], thresholds, loaded.windows[run], specificity)


def failure_rows(decided: Decided | None, test_set: TestSet, facts: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of the table "failures": negative scans above, positive scans below the threshold.

    The worst come first: the highest scores of negative, the lowest of positive scans.

    Args:
        decided: the scans, decided on.
        test_set: test scans.
        facts: columns of ``acquisition`` and ``findings``, a row a test scan, in their order.
    """
    if decided is None:
        return
    scores, windows, called = decided.scores, decided.windows, decided.called
    negative = test_set.labels == 0
    kinds: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        "false_positive": (negative & called, -scores),
        "false_negative": (~negative & ~called, scores),
    }
    for kind, (wrong, order) in kinds.items():
        worst = np.flatnonzero(wrong)[np.argsort(order[wrong], kind="stable")][:MAX_SHOWN]
        for rank, place in enumerate(worst, start=1):
            yield {
                **decided.run._asdict(),
                "fold": test_set.folds[place],
                "kind": kind,
                "rank": rank,
                "num_wrong": int(wrong.sum()),
                "study_id": test_set.study_ids[place],
                "score": scores[place],
                "threshold": decided.thresholds[place],
                "top_start": windows.start[place],
                "top_stop": windows.stop[place],
                "top_marked": windows.top_marked[place],
                "num_windows": windows.num_windows[place],
                "num_marked_windows": windows.num_marked[place],
                **{name: facts[name].iloc[place] for name in _FACTS},
            }


def example_rows(decided: Decided | None, test_set: TestSet) -> Iterator[dict[str, Any]]:
    """Rows of the table "examples": of every outcome the scan with the median score, then those next to it.

    Args:
        decided: the scans, decided on.
        test_set: test scans.
    """
    if decided is None:
        return
    positive = test_set.labels == 1
    outcomes = {
        "true_positive": positive & decided.called,
        "false_negative": positive & ~decided.called,
        "false_positive": ~positive & decided.called,
        "true_negative": ~positive & ~decided.called,
    }
    for outcome, chosen in outcomes.items():
        in_order = np.flatnonzero(chosen)[np.argsort(decided.scores[chosen], kind="stable")]
        # From the middle outwards; of an even number the lower of both is the median.
        distance = np.abs(np.arange(len(in_order)) - (len(in_order) - 1) // 2)
        middle = in_order[np.argsort(distance, kind="stable")][:MAX_EXAMPLES]
        for rank, place in enumerate(middle, start=1):
            yield {
                **decided.run._asdict(),
                "fold": test_set.folds[place],
                "outcome": outcome,
                "rank": rank,
                "num_scans": len(in_order),
                "study_id": test_set.study_ids[place],
                "score": decided.scores[place],
                "threshold": decided.thresholds[place],
                "specificity": decided.specificity,
                "top_start": decided.windows.start[place],
                "top_stop": decided.windows.stop[place],
                "top_marked": decided.windows.top_marked[place],
            }
