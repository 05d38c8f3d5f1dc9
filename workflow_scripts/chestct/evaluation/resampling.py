"""Bootstrap resamples of patients, stored as counts.

A resample is the number of times that each scan occurs in it. Every run of a dataset is evaluated on the same
counts, so differences between runs are paired, and a metric needs one pass over scores that are sorted once
(``chestct.evaluation.metrics``).
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from chestct.errors import InputError
from chestct.evaluation.folds import class_strata, ranked_folds

_MAX_REDRAWS = 100


def bootstrap_counts(
    patient_ids: np.ndarray,
    labels: np.ndarray,
    num_resamples: int,
    rng: np.random.Generator,
    folds: np.ndarray | None = None,
) -> np.ndarray:
    """Draw patients with replacement, in every fold separately among those with and without a positive scan.

    All scans of a patient are drawn together (the cluster bootstrap: Field and Welsh, J. R. Stat. Soc. B
    69(3), 2007). Stratification keeps the number of patients with a positive scan constant, in every fold,
    as the splits, which are stratified too, keep it. A resample in which all scans of a fold with both labels
    have one (possible only if patients have scans of both labels) is drawn again, since ranking metrics are
    not defined on it.

    Args:
        patient_ids: patient of every scan, shape (num_scans,).
        labels: 0 or 1, shape (num_scans,).
        num_resamples: number of resamples.
        rng: source of randomness.
        folds: of every scan, the same for all scans of a patient; None for one test set.

    Returns:
        int32 counts, shape (num_resamples, num_scans), in Fortran order: the metrics read all counts of a
        scan together.

    Raises:
        InputError: resamples with both labels cannot be drawn.
    """
    patient_of_scan, stratum = patient_strata(patient_ids, labels, folds)
    num_patients = len(stratum)
    # Patients with a positive scan first, fold by fold.
    strata = [np.flatnonzero(stratum == number ^ 1) for number in range(stratum.max() + 2)]
    ranked = list(ranked_folds(class_strata(labels, folds)))

    counts_SR = np.empty((len(labels), num_resamples), dtype=np.int32)  # S scans, R resamples
    pending = np.arange(num_resamples)
    for _ in range(_MAX_REDRAWS):
        drawn_SR = _draw(strata, num_patients, len(pending), rng)[patient_of_scan]
        counts_SR[:, pending] = drawn_SR
        one_class = np.full(len(pending), not ranked)
        for fold in ranked:
            for label in (0, 1):
                one_class |= drawn_SR[fold & (labels == label)].sum(axis=0) == 0
        pending = pending[one_class]
        if not len(pending):
            return counts_SR.T
    raise InputError(
        f"{len(pending)} of {num_resamples} resamples of the test patients hold scans of one label only",
        where=f"{len(labels)} test scans of {num_patients} patients",
        expected="patients with positive and patients with negative scans",
        remedy="use more test patients",
    )


def _draw(
    strata: list[np.ndarray], num_patients: int, num_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Counts of patients, shape (num_patients, num_resamples)."""
    counts_PR = np.zeros((num_patients, num_resamples), dtype=np.int32)
    for members in strata:
        if not len(members):
            continue
        picks = rng.integers(len(members), size=(num_resamples, len(members)))
        flat = picks * num_resamples + np.arange(num_resamples)[:, None]
        counts = np.bincount(flat.ravel(), minlength=len(members) * num_resamples)
        counts_PR[members] = counts.reshape(len(members), num_resamples)
    return counts_PR


def leave_one_out_counts(
    patient_ids: np.ndarray, labels: np.ndarray, folds: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the leave-one-patient-out samples, for the acceleration of BCa intervals.

    Args:
        patient_ids, labels, folds: as of ``bootstrap_counts``.

    Returns:
        int32 counts, shape (num_patients, num_scans), and the stratum of the patient left out, shape
        (num_patients,): twice the place of the fold, plus 1 if the patient has a positive scan.
    """
    patient_of_scan, stratum = patient_strata(patient_ids, labels, folds)
    counts = (np.arange(len(stratum))[:, None] != patient_of_scan).astype(np.int32)
    return counts, stratum


def patient_strata(
    patient_ids: np.ndarray, labels: np.ndarray, folds: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the patient of every scan, and the stratum of every patient (``leave_one_out_counts``)."""
    patients, patient_of_scan = np.unique(patient_ids, return_inverse=True)
    place = np.zeros(len(labels), dtype=np.int64)
    if folds is not None:
        place = np.unique(folds, return_inverse=True)[1]
    stratum = np.zeros(len(patients), dtype=np.int64)
    np.maximum.at(stratum, patient_of_scan, 2 * place + labels)
    return patient_of_scan, stratum


def degrees_of_freedom(stratum: np.ndarray) -> int:
    """Degrees of freedom of Student's intervals over patients, at least 1.

    Those of the class (patients with or without a positive scan) that has fewer patients, which decides most
    of the variance: its patients less one a fold.

    Args:
        stratum: of every patient, from ``patient_strata``.
    """
    sizes = np.bincount(stratum % 2, minlength=2)
    return max(1, int(sizes.min()) - len(np.unique(stratum // 2)))


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Counts on which all runs of a dataset are evaluated: sample, resamples, leave-one-patient-out samples.

    Attributes:
        counts: float32 in Fortran order, which metrics read fastest; shape (1 + num_resamples + num_patients,
            num_scans): the sample itself first, the leave-one-patient-out samples last.
        num_resamples: number of resamples.
        stratum: of the patient left out, shape (num_patients,).
    """

    counts: np.ndarray
    num_resamples: int
    stratum: np.ndarray

    @property
    def freedom(self) -> int:
        """Degrees of freedom of Student's intervals over patients."""
        return degrees_of_freedom(self.stratum)

    @property
    def sample_and_resamples(self) -> np.ndarray:
        """Counts of the sample itself (first) and of its resamples."""
        return self.counts[: 1 + self.num_resamples]

    def first(self, most: int) -> "Draws":
        """The sample and the first resamples, at most so many, for intervals that decide nothing."""
        number = min(most, self.num_resamples)
        counts = np.asfortranarray(self.counts[: 1 + number])
        return replace(self, counts=counts, num_resamples=number)

    def resampled(self, values: np.ndarray) -> np.ndarray:
        """The values on the resamples, from values over all counts (last axis)."""
        return values[..., 1 : 1 + self.num_resamples]

    def left_out(self, values: np.ndarray) -> np.ndarray:
        """The values on the leave-one-patient-out samples, from values over all counts (last axis)."""
        return values[..., 1 + self.num_resamples :]


def draw_resamples(
    patient_ids: np.ndarray,
    labels: np.ndarray,
    num_resamples: int,
    rng: np.random.Generator,
    folds: np.ndarray | None = None,
) -> Draws:
    """Combine the sample, ``bootstrap_counts`` and ``leave_one_out_counts``."""
    resamples = bootstrap_counts(patient_ids, labels, num_resamples, rng, folds)
    left_out, stratum = leave_one_out_counts(patient_ids, labels, folds)
    counts = np.empty((1 + num_resamples + len(stratum), len(labels)), dtype=np.float32, order="F")
    counts[0] = 1
    counts[1 : 1 + num_resamples] = resamples
    counts[1 + num_resamples :] = left_out
    return Draws(counts=counts, num_resamples=num_resamples, stratum=stratum)


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """Random generator determined by the seed and names, so other names do not change its numbers."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
