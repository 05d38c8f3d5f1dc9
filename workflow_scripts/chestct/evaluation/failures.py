"""The scans that a good run of the study gets most wrong, for a look at their highest-scoring windows."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.evaluation.matching import RunKey
from chestct.evaluation.operating_point import validation_thresholds
from chestct.evaluation.predictions import Scores, validation_auroc
from chestct.evaluation.scans import TestSet

_log = logging.getLogger(__name__)

#: Scans shown of either kind, at most.
MAX_SHOWN = 6
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


def failure_rows(
    loaded: Scores, test_set: TestSet, specificity: float, facts: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Rows of the table "failures": negative scans above, positive scans below the threshold of ``best_run``.

    The threshold is that which keeps the specificity on the run's validation scans. The worst come first: the
    highest scores of negative, the lowest of positive scans.

    Args:
        loaded: scores and windows of all runs.
        test_set: test and validation scans.
        specificity: of the threshold on the validation scans.
        facts: columns of ``acquisition`` and ``findings``, a row a test scan, in their order.
    """
    run = best_run(loaded, test_set)
    if run is None:
        return
    scores, windows = loaded.test[run], loaded.windows[run]
    try:
        threshold = validation_thresholds({run: loaded.validation[run]}, test_set, specificity)[run]
    except InputError as error:
        _log.warning("%s: no table of failures: %s", test_set.dataset, error.what)
        return
    called = scores > threshold
    negative = test_set.labels == 0
    kinds: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        "false_positive": (negative & called, -scores),
        "false_negative": (~negative & ~called, scores),
    }
    for kind, (wrong, order) in kinds.items():
        worst = np.flatnonzero(wrong)[np.argsort(order[wrong], kind="stable")][:MAX_SHOWN]
        for rank, place in enumerate(worst, start=1):
            yield {
                **run._asdict(),
                "fold": test_set.folds[place],
                "kind": kind,
                "rank": rank,
                "num_wrong": int(wrong.sum()),
                "study_id": test_set.study_ids[place],
                "score": scores[place],
                "threshold": threshold[place],
                "top_start": windows.start[place],
                "top_stop": windows.stop[place],
                "top_marked": windows.top_marked[place],
                "num_windows": windows.num_windows[place],
                "num_marked_windows": windows.num_marked[place],
                **{name: facts[name].iloc[place] for name in _FACTS},
            }
