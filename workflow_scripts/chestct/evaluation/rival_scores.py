"""Scores of the rivals that see no image, fitted on the training scans of every percent, seed and fold."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.evaluation.matching import RunKey
from chestct.evaluation.metadata_model import FEATURES, SIZE, fit_and_score, log_size
from chestct.evaluation.scans import TestSet, name_scans
from chestct.evaluation.training_patients import SubsetKey, known_validation
from chestct.simple_rivals import METADATA, SIZE_AND_SPACING, SLICE_COUNT, SPACING
from chestct.tables import column_types, read_table

_log = logging.getLogger(__name__)

#: Columns of the table ``acquisition`` that only headers state; volume files have the geometry alone.
_OF_SCANNER_AND_PATIENT = [*FEATURES[METADATA][0], "age_years"]


class RivalScores(NamedTuple):
    """Scores by rival, percent and seed, as of ``predictions.Scores``, and the table ``simple_rivals``.

    Attributes:
        test: shape (num_scans,), in the order of the test set.
        validation: shape (num_validation_scans,), in the order of ``TestSet.validation``; NaN for scans whose
            labels the runs of the subset did not see.
        table: one row a scan, rival, percent, seed and fold.
    """

    test: dict[RunKey, np.ndarray]
    validation: dict[RunKey, np.ndarray]
    table: pd.DataFrame


def read_facts(path: str | Path, study_ids: Sequence[str] | np.ndarray, dataset: str) -> pd.DataFrame:
    """Rows of the table ``acquisition`` for these scans, in their order.

    What headers leave out is said in the log and is a level of its own to the rivals; it stops nothing.

    Raises:
        InputError: a scan has no row.
    """
    facts = read_table(path, "acquisition").set_index("study_id")
    absent = sorted({*study_ids} - {*facts.index})
    if absent:
        raise InputError(
            f"{len(absent)} scan(s) of {dataset} have no row in the table acquisition: {name_scans(absent)}",
            where=path,
            expected="a row for every converted scan, empty where its header says nothing",
            remedy="rerun the volumes step",
        )
    return facts.loc[list(study_ids)]


def list_rivals(facts: pd.DataFrame, dataset: str) -> list[str]:
    """The rivals that a dataset has, in the order of tables; what it lacks is said once in the log.

    The number of slices is always known. Where headers say nothing of scanner and patient there is no
    ``metadata``. ``size_and_spacing`` is a rival of datasets with a score of their own (the size of what was
    cut out), ``spacing`` of those and of datasets without ``metadata``: elsewhere the geometry is part of it.

    Args:
        facts: columns of the table ``acquisition`` and ``SIZE``, a row a scan of the splits.
        dataset: name, for the log.
    """
    has_metadata = bool(facts[_OF_SCANNER_AND_PATIENT].notna().any(axis=None))
    has_size = bool(facts[SIZE].notna().any())
    if has_metadata:
        log_what_is_missing(facts, dataset)
    else:
        text = "%s: headers say nothing of scanner and patient: there is no rival '%s'"
        _log.info(text, dataset, METADATA)
    return [
        SLICE_COUNT,
        *([SPACING] if has_size or not has_metadata else []),
        *([SIZE_AND_SPACING] if has_size else []),
        *([METADATA] if has_metadata else []),
    ]


def log_what_is_missing(facts: pd.DataFrame, dataset: str) -> None:
    """Say once, in one line, what the headers of a dataset's scans leave out."""
    levels, numbers = FEATURES[METADATA]
    shares = facts[[*levels, *numbers]].isna().mean()
    lacking = [f"{name} of {100 * share:.0f} %" for name, share in shares.items() if share > 0]
    if not lacking:
        return
    text = "%s: headers do not state %s of the scans: to the rival '%s' that is a level of its own"
    _log.warning(text, dataset, ", ".join(lacking), METADATA)


def score_rivals(
    acquisition: str | Path,
    cohort: str | Path,
    subsets: Mapping[SubsetKey, pd.DataFrame],
    splits: str | Path,
    test_set: TestSet,
) -> RivalScores:
    """Fit every rival of ``list_rivals`` on every training subset; score its validation and test scans.

    Args:
        acquisition: table of the dataset.
        cohort: table of the dataset, for its own score (column ``baseline``). A test set outside the training
            set has no such score of training scans, and so no rival that needs it.
        subsets: tables of schema ``subset``, by percentage and seed.
        splits: table of the dataset, for the labels of training scans.
        test_set: scans to score.

    Raises:
        InputError: a scan has no row in the table ``acquisition``.
    """
    split_table = read_table(splits, "splits")
    facts = read_facts(acquisition, split_table["study_id"].unique(), test_set.dataset)
    facts = facts.assign(**{SIZE: _sizes(cohort, split_table)})
    rivals = list_rivals(facts, test_set.dataset)
    labels = split_table.drop_duplicates("study_id").set_index("study_id")["label"].astype(int)
    known = known_validation(subsets, test_set)
    held_out = {
        "test": pd.DataFrame({"study_id": test_set.study_ids, "fold": test_set.folds}),
        "validation": test_set.validation[["study_id", "fold"]].reset_index(drop=True),
    }
    scores: dict[str, dict[RunKey, np.ndarray]] = {"test": {}, "validation": {}}
    tables = []
    for (percent, seed), subset in subsets.items():
        training = subset[subset["split"] == "train"]
        for rival in rivals:
            key = RunKey(model=rival, init="none", percent=percent, seed=seed)
            for split, scans in held_out.items():
                found = _score_folds(rival, training, scans, facts, labels)
                scores[split][key] = found
                run = {**key._asdict(), "split": split, "dataset": test_set.dataset, "score": found}
                tables.append(scans.assign(**run, label=labels.loc[scans["study_id"]].to_numpy()))
            scores["validation"][key] = np.where(known[percent, seed], scores["validation"][key], np.nan)
    columns = list(column_types("simple_rivals"))
    table = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    return RivalScores(test=scores["test"], validation=scores["validation"], table=table)


def _sizes(cohort: str | Path, splits: pd.DataFrame) -> pd.Series:
    """The column ``SIZE`` by scan of the splits; empty throughout where training scans have no such score."""
    scores = read_table(cohort, "cohort").drop_duplicates("study_id").set_index("study_id")["baseline"]
    scores = scores.reindex(splits["study_id"].unique())
    trained = splits.loc[splits["split"] == "train", "study_id"]
    known = scores.reindex(trained).notna().any()
    return log_size(scores if known else scores.astype(float) * np.nan)


def _score_folds(
    rival: str, training: pd.DataFrame, scans: pd.DataFrame, facts: pd.DataFrame, labels: pd.Series
) -> np.ndarray:
    """Scores of held-out scans, each by the training scans of its fold."""
    scores = np.full(len(scans), np.nan)
    for fold in scans["fold"].unique():
        own_training = training.loc[training["fold"] == fold, "study_id"]
        own = (scans["fold"] == fold).to_numpy()
        if own.any():
            scores[own] = fit_and_score(
                rival,
                facts.loc[own_training],
                labels.loc[own_training].to_numpy(),
                facts.loc[scans.loc[own, "study_id"]],
            )
    return scores
