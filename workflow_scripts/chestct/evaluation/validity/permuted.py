"""Negative control: the study's comparisons after permuting the test labels among patients."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chestct.evaluation.claims import DatasetDraws
from chestct.evaluation.contrasts import Arms, Quantity, arms_of, part_values
from chestct.evaluation.folds import class_strata, ranked_folds
from chestct.evaluation.intervals import student_intervals
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metrics import auroc
from chestct.evaluation.resampling import bootstrap_counts, degrees_of_freedom, patient_strata
from chestct.wilson import wilson_interval

#: Scans of whose pairs matrices are kept (256 MB each). Beyond, runs are ranked anew for every permutation,
#: in memory and time that grow with the number of scans, not with its square.
MAX_SCANS_IN_PAIRS = 8000

#: Contrasts of the scans of one fold: (mask, labels, counts) -> shape (num_contrasts, num_resamples).
_Contrasts = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def permute_labels(
    patients: np.ndarray, labels: np.ndarray, rng: np.random.Generator, folds: np.ndarray | None = None
) -> np.ndarray:
    """Permute labels among patients of a fold with the same number of scans, a patient's labels together.

    Args:
        patients, labels, folds: of every scan, shape (num_scans,).
        rng: source of randomness.
    """
    first, number, num_scans = np.unique(
        patients, return_index=True, return_inverse=True, return_counts=True
    )[1:]
    by_patient = np.argsort(number, kind="stable")
    starts = np.cumsum(num_scans) - num_scans
    fold = np.zeros(len(num_scans), dtype=np.int64) if folds is None else folds[first]
    permuted = labels.copy()
    for of_fold, size in sorted({*zip(fold.tolist(), num_scans.tolist(), strict=True)}):
        members = np.flatnonzero((num_scans == size) & (fold == of_fold))
        scans = by_patient[starts[members][:, None] + np.arange(size)]
        permuted[scans] = labels[rng.permutation(scans)]
    return permuted


def preferences(quantity: Quantity, scores: Arms) -> np.ndarray:
    """The contribution of every pair of scans to a contrast of AUROCs, shape (num_scans, num_scans).

    AUROC is the share of pairs of a positive and a negative scan (of the same fold) in which the positive one
    has the higher score (ties count half). A contrast of AUROCs is therefore a mean over such pairs, whose
    contributions do not depend on the labels and are computed once for all permutations. Entry (i, j) is for
    a positive scan i and a negative scan j.
    """
    num_scans = len(next(iter(next(iter(scores.values())).values())))
    total = np.zeros((num_scans, num_scans), dtype=np.float32)
    for part in quantity.parts:
        arm, subtrahend = (scores[key] for key in part if key is not None)
        seeds = sorted(arm.keys() & subtrahend.keys())
        weight = np.float32(0.5 / (len(quantity.parts) * len(seeds)))
        for seed in seeds:
            one, other = (np.sign(run[:, None] - run[None, :]) for run in (arm[seed], subtrahend[seed]))
            total += weight * (one - other).astype(np.float32)
    return total


def _of_pairs(quantities: Sequence[Quantity], scores: Arms) -> _Contrasts:
    """Contrasts of AUROC from their ``preferences``."""
    matrices = [preferences(quantity, scores) for quantity in quantities]

    def contrasts(fold: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
        positive, negative = fold & (labels == 1), fold & (labels == 0)
        ours, theirs = counts[:, positive], counts[:, negative]
        num_pairs = ours.sum(axis=1) * theirs.sum(axis=1)
        return np.stack(
            [
                np.einsum("rn,rn->r", ours @ matrix[positive][:, negative], theirs) / num_pairs
                for matrix in matrices
            ]
        )

    return contrasts


def _of_ranks(quantities: Sequence[Quantity], scores: Mapping[RunKey, np.ndarray]) -> _Contrasts:
    """The same contrasts from the AUROC of every run; equal to ``_of_pairs`` up to rounding."""
    scores_KS = np.stack(list(scores.values()))

    def contrasts(fold: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
        values_KR = auroc(labels[fold], scores_KS[:, fold], counts.T[fold].T)
        arms = arms_of({key: values_R[None] for key, values_R in zip(scores, values_KR, strict=True)})
        return np.stack([part_values(quantity, arms).mean(axis=(0, 1)) for quantity in quantities])

    return contrasts


def permuted_rows(
    draws: DatasetDraws,
    *,
    num_permutations: int,
    num_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """Rows of the table "permuted": every claim's contrast at the largest percentage.

    Permuted labels are unrelated to the scans, so no arm can be better than another: p should lie below
    1 - confidence in a share of 1 - confidence of the permutations, and differences should be 0 on average.
    """
    cells = draws.largest
    if not cells:
        return
    quantities = [cell.quantity for cell in cells]
    few = len(draws.labels) <= MAX_SCANS_IN_PAIRS
    contrasts = _of_pairs(quantities, arms_of(draws.scores)) if few else _of_ranks(quantities, draws.scores)
    p_values, differences = np.empty((2, num_permutations, len(cells)))
    for row in range(num_permutations):
        labels = permute_labels(draws.patients, draws.labels, rng, draws.folds)
        counts = np.ones((1 + num_resamples, len(labels)), dtype=np.float32)
        counts[1:] = bootstrap_counts(draws.patients, labels, num_resamples, rng, draws.folds)
        by_fold = [
            contrasts(fold, labels, counts) for fold in ranked_folds(class_strata(labels, draws.folds))
        ]
        values = np.mean(by_fold, axis=0)
        freedom = degrees_of_freedom(patient_strata(draws.patients, labels, draws.folds)[1])
        differences[row] = values[:, 0]
        p_values[row] = student_intervals(values[:, 0], values[:, 1:], freedom, confidence)[2]
    for column, cell in enumerate(cells):
        significant = (p_values[:, column] < 1 - confidence).sum()
        low, high = wilson_interval(significant, num_permutations, confidence)
        yield {
            "dataset": draws.dataset,
            "model": cell.quantity.model,
            "percent": cell.quantity.percent,
            "contrast": cell.quantity.label,
            "num_permutations": num_permutations,
            "share_significant": significant / num_permutations,
            "low": low,
            "high": high,
            "mean_difference": differences[:, column].mean(),
        }
