"""The evaluation of a study: predictions of all runs in, three tables out."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from chestct.errors import InputError
from chestct.evaluation.contrasts import arms_of, contrasts_of, means_of
from chestct.evaluation.metrics import METRICS
from chestct.evaluation.predictions import BASELINE, RunKey, TestSet, load_scores, load_test_set
from chestct.evaluation.resampling import bootstrap_counts, percentile_interval, two_sided_p_value
from chestct.tables import write_table

_log = logging.getLogger(__name__)


def evaluate(
    *,
    predictions: Sequence[str | Path],
    cohorts: Sequence[str | Path],
    splits: Sequence[str | Path],
    runs: Iterable[tuple[str, str, str, int, int]],
    metrics_path: str | Path,
    comparisons_path: str | Path,
    means_path: str | Path,
    metrics: Sequence[str],
    num_resamples: int,
    confidence: float,
    seed: int,
) -> None:
    """Score every run of every dataset and compare them on shared resamples of patients.

    Args:
        predictions: predictions tables, one a dataset and model.
        cohorts, splits: a table a dataset each, in the same order.
        runs: (dataset, model, init, percent, seed) that must be there.
        metrics_path, comparisons_path, means_path: tables to write.
        metrics: names in ``METRICS``.
        num_resamples: of patients, the same for all runs of a dataset.
        confidence: of the percentile intervals, between 0 and 1.
        seed: of the resamples; with the dataset's name it decides them, so that adding a dataset
            leaves the others' numbers as they are.

    Raises:
        InputError: a table is not what ``load_test_set`` and ``load_scores`` expect, a run is missing, or
            a metric is unknown.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise InputError(
            f"unknown metrics {unknown}",
            where="evaluation.metrics",
            expected=f"some of {', '.join(METRICS)}",
            remedy="correct the configuration",
        )
    test_sets = {
        test_set.dataset: test_set
        for test_set in (load_test_set(*paths) for paths in zip(cohorts, splits, strict=True))
    }
    scores = load_scores(predictions, test_sets)
    _check_complete(scores, runs)
    rows: dict[str, list[dict[str, object]]] = {"metrics": [], "comparisons": [], "means": []}
    for dataset, test_set in test_sets.items():
        if test_set.baseline is not None:
            scores[dataset][BASELINE] = test_set.baseline
        counts = bootstrap_counts(
            test_set.patient_ids, test_set.labels, num_resamples, dataset_rng(seed, dataset)
        )
        for metric in metrics:
            draws = score_runs(test_set.labels, scores[dataset], counts, metric)
            for table, more in _table_rows(test_set, metric, draws, confidence).items():
                rows[table] += more
        _log.info("%s: %d runs on %d test scans", dataset, len(scores[dataset]), len(test_set.labels))
    write_table(pd.DataFrame(rows["metrics"]), metrics_path, "metrics")
    # A study of one arm compares nothing; its table is then a header.
    columns = None if rows["comparisons"] else _COMPARISON_COLUMNS
    write_table(pd.DataFrame(rows["comparisons"], columns=columns), comparisons_path, "comparisons")
    write_table(pd.DataFrame(rows["means"]), means_path, "means")


def _check_complete(
    scores: dict[str, dict[RunKey, np.ndarray]], runs: Iterable[tuple[str, str, str, int, int]]
) -> None:
    named = ((dataset, RunKey(model, init, percent, seed)) for dataset, model, init, percent, seed in runs)
    missing = [f"{dataset}, {key.title}" for dataset, key in named if key not in scores[dataset]]
    if missing:
        raise InputError(
            f"{len(missing)} run(s) have no test predictions: {'; '.join(missing[:5])}",
            where="the predictions tables of the study",
            expected="every run that the configuration names",
            remedy="rerun the training step",
        )


def dataset_rng(seed: int, dataset: str) -> np.random.Generator:
    """Generator of a dataset's resamples: decided by the seed and the dataset's name alone."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(dataset.encode()).digest()[:8], "big")])


def score_runs(
    labels: np.ndarray, scores: dict[RunKey, np.ndarray], counts: np.ndarray, metric: str
) -> dict[RunKey, np.ndarray]:
    """A metric of every run on the sample itself (first) and on every resample.

    Args:
        labels: shape (num_scans,).
        scores: shape (num_scans,) by run.
        counts: shape (num_resamples, num_scans).
        metric: name in ``METRICS``.

    Returns:
        Draws of shape (1 + num_resamples,) by run.
    """
    sample = np.ones((1, len(labels)), dtype=counts.dtype)
    kernel = METRICS[metric]
    return {
        key: np.concatenate([kernel(labels, values, sample), kernel(labels, values, counts)])
        for key, values in scores.items()
    }


_COMPARISON_COLUMNS = [
    "dataset", "model", "percent", "contrast", "metric", "difference", "ci_low", "ci_high", "p_value",
    "num_resamples",
]  # fmt: skip


def _table_rows(
    test_set: TestSet, metric: str, draws: dict[RunKey, np.ndarray], confidence: float
) -> dict[str, list[dict[str, object]]]:
    def estimate(values: np.ndarray, name: str = "value") -> dict[str, object]:
        low, high = percentile_interval(values[1:], confidence)
        return {name: float(values[0]), "ci_low": low, "ci_high": high, "num_resamples": len(values) - 1}

    common = {"dataset": test_set.dataset, "metric": metric}
    sample = {"num_scans": len(test_set.labels), "num_positive": int(test_set.labels.sum())}
    arms = arms_of(draws)
    return {
        "metrics": [
            {**common, **key._asdict(), **sample, **estimate(values)} for key, values in draws.items()
        ],
        "comparisons": [
            {
                **common,
                "model": model,
                "percent": percent,
                "contrast": contrast,
                **estimate(values, "difference"),
                "p_value": two_sided_p_value(values[1:]),
            }
            for model, percent, contrast, values in contrasts_of(arms)
        ],
        "means": [
            {
                **common,
                **key._asdict(),
                "num_models": num_models,
                "num_seeds": num_seeds,
                **sample,
                **estimate(values),
            }
            for key, num_models, num_seeds, values in means_of(arms)
        ],
    }
