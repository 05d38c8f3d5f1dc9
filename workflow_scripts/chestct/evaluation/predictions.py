"""Read predictions and check them against the test and validation scans.

A run with a missing or repeated scan, a wrong label or an invalid score is refused with the scans named:
otherwise runs would be compared on different scans.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestct.catalogue import INIT_TITLES, MODELS
from chestct.errors import DamageError, InputError
from chestct.evaluation.best_2d import is_candidate
from chestct.evaluation.matching import Matched, RunKey
from chestct.evaluation.metrics import auroc
from chestct.evaluation.scans import TestSet, name_scans
from chestct.near_words import near, suggestion
from chestct.tables import read_table


class TopWindows(NamedTuple):
    """The highest-scoring windows of the test scans of a run, each of shape (num_scans,).

    Attributes:
        start, stop: range of its slices.
        top_marked: 1 where it holds a slice that readers marked.
        num_windows, num_marked: windows of the scan, and those that hold a marked slice.
    """

    start: np.ndarray
    stop: np.ndarray
    top_marked: np.ndarray
    num_windows: np.ndarray
    num_marked: np.ndarray


_WINDOW_COLUMNS = ["top_start", "top_stop", "top_marked", "num_windows", "num_marked_windows"]


class Scores(NamedTuple):
    """Scores of the runs of a dataset.

    Attributes:
        test: by run in the order of the catalogue; shape (num_scans,) in the order of the test set.
        validation: likewise, shape (num_validation_scans,) in the order of ``TestSet.validation``, NaN for
            scans whose labels the run did not see; empty if the dataset has no validation scans.
        validation_auroc: of the ImageNet runs of 2D models, by fold (``fold_aurocs``).
        windows: of the test scans, by run.
    """

    test: dict[RunKey, np.ndarray]
    validation: dict[RunKey, np.ndarray]
    validation_auroc: dict[RunKey, np.ndarray]
    windows: dict[RunKey, TopWindows]


def load_scores(
    paths: Sequence[str | Path], test_set: TestSet, known: Mapping[tuple[int, int], np.ndarray]
) -> Scores:
    """Read the scores of every run of a dataset.

    Args:
        paths: tables of predictions.
        test_set: scans, labels and folds that every run must have.
        known: by percentage and seed of a run, which of the validation scans it saw the labels of, shape
            (num_validation_scans,). Choices on validation use these alone.

    Raises:
        InputError: a run's scans, folds, labels or scores are not those of the test set, or of the
            validation set; the scans are named.
    """
    test: dict[RunKey, np.ndarray] = {}
    validation: dict[RunKey, np.ndarray] = {}
    windows: dict[RunKey, TopWindows] = {}
    origin: dict[RunKey, str | Path] = {}
    for path in paths:
        table = _read(path)
        _check_names(table, test_set.dataset, path)
        of_test = table["split"] == "test"
        for key, scores, own_windows in _test_scores(table[of_test], test_set, path):
            if key in test:
                raise InputError(
                    f"run {key.title} of {test_set.dataset} is in two tables",
                    where=f"{origin[key]} and {path}",
                    expected="one table for every dataset and model",
                    remedy="pass every predictions table once",
                )
            origin[key], test[key], windows[key] = path, scores, own_windows
        validation |= _validation_scores(table[~of_test], test_set, path)
    without = [key for key in test if key not in validation]
    if without and len(test_set.validation):
        raise InputError(
            f"predictions lack validation scans: {name_scans(test_set.validation['study_id'])}",
            where=f"{origin[without[0]]}, run {without[0].title}",
            expected="scores of the validation scans, on which thresholds and the best 2D model are chosen",
            remedy="predict this run again on the current splits",
        )
    everything = np.ones(len(test_set.validation), dtype=bool)
    validation = {
        key: np.where(known.get((key.percent, key.seed), everything), scores, np.nan)
        for key, scores in validation.items()
    }
    models, inits = list(MODELS), list(INIT_TITLES)

    def rank(key: RunKey) -> tuple[int, ...]:
        return models.index(key.model), inits.index(key.init), key.percent, key.seed

    runs = sorted(test, key=rank)
    candidates = [key for key in runs if is_candidate(key.model, key.init) and key in validation]
    return Scores(
        test={key: test[key] for key in runs},
        validation={key: validation[key] for key in runs if key in validation},
        validation_auroc=fold_aurocs({key: validation[key] for key in candidates}, test_set),
        windows=windows,
    )


def _read(path: str | Path) -> pd.DataFrame:
    try:
        return read_table(path, "predictions")
    except DamageError:
        raise
    except InputError as error:
        raise _explain(path, error) from error


def _explain(path: str | Path, error: InputError) -> InputError:
    """Name the scans if scores are invalid; the schema check reports row numbers only."""
    try:
        raw = pd.read_csv(path, dtype={"study_id": "string"}, usecols=["study_id", "score"])
    except (OSError, ValueError):
        return error
    score = pd.to_numeric(raw["score"], errors="coerce")
    found = [
        (
            "predictions without a score",
            score.isna(),
            "look for a diverged training run (not-a-number losses)",
        ),
        ("scores outside 0 to 1", (score < 0) | (score > 1), "write probabilities, not logits"),
    ]
    for what, bad, remedy in found:
        if bad.any():
            return InputError(
                f"{what}: scans {name_scans(raw.loc[bad, 'study_id'])}",
                where=path,
                expected="a number between 0 and 1 for every scan",
                remedy=f"{remedy}, then train and predict again",
            )
    return error


def _check_names(table: pd.DataFrame, dataset: str, path: str | Path) -> None:
    known: Iterable[str]
    for kind, known, source in (
        ("dataset", [dataset], "the study's configuration"),
        ("model", MODELS, "chestct.catalogue"),
        ("init", INIT_TITLES, "chestct.catalogue"),
    ):
        for name in table[kind].unique():
            if name not in known:
                similar = near(name, known)
                hint = f" ({suggestion(name, similar)})" if similar else ""
                raise InputError(
                    f"predictions of an unknown {kind} {name}",
                    where=path,
                    expected=f"one of {', '.join(known)}",
                    remedy=f"correct the name{hint}, or add it to {source}",
                )


def _test_scores(
    rows: pd.DataFrame, test_set: TestSet, path: str | Path
) -> Iterator[tuple[RunKey, np.ndarray, TopWindows]]:
    """Scores and highest-scoring windows of every run in a table, in the order of the test set."""
    place = pd.Index(test_set.study_ids).get_indexer(pd.Index(rows["study_id"].to_numpy(dtype=object)))
    expected = f"the {len(test_set.study_ids)} test scans of {test_set.dataset}, each once"
    places = Matched(rows, place, len(test_set.study_ids), path, expected, "test scans", "the test set")
    places.check(test_set.study_ids)
    places.refuse(
        "predictions of another fold than the split's", rows["fold"].to_numpy() != test_set.folds[place]
    )
    places.refuse("labels that disagree with the cohort", rows["label"].to_numpy() != test_set.labels[place])
    columns_KS = [places.values(name).astype(np.int32) for name in _WINDOW_COLUMNS]
    for number, (key, scores) in enumerate(zip(places.keys, places.values("score"), strict=True)):
        yield key, scores, TopWindows(*(values_KS[number] for values_KS in columns_KS))


def _validation_scores(rows: pd.DataFrame, test_set: TestSet, path: str | Path) -> dict[RunKey, np.ndarray]:
    """Validation scores of every run in a table, in the order of ``test_set.validation``."""
    if not len(rows):
        return {}
    reference = test_set.validation
    index, wanted = (pd.MultiIndex.from_frame(table[["fold", "study_id"]]) for table in (reference, rows))
    place = index.get_indexer(wanted)
    expected = f"the {len(reference)} validation scans of {test_set.dataset}, each once per fold"
    places = Matched(rows, place, len(reference), path, expected, "validation scans", "the validation set")
    places.check(reference["study_id"].to_numpy(dtype=object))
    labels = reference["label"].to_numpy(dtype=np.int64)
    places.refuse("labels that disagree with the splits", rows["label"].to_numpy() != labels[place])
    return dict(zip(places.keys, places.values("score"), strict=True))


def fold_aurocs(scores: Mapping[RunKey, np.ndarray], test_set: TestSet) -> dict[RunKey, np.ndarray]:
    """AUROC of runs on the validation scans of every fold, shape (num_folds,), folds ascending.

    NaN where the validation scans of a fold whose labels a run saw do not hold both.
    """
    labels, folds = (test_set.validation[name].to_numpy(dtype=np.int64) for name in ("label", "fold"))
    parts = [folds == fold for fold in np.unique(test_set.folds)]
    return {
        key: np.array([_auroc_of(labels[part], scores_V[part]) for part in parts])
        for key, scores_V in scores.items()
    }


def _auroc_of(labels: np.ndarray, scores: np.ndarray) -> float:
    """AUROC on the scans that have a score; NaN unless these hold both labels."""
    known = np.isfinite(scores)
    if len(np.unique(labels[known])) < 2:
        return np.nan
    return float(auroc(labels[known], scores[known], np.ones((1, known.sum())))[0])


def validation_auroc(scores: Mapping[RunKey, np.ndarray], test_set: TestSet) -> dict[RunKey, float]:
    """AUROC of runs on validation scans, averaged over folds with both labels; NaN without any."""
    found = {key: values_F[np.isfinite(values_F)] for key, values_F in fold_aurocs(scores, test_set).items()}
    return {key: float(np.mean(values)) if len(values) else np.nan for key, values in found.items()}
