"""Bootstrap resamples of patients, stored as counts.

A resample is the number of times that each scan occurs in it. Every run of a dataset is evaluated on the same
counts, so differences between runs are paired, and a metric needs one pass over scores that are sorted once
(``chestct.evaluation.metrics``).
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from chestct.errors import InputError
from chestct.evaluation.counts import count_sums
from chestct.evaluation.folds import class_strata, ranked_folds

_MAX_REDRAWS = 100
#: Patients that are drawn at a time, over all resamples.
_DRAWS_AT_ONCE = 2**22
#: Counts of a test set that would take more bytes than this as float32 are kept as small integers.
_MOST_BYTES = 2**28
#: Up to so many counts, every patient is left out once; beyond, so many patients are that these are not more,
#: but no fewer than the next number.
_MOST_LEFT_OUT_COUNTS = 2**26
_LEAST_LEFT_OUT = 1000
_SCANS_AT_ONCE = 2**14


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
    counts_SR = np.empty((len(labels), num_resamples), dtype=np.int32)  # S scans, R resamples
    _fill_resamples(counts_SR, patient_ids, labels, rng, folds)
    return counts_SR.T


def _fill_resamples(
    counts_SR: np.ndarray,
    patient_ids: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    folds: np.ndarray | None,
) -> None:
    """Write the counts of ``bootstrap_counts`` into an array of any kind of number that holds them."""
    patient_of_scan, stratum = patient_strata(patient_ids, labels, folds)
    # Patients with a positive scan first, fold by fold.
    strata = [np.flatnonzero(stratum == number ^ 1) for number in range(stratum.max() + 2)]
    ranked = list(ranked_folds(class_strata(labels, folds)))
    classes = [fold & (labels == label) for fold in ranked for label in (0, 1)]

    num_resamples = counts_SR.shape[1]
    pending = np.arange(num_resamples)
    for _ in range(_MAX_REDRAWS):
        for members in strata:
            _draw(counts_SR, pending, members, patient_of_scan, len(stratum), rng)
        one_class = np.full(len(pending), not ranked)
        for chosen in classes:
            one_class |= count_sums(counts_SR, chosen)[pending] == 0
        pending = pending[one_class]
        if not len(pending):
            return
    raise InputError(
        f"{len(pending)} of {num_resamples} resamples of the test patients hold scans of one label only",
        where=f"{len(labels)} test scans of {len(stratum)} patients",
        expected="patients with positive and patients with negative scans",
        remedy="use more test patients",
    )


def _draw(
    counts_SR: np.ndarray,
    pending: np.ndarray,
    members: np.ndarray,
    patient_of_scan: np.ndarray,
    num_patients: int,
    rng: np.random.Generator,
) -> None:
    """Draw the patients of a stratum for the pending resamples and count their scans.

    Resamples are drawn in blocks, which take the same numbers from the generator as one draw of all.
    """
    if not len(members):
        return
    place = np.full(num_patients, -1)
    place[members] = np.arange(len(members))
    scans = np.flatnonzero(place[patient_of_scan] >= 0)
    member_of_scan = place[patient_of_scan[scans]]
    at_once = max(1, _DRAWS_AT_ONCE // len(members))
    for start in range(0, len(pending), at_once):
        columns = pending[start : start + at_once]
        number = len(columns)
        picks = rng.integers(len(members), size=(number, len(members)))
        flat = picks * number + np.arange(number)[:, None]
        counts = np.bincount(flat.ravel(), minlength=len(members) * number).reshape(len(members), number)
        if np.issubdtype(counts_SR.dtype, np.integer):
            assert counts.max() <= np.iinfo(counts_SR.dtype).max
        drawn = counts.astype(counts_SR.dtype)[member_of_scan]
        if columns[-1] - columns[0] == number - 1:
            counts_SR[scans, columns[0] : columns[0] + number] = drawn
        else:
            counts_SR[scans[:, None], columns] = drawn


def choose_left_out(stratum: np.ndarray, num_scans: int) -> np.ndarray:
    """Patients that are left out one at a time: all, or of a very large test set a part of each stratum.

    The acceleration is a mean over patients, and its effect on an interval shrinks with the root of their
    number, so that a thousand of them tell it: a matrix of all patients by all scans would grow with the
    square of the test set (100,000 scans of 50,000 patients: 19 GB).

    Args:
        stratum: of every patient, from ``patient_strata``.
        num_scans: of the test set.

    Returns:
        Places of the patients, ascending.
    """
    num_patients = len(stratum)
    most = max(_LEAST_LEFT_OUT, _MOST_LEFT_OUT_COUNTS // num_scans)
    if num_patients <= most:
        return np.arange(num_patients)
    chosen = []
    for number in np.unique(stratum):
        members = np.flatnonzero(stratum == number)
        # Two at least, if there are: of one alone nothing varies.
        wanted = max(min(2, len(members)), round(len(members) * most / num_patients))
        chosen.append(members[(np.arange(wanted) * len(members)) // wanted])
    return np.sort(np.concatenate(chosen))


def patient_strata(
    patient_ids: np.ndarray, labels: np.ndarray, folds: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the patient of every scan, and the stratum of every patient.

    A stratum is twice the place of the fold, plus 1 if the patient has a positive scan.
    """
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
        counts: float32 in Fortran order, which metrics read fastest, or unsigned integers of one byte where
            the test set is very large; shape (1 + num_resamples + num_left_out, num_scans): the sample itself
            first, the leave-one-patient-out samples last.
        num_resamples: number of resamples.
        stratum: of every patient, shape (num_patients,).
        patients_left_out: places of the patients that are left out one at a time (``choose_left_out``); None
            for all.
    """

    counts: np.ndarray
    num_resamples: int
    stratum: np.ndarray
    patients_left_out: np.ndarray | None = None

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
        counts = self.counts[: 1 + number]
        if counts.dtype == np.float32:  # of a very large test set a copy would be large, too
            counts = np.asfortranarray(counts)
        return replace(self, counts=counts, num_resamples=number)

    def resampled(self, values: np.ndarray) -> np.ndarray:
        """The values on the resamples, from values over all counts (last axis)."""
        return values[..., 1 : 1 + self.num_resamples]

    def left_out(self, values: np.ndarray) -> np.ndarray:
        """The values on the leave-one-patient-out samples, from values over all counts (last axis)."""
        return values[..., 1 + self.num_resamples :]

    @property
    def left_out_stratum(self) -> np.ndarray:
        """Stratum of every patient that is left out one at a time."""
        chosen = self.patients_left_out
        return self.stratum if chosen is None else self.stratum[chosen]

    @property
    def stratum_sizes(self) -> np.ndarray:
        """Number of patients by stratum."""
        return np.bincount(self.stratum)


def draw_resamples(
    patient_ids: np.ndarray,
    labels: np.ndarray,
    num_resamples: int,
    rng: np.random.Generator,
    folds: np.ndarray | None = None,
) -> Draws:
    """In one array the sample, ``bootstrap_counts``, and the sample without each of ``choose_left_out``.

    Its size grows with the number of scans alone: of very large test sets not every patient is left out.
    """
    patient_of_scan, stratum = patient_strata(patient_ids, labels, folds)
    left_out = choose_left_out(stratum, len(labels))
    shape = (len(labels), 1 + num_resamples + len(left_out))
    kind = np.float32 if 4 * shape[0] * shape[1] <= _MOST_BYTES else np.uint8
    counts_SL = np.empty(shape, dtype=kind)
    counts_SL[:, 0] = 1
    _fill_resamples(counts_SL[:, 1 : 1 + num_resamples], patient_ids, labels, rng, folds)
    for start in range(0, len(labels), _SCANS_AT_ONCE):
        part = slice(start, start + _SCANS_AT_ONCE)
        counts_SL[part, 1 + num_resamples :] = patient_of_scan[part, None] != left_out
    return Draws(counts=counts_SL.T, num_resamples=num_resamples, stratum=stratum, patients_left_out=left_out)


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """Random generator determined by the seed and names, so other names do not change its numbers."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
