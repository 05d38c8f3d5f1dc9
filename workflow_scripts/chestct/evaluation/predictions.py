"""Predictions, checked against the scans that they must be about.

A run that lacks a test scan, repeats one, carries another label or a score that is no number is refused
with the scans named: averaging over what happens to be there would compare runs on different scans.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from chestct.catalogue import INIT_TITLES, MODELS
from chestct.errors import InputError
from chestct.tables import read_table

_SHOWN = 5
_RUN_COLUMNS = ["dataset", "model", "init", "percent", "seed"]


class RunKey(NamedTuple):
    """What identifies a run within a dataset."""

    model: str
    init: str
    percent: int
    seed: int

    @property
    def title(self) -> str:
        """The run in words, for messages."""
        return f"{self.model}, {self.init}, {self.percent} %, seed {self.seed}"


#: The trivial baseline that a dataset may bring, in the place of a run.
BASELINE = RunKey(model="baseline", init="none", percent=100, seed=0)


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """The scans that every run of a dataset is scored on.

    Attributes:
        dataset: name.
        study_ids, patient_ids, labels, folds: shape (num_scans,), in the order of study_ids.
        baseline: score of the trivial baseline, shape (num_scans,), or None.
    """

    __test__ = False  # not a test class, whatever its name suggests to pytest

    dataset: str
    study_ids: np.ndarray
    patient_ids: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    baseline: np.ndarray | None


def name_scans(study_ids: Iterable[object]) -> str:
    """The first few of a list of scans, for a message."""
    ids = sorted({str(study_id) for study_id in study_ids})
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def load_test_set(cohort_path: str | Path, splits_path: str | Path) -> TestSet:
    """Read the test scans of a dataset; under k-fold, the test scans of all folds together.

    Raises:
        InputError: a scan is in two test sets, is not in the cohort, has another label there, lacks
            a baseline score that others have, or all have one label.
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
        folds=test["fold"].to_numpy(dtype=np.int64),
        baseline=None if absent.all() else baseline,
    )


def _check_scores(path: str | Path) -> None:
    """Name the scans whose scores are missing before the schema's check reports row numbers only."""
    try:
        raw = pd.read_csv(path, dtype={"study_id": "string"}, usecols=["study_id", "score"])
    except (OSError, ValueError):
        return  # read_table says what is wrong with the file
    missing = pd.to_numeric(raw["score"], errors="coerce").isna()
    if missing.any():
        raise InputError(
            f"predictions without a score: scans {name_scans(raw.loc[missing, 'study_id'])}",
            where=path,
            expected="a number between 0 and 1 for every scan",
            remedy="look for a diverged training run (not-a-number losses), then train and predict again",
        )


def load_scores(
    paths: Sequence[str | Path], test_sets: dict[str, TestSet]
) -> dict[str, dict[RunKey, np.ndarray]]:
    """Read the test scores of every run, in the order of its dataset's test set.

    Args:
        paths: predictions tables; rows of the split "validation" are left out.
        test_sets: by dataset.

    Returns:
        Scores of shape (num_scans,), by dataset and run, in the order of the catalogue.

    Raises:
        InputError: a run's scans, folds, labels or scores are not those of the test set; the scans
            are named.
    """
    runs: dict[str, dict[RunKey, np.ndarray]] = {dataset: {} for dataset in test_sets}
    origin: dict[tuple[str, RunKey], str | Path] = {}
    for path in paths:
        _check_scores(path)
        table = read_table(path, "predictions")
        table = table[table["split"] == "test"]
        parts: Any
        for parts, rows in table.groupby(_RUN_COLUMNS, sort=False):
            dataset, key = str(parts[0]), RunKey(parts[1], parts[2], int(parts[3]), int(parts[4]))
            _check_known(dataset, key, test_sets, path)
            if key in runs[dataset]:
                raise InputError(
                    f"run {key.title} of {dataset} is in two tables",
                    where=f"{origin[dataset, key]} and {path}",
                    expected="one table a dataset and model",
                    remedy="pass every predictions table once",
                )
            origin[dataset, key] = path
            runs[dataset][key] = match_scores(rows, test_sets[dataset], where=f"{path}, run {key.title}")
    models, inits = list(MODELS), list(INIT_TITLES)

    def rank(item: tuple[RunKey, np.ndarray]) -> tuple[int, ...]:
        key = item[0]
        return models.index(key.model), inits.index(key.init), key.percent, key.seed

    return {dataset: dict(sorted(scores.items(), key=rank)) for dataset, scores in runs.items()}


def _check_known(dataset: str, key: RunKey, test_sets: dict[str, TestSet], path: str | Path) -> None:
    if dataset not in test_sets:
        raise InputError(
            f"predictions of dataset {dataset}, which has no test set here",
            where=path,
            expected=f"one of {', '.join(test_sets)}",
            remedy="pass the dataset's cohort and splits too, or leave out its predictions",
        )
    known: Iterable[str]
    for kind, name, known in (("model", key.model, MODELS), ("init", key.init, INIT_TITLES)):
        if name not in known:
            raise InputError(
                f"predictions of an unknown {kind} {name}",
                where=path,
                expected=f"one of {', '.join(known)}",
                remedy="correct the name, or add it to chestct.catalogue",
            )


def match_scores(rows: pd.DataFrame, test_set: TestSet, *, where: str) -> np.ndarray:
    """Scores of one run in the order of the test set, shape (num_scans,).

    Raises:
        InputError: scans are missing, repeated, unexpected, of another fold or label, or without a
            finite score.
    """
    frame = rows.set_index("study_id")

    def refuse(what: str, study_ids: Iterable[object]) -> None:
        scans = name_scans(study_ids)
        if scans:
            raise InputError(
                f"{what}: {scans}",
                where=where,
                expected=f"the {len(test_set.study_ids)} test scans of {test_set.dataset}, each once",
                remedy="train and predict this run again on the current splits",
            )

    refuse("predictions repeat test scans", frame.index[frame.index.duplicated()])
    refuse("predictions lack test scans", set(test_set.study_ids) - set(frame.index))
    refuse("predictions hold scans outside the test set", set(frame.index) - set(test_set.study_ids))
    frame = frame.loc[test_set.study_ids]
    ids = test_set.study_ids
    refuse("predictions of another fold than the split's", ids[frame["fold"].to_numpy() != test_set.folds])
    refuse("labels that disagree with the cohort", ids[frame["label"].to_numpy() != test_set.labels])
    scores = frame["score"].to_numpy(dtype=np.float64, na_value=np.nan)
    refuse("scores that are not finite", ids[~np.isfinite(scores)])
    return scores
