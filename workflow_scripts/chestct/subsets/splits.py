"""Splits by patient and nested training subsets.

Strata are patients with and without a positive scan, so that small subsets and folds hold both
classes in the cohort's proportion. A patient's scans always go together.
"""

from typing import Literal

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.rounded_shares import is_other_share
from chestct.tables import read_table, write_table

ValidationLabels = Literal["all", "percent"]
#: Patients of a class that a test set has at least.
_TEST_PATIENTS = 2


def shuffled_strata(scans: pd.DataFrame, rng: np.random.Generator) -> list[np.ndarray]:
    """Patients without, then with a positive scan; each shuffled, independent of table order."""
    positive = scans.groupby("patient_id")["label"].max().sort_index()
    return [rng.permutation(positive.index[positive == value].to_numpy(dtype=object)) for value in (0, 1)]


def cut_by_shares(patients: np.ndarray, shares: list[float]) -> list[np.ndarray]:
    """Cut a shuffled list into consecutive parts of the given shares, which sum to 1."""
    edges = np.rint(np.cumsum(shares)[:-1] * len(patients)).astype(int)
    return np.split(patients, edges)


def split_patients(cohort: pd.DataFrame, *, shares: dict[str, float], folds: int, seed: int) -> pd.DataFrame:
    """Assign every used scan to train, validation or test, patient by patient.

    Args:
        cohort: table of schema ``cohort``.
        shares: of patients, by split, summing to 1.
        folds: 1 for one held-out test set; k > 1 for k-fold cross-validation, where every patient is
            tested once and ``shares`` only sets validation against train among the others.
        seed: of the shuffling.

    Returns:
        Table of schema ``splits``.

    Raises:
        InputError: a split would lack one of the classes.
    """
    used = cohort[cohort["status"] == "used"]
    strata = shuffled_strata(used, np.random.default_rng(seed))
    tables = []
    for fold in range(folds):
        split_of: dict[str, str] = {}
        for patients in strata:
            if folds == 1:
                parts = cut_by_shares(patients, [shares[name] for name in ("train", "validation", "test")])
            else:
                test = patients[fold::folds]
                # Rotated, so that the validation part differs from fold to fold.
                rest = np.roll(patients[~np.isin(patients, test)], -fold * len(test))
                validation = shares["validation"] / (shares["train"] + shares["validation"])
                parts = [*cut_by_shares(rest, [1 - validation, validation]), test]
            for name, part in zip(("train", "validation", "test"), parts, strict=True):
                split_of.update(dict.fromkeys(part, name))
        table = used[["dataset", "patient_id", "study_id", "label"]].assign(fold=fold)
        table["split"] = table["patient_id"].map(split_of)
        tables.append(table)
    splits = pd.concat(tables, ignore_index=True)
    where = f"{len(used)} usable scans, {int(used['label'].sum())} positive"
    check_classes(splits, where=where, remedy="add scans, use fewer folds, or larger shares")
    return splits


def check_classes(splits: pd.DataFrame, *, where: str, remedy: str) -> None:
    """Stop where a split lacks one of the classes, or a test set has one patient of a class.

    Intervals say how results vary from patient to patient, which one patient of a class cannot tell: they
    would be too narrow, or none at all. Under cross-validation that holds of every fold, since patients are
    resampled within folds.

    Args:
        splits: table of schema ``splits``, of a dataset that models are trained on.
        where, remedy: for the message.

    Raises:
        InputError: names the split, and how many scans and patients of each class it has.
    """
    for fold in sorted(splits["fold"].unique()):
        for name in ("train", "validation", "test"):
            part = splits[(splits["fold"] == fold) & (splits["split"] == name)]
            classes = part["label"].nunique()
            if classes < 2:
                raise InputError(
                    f"the {name} split of fold {fold} holds {('no scan', 'one class only')[classes]}: "
                    f"{_numbers(part)}",
                    where=where,
                    expected="both classes in every split",
                    remedy=remedy,
                )
        check_test_patients(part, name=f"test set of fold {fold}", where=where, remedy=remedy)


def check_test_patients(test: pd.DataFrame, *, name: str, where: str, remedy: str) -> None:
    """Stop where a test set has fewer than two patients of a class.

    Args:
        test: its rows of the table ``splits``.
        name, where, remedy: for the message.

    Raises:
        InputError: says how many scans and patients of each class there are.
    """
    if test.groupby("label")["patient_id"].nunique().reindex([0, 1], fill_value=0).min() < _TEST_PATIENTS:
        raise InputError(
            f"the {name} is too small for intervals over patients: {_numbers(test)}",
            where=where,
            expected=f"at least {_TEST_PATIENTS} patients with a positive and as many with a negative scan",
            remedy=remedy,
        )


def _numbers(scans: pd.DataFrame) -> str:
    """How many scans and patients of each class there are, in words."""
    words = []
    for value, name in ((1, "positive"), (0, "negative")):
        of_class = scans[scans["label"] == value]
        words.append(f"{len(of_class)} {name} scan(s) of {of_class['patient_id'].nunique()} patient(s)")
    return ", ".join(words)


def all_for_testing(cohort: pd.DataFrame) -> pd.DataFrame:
    """Splits of a dataset that no model is trained on: every used scan is a test scan (table ``splits``)."""
    used = cohort.loc[cohort["status"] == "used", ["dataset", "patient_id", "study_id", "label"]]
    return used.assign(fold=0, split="test").reset_index(drop=True)


def sample_subset(
    splits: pd.DataFrame, *, percent: int, seed: int, validation_labels: ValidationLabels
) -> pd.DataFrame:
    """Take a share of the training patients of every fold, and the validation patients that go with it.

    Subsets of one seed are nested: a smaller percent is a prefix of the same shuffled order.

    Args:
        splits: table of schema ``splits``.
        percent: share of the training patients, 1..100; at least one patient a stratum is taken.
        seed: of the order.
        validation_labels: "all": the whole validation split; "percent": the same share of it, nested
            likewise, so that the percent counts every label that a run sees.

    Returns:
        Table of schema ``subset``.
    """
    tables = []
    for fold in sorted(int(value) for value in splits["fold"].unique()):
        of_fold = splits[splits["fold"] == fold]
        # The fold number is part of the seed: folds draw independent orders.
        rng = np.random.default_rng([seed, fold])
        for name in ("train", "validation"):
            part = of_fold[of_fold["split"] == name]
            if name == "train" or validation_labels == "percent":
                part = _share_of_patients(part, percent, rng)
            tables.append(part[["dataset", "fold", "split", "patient_id", "study_id"]])
    return pd.concat(tables, ignore_index=True).assign(percent=percent, seed=seed)


def _share_of_patients(scans: pd.DataFrame, percent: int, rng: np.random.Generator) -> pd.DataFrame:
    """The scans of a share of the patients, at least one a stratum."""
    taken: set[str] = set()
    for patients in shuffled_strata(scans, rng):
        taken.update(patients[: max(1, round(len(patients) * percent / 100))])
    return scans[scans["patient_id"].isin(taken)]


def write_subset(
    *, splits: str, output: str, percent: int, seed: int, validation_labels: ValidationLabels
) -> None:
    """Read the splits, write one training subset with its validation scans.

    A subset that is another share of the patients than was asked for gives a line that begins with WARNING.
    """
    table = read_table(splits, "splits")
    subset = sample_subset(table, percent=percent, seed=seed, validation_labels=validation_labels)
    write_table(subset, output, "subset")
    print(subset.groupby(["fold", "split"]).size())
    taken, total = (part.loc[part["split"] == "train", "patient_id"].nunique() for part in (subset, table))
    if subset["fold"].nunique() == 1 and is_other_share(percent, taken, total):
        print(
            f"WARNING: {table['dataset'].iloc[0]}: {percent} % of {total} training patients are {taken} "
            f"({100 * taken / total:.0f} %), at least one of each class; figures name the patients"
        )
