"""Power: the probability of detecting a difference in AUROC, by number of test scans."""

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from chestct.evaluation.claims import DatasetDraws
from chestct.evaluation.contrasts import arms_of, part_values
from chestct.evaluation.delong import placements
from chestct.evaluation.folds import LEFT_OUT, class_strata
from chestct.wilson import wilson_interval

TRUE_DIFFERENCE = 0.02
#: Sizes of test sets, in addition to the study's own.
NUM_SCANS = (100, 200, 500, 1000, 2000, 5000, 10000)
_COUNTS_AT_ONCE = 2**24  # of simulated test sets


def power_rows(
    draws: DatasetDraws, *, num_simulations: int, confidence: float, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Rows of the table "power" for every claim's contrast at the largest percentage.

    Test sets of other sizes are simulated by drawing scans with replacement from each class of the study's
    test set, in the same proportion. A scan contributes its centred placement value in the contrast (DeLong's
    linear form of the estimate), to which ``TRUE_DIFFERENCE`` is added. The difference is detected if the
    two-sided normal test with the variance of the drawn scans has p below 1 - confidence and the right sign.
    The variance is thus that of the study's paired, averaged contrast, with scans taken as independent.
    With folds, placement values are those within folds.
    """
    strata = class_strata(draws.labels, draws.folds)
    sides = arms_of({key: placements(strata, run) for key, run in draws.scores.items()})
    num_own, share = len(draws.labels), draws.labels.mean()
    for cell in draws.largest:
        combined_S = np.mean(part_values(cell.quantity, sides), axis=0)
        classes = [_centred(combined_S, strata, label) for label in (1, 0)]
        for num_scans in sorted({*NUM_SCANS, num_own}):
            num_positive = int(np.clip(round(num_scans * share), 2, num_scans - 2))
            sizes = (num_positive, num_scans - num_positive)
            seen = _share_seen(classes, sizes, num_simulations, confidence, rng)
            low, high = wilson_interval(seen * num_simulations, num_simulations, confidence)
            yield {
                "dataset": draws.dataset,
                "contrast": cell.quantity.label,
                "percent": cell.quantity.percent,
                "true_difference": TRUE_DIFFERENCE,
                "num_scans": num_scans,
                "standard_error": np.sqrt(
                    sum(part.var() / n for part, n in zip(classes, sizes, strict=True))
                ),
                "power": seen,
                "low": low,
                "high": high,
                "num_simulations": num_simulations,
            }


def _centred(values_S: np.ndarray, strata: np.ndarray, label: int) -> np.ndarray:
    """Values of the scans with a label less the mean of their fold."""
    present = np.unique(strata[strata != LEFT_OUT])
    parts = [values_S[strata == stratum] for stratum in present if stratum % 2 == label]
    return np.concatenate([part - part.mean() for part in parts])


def _share_seen(
    classes: list[np.ndarray],
    sizes: tuple[int, int],
    num_simulations: int,
    confidence: float,
    rng: np.random.Generator,
) -> float:
    estimate, variance = np.full(num_simulations, TRUE_DIFFERENCE), np.zeros(num_simulations)
    for values, size in zip(classes, sizes, strict=True):
        even = np.full(len(values), 1 / len(values))
        at_once = max(1, _COUNTS_AT_ONCE // len(values))
        for start in range(0, num_simulations, at_once):
            part = slice(start, min(start + at_once, num_simulations))
            counts = rng.multinomial(size, even, size=part.stop - part.start)
            mean = counts @ values / size
            estimate[part] += mean
            variance[part] += (counts @ values**2 / size - mean**2) / (size - 1)
    limit = NormalDist().inv_cdf((1 + confidence) / 2)
    return float(np.mean(estimate > limit * np.sqrt(np.maximum(variance, 0))))
