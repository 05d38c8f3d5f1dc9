"""Folds of cross-validation: the scores of two folds come from two networks and are never ranked together.

An offset between networks would count as an error of ranking if out-of-fold scores were pooled (Forman and
Scholz, SIGKDD Explor. 12(1), 2010): metrics are computed within folds and averaged over them.
"""

from collections.abc import Iterator

import numpy as np

#: Stratum of scans in folds whose test scans have one label.
LEFT_OUT = -1


def class_strata(labels: np.ndarray, folds: np.ndarray | None = None) -> np.ndarray:
    """Stratum of every scan: twice the place of its fold among all folds, plus its label.

    Args:
        labels: 0 or 1, shape (num_scans,).
        folds: number of the fold, shape (num_scans,); None for a single held-out test set, whose strata are
            the labels.

    Returns:
        Shape (num_scans,). ``LEFT_OUT`` in folds whose scans have one label, on which no ranking is defined.
    """
    if folds is None:
        folds = np.zeros(len(labels), dtype=np.int64)
    place = np.unique(folds, return_inverse=True)[1]
    num_positive, num_scans = np.bincount(place, weights=labels), np.bincount(place)
    ranked = (num_positive > 0) & (num_positive < num_scans)
    return np.where(ranked[place], 2 * place + labels, LEFT_OUT)


def ranked_folds(strata: np.ndarray) -> Iterator[np.ndarray]:
    """Masks of the scans of every fold that has both labels, from ``class_strata``."""
    place = strata // 2
    for fold in np.unique(place[strata != LEFT_OUT]):
        yield (place == fold) & (strata != LEFT_OUT)
