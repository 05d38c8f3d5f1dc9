"""DeLong's variance of AUROC and of its linear contrasts, as a cross-check of the bootstrap.

DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988, in the midrank form of Sun and Xu, IEEE Signal
Process. Lett. 21(11), 2014. A mean or difference of correlated AUROCs is linear, so its placement values are
the same mean or difference of the runs' placement values, and no covariance matrix is needed. Scans
count as independent, even several scans of one patient, unlike in the bootstrap. With folds, an AUROC is the
mean over folds, and so is linear in the placement values within folds.

Functions take the stratum of every scan (``folds.class_strata``); of one test set, that is its label.
"""

import numpy as np

from chestct.evaluation.folds import LEFT_OUT, ranked_folds


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; tied values share the mean of theirs."""
    ordered = np.sort(values)
    before = np.searchsorted(ordered, values, side="left")
    return (before + np.searchsorted(ordered, values, side="right") + 1) / 2


def placements(strata: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Placement value of every scan: the share of the other class that it is ranked correctly against.

    Args:
        strata: fold and label, shape (num_scans,).
        scores: shape (num_scans,).

    Returns:
        Shape (num_scans,); ties count half. The mean over either class of a fold is the AUROC of the fold;
        NaN in folds with one label.
    """
    values = np.full(len(scores), np.nan)
    for fold in ranked_folds(strata):
        values[fold] = _placements(strata[fold] % 2 == 1, scores[fold])
    return values


def _placements(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    ranks = _midranks(scores)
    values = np.empty(len(scores))
    values[positive] = (ranks[positive] - _midranks(scores[positive])) / num_negative
    values[~positive] = 1 - (ranks[~positive] - _midranks(scores[~positive])) / num_positive
    return values


def standard_errors(strata: np.ndarray, placements_KS: np.ndarray) -> np.ndarray:
    """Standard error of K linear contrasts of AUROCs, averaged over folds, shape (K,).

    Args:
        strata: fold and label, shape (num_scans,).
        placements_KS: the same contrasts of placement values.

    Returns:
        Shape (K,); NaN if a class of a fold has a single scan.
    """
    variance_K = np.zeros(len(placements_KS))
    present = np.unique(strata[strata != LEFT_OUT])
    for stratum in present:
        values_KS = placements_KS[:, strata == stratum]
        size = values_KS.shape[1]
        if size < 2:
            return np.full(len(placements_KS), np.nan)
        variance_K += values_KS.var(axis=1, ddof=1) / size
    return np.sqrt(variance_K) / (len(present) // 2)
