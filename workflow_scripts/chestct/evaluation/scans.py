"""The test scans (and validation scans) of a dataset, which every run must have predicted."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.evaluation.folds import LEFT_OUT, class_strata
from chestct.tables import read_table

_log = logging.getLogger(__name__)

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """The test scans of a dataset, on which every run is evaluated.

    Attributes:
        dataset: name.
        study_ids, patient_ids, labels, folds: shape (num_scans,), in the order of study_ids.
        baseline: scores of the trivial baseline, shape (num_scans,), or None.
        validation: study_id, fold and label of the validation scans, on which the best 2D model and the
            thresholds are chosen.
    """

    __test__ = False  # pytest would take it for a test class by its name

    dataset: str
    study_ids: np.ndarray
    patient_ids: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    baseline: np.ndarray | None
    validation: pd.DataFrame

    @property
    def strata(self) -> np.ndarray:
        """Fold and label of every scan in one number (``class_strata``), shape (num_scans,)."""
        return class_strata(self.labels, self.folds)


def name_scans(study_ids: Iterable[object]) -> str:
    """List the first few scans, for a message."""
    ids = sorted({str(study_id) for study_id in study_ids})
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def load_test_set(cohort_path: str | Path, splits_path: str | Path) -> TestSet:
    """Read the test scans of a dataset; under k-fold, those of all folds.

    Raises:
        InputError: a scan is in two test sets, is not in the cohort, has another label there, lacks
            a baseline score that others have, or no fold has test scans of both labels.
    """
    splits = read_table(splits_path, "splits")
    test = splits[splits["split"] == "test"].sort_values("study_id", kind="stable")
    cohort = read_table(cohort_path, "cohort")
    used = cohort[cohort["status"] == "used"].drop_duplicates("study_id").set_index("study_id")

    def refuse(what: str, study_ids: Iterable[object], expected: str) -> None:
        scans = name_scans(study_ids)
        if scans:
            raise InputError(
                f"{what}: {scans}",
                where=f"{splits_path} against {cohort_path}",
                expected=expected,
                remedy="rerun the subsets step; splits and cohort must come from one run of it",
            )

    refuse(
        "test scans that are in the test set twice",
        test.loc[test["study_id"].duplicated(), "study_id"],
        "a scan in the test set of one fold",
    )
    unknown = ~test["study_id"].isin(used.index)
    refuse("test scans that the cohort does not use", test.loc[unknown, "study_id"], "scans with status used")
    in_cohort = used.loc[test["study_id"]]
    differs = test["label"].to_numpy() != in_cohort["label"].to_numpy(dtype=float, na_value=np.nan)
    refuse("labels that differ from the cohort", test.loc[differs, "study_id"], "one label a scan")
    labels = test["label"].to_numpy(dtype=np.int64)
    if len(np.unique(labels)) < 2:
        raise InputError(
            f"the {len(labels)} test scans do not hold both labels (labels: {np.unique(labels).tolist()})",
            where=splits_path,
            expected="positive and negative scans",
            remedy="use more patients, or a larger share of them for the test set",
        )
    folds = test["fold"].to_numpy(dtype=np.int64)
    _check_folds(labels, folds, splits_path)
    baseline = in_cohort["baseline"].to_numpy(dtype=np.float64)
    absent = ~np.isfinite(baseline)
    if not absent.all():
        refuse(
            "test scans without a baseline score", test.loc[absent, "study_id"], "a score for all or for none"
        )
    return TestSet(
        dataset=str(test["dataset"].iloc[0]),
        study_ids=test["study_id"].to_numpy(dtype=object),
        patient_ids=test["patient_id"].to_numpy(dtype=object),
        labels=labels,
        folds=folds,
        baseline=None if absent.all() else baseline,
        validation=splits.loc[splits["split"] == "validation", ["study_id", "fold", "label"]],
    )


def _check_folds(labels: np.ndarray, folds: np.ndarray, where: str | Path) -> None:
    left_out = np.unique(folds[class_strata(labels, folds) == LEFT_OUT]).tolist()
    if len(left_out) == len(np.unique(folds)):
        raise InputError(
            f"no fold has test scans of both labels ({len(labels)} test scans in {len(left_out)} folds)",
            where=where,
            expected="a fold with positive and negative test scans, on which a ranking is defined",
            remedy="use fewer folds or more patients",
        )
    if left_out:
        text = "test scans of fold(s) %s have one label: metrics are averaged over the other folds"
        _log.warning(text, ", ".join(map(str, left_out)))
